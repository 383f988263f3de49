"""Which image a stage runs in: read from the image lock that ./build_images.sh writes."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

LOCK_VERSION = 1
DEFAULT_LOCK = Path(__file__).resolve().parent.parent / "images.lock.json"


class ImageLockError(Exception):
    """The image lock cannot say which image to run; Airflow shows the message as the Dag's import error."""

    def __init__(self, lock: Path, found: str) -> None:
        super().__init__(f"{lock}: {found}; do: run ./build_images.sh, it builds the images and writes this file")


class Image(NamedTuple):
    """An image under the tag that names its content, the id that the engine gave it, the revision of its files.

    `pushed` is its name by digest in an image registry; None if it was not pushed.
    """

    name: str
    id: str
    revision: str | None
    pushed: str | None


def image_of(stage: str) -> Image:
    """The locked image of a stage. ML_IMAGE_LOCK names another lock than the one beside the Dags.

    Errors: ImageLockError if the lock is missing, damaged or without the stage, or if the image has no tag or
    `latest`: such a name changes its meaning, and an engine without the image would look for it elsewhere.
    This cannot see whether a stage's folder has changed since (`./build_images.sh --explain` shows it), nor whether the
    engine still has the image (the operator checks that before it runs).
    """
    lock, content = _read_lock()
    try:
        entry = content["images"][stage]
        image = Image(
            entry["image"], entry["id"], entry.get("revision") or content.get("revision"), entry.get("pushed")
        )
    except (KeyError, TypeError):
        raise ImageLockError(lock, f"the image lock has no image and id for the stage {stage!r}") from None
    tag = image.name.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        raise ImageLockError(lock, f"{image.name!r} does not name its content, expected a tag other than latest")
    return image


def image_sizes() -> dict[str, float]:
    """The size of each image that the lock names, in MB, as the engine reported it."""
    images = _read_lock()[1]["images"]
    return {name: round(entry["size"] / 1e6, 1) for name, entry in sorted(images.items()) if entry.get("size")}


def _read_lock() -> tuple[Path, dict[str, Any]]:
    lock = Path(os.environ.get("ML_IMAGE_LOCK") or DEFAULT_LOCK)
    try:
        content = json.loads(lock.read_text(encoding="utf-8"))
        version, _ = content["version"], content["images"].items()
    except FileNotFoundError:
        raise ImageLockError(lock, "the image lock is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageLockError(lock, f"the image lock cannot be read ({type(error).__name__}: {error})") from None
    if version != LOCK_VERSION:
        raise ImageLockError(lock, f"the image lock has version {version!r}, expected {LOCK_VERSION}")
    return lock, content
