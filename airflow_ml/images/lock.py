"""Writes the image lock, dags/images.lock.json: what was built last, from what, and where it was pushed.

The Dags, the engine proxy and the tests read `image` and `id`; `ingredients` let the next build say what changed.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ml.common import LOCK_VERSION, only_change, setting_of, write_atomic
from airflow_ml.images.tags import Image

Entry = dict[str, Any]


def revision_of(root: Path) -> str | None:
    """The git revision of the checkout, `-dirty` where files differ from it; none without git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def is_better(revision: str | None, known: str | None) -> bool:
    """Whether a revision of the same files is more useful than the known one: somebody can check it out."""
    return revision is not None and (known is None or (known.endswith("-dirty") and not revision.endswith("-dirty")))


def write_lock(root: Path, entries: Mapping[str, Entry]) -> None:
    """Replace the image lock in one step."""
    lock = {"version": LOCK_VERSION, "revision": revision_of(root), "images": entries}
    write_atomic(root / "dags" / "images.lock.json", json.dumps(lock, indent=2, sort_keys=True) + "\n")


def entry_of(
    image: Image, details: Mapping[str, Any], previous: Entry | None, made: Entry | None, revision: str | None
) -> Entry:
    """The entry of an image that the engine has. `made` says how long it took, if it was built just now.

    What an earlier entry of the same image knows stays known: when it was built, where it was pushed. Its revision
    is the one that it was built from, or the first after it that holds the same files and no uncommitted changes.
    """
    same = previous is not None and (previous.get("image"), previous.get("id")) == (image.reference, details["Id"])
    kept = previous if previous is not None and same and made is None else {}
    # Built by another checkout, or before this lock: the engine knows when it got its name, nobody how long it took.
    tagged = details.get("Metadata", {}).get("LastTagTime", "")[:19]
    known = {"built": f"{tagged}Z" if tagged else None, "seconds": None, "digest": None, "pushed": None, **(made or {})}
    before = kept.get("revision")
    return {
        **{key: kept.get(key, value) for key, value in known.items()},
        "revision": revision if is_better(revision, before) else before,
        "image": image.reference,
        "name": image.repository,
        "tag": image.tag,
        "id": details["Id"],
        "size": details["Size"],
        "ingredients": image.ingredients,
    }


def write_service_images(root: Path, references: Mapping[str, str]) -> None:
    """Write the images that compose's services run into `.env`; every other line keeps its text."""
    path = root / ".env"
    if not path.exists():
        return
    names = {f"ML_{name.upper().replace('-', '_')}_IMAGE": reference for name, reference in references.items()}
    with only_change(root):
        kept = [line for line in path.read_text(encoding="utf-8").splitlines() if setting_of(line) not in names]
        write_atomic(path, "\n".join([*kept, *(f"{name}={value}" for name, value in names.items())]) + "\n", mode=0o600)
