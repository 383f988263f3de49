"""The commit mark of a partition, `_meta.json`: reading and writing it, and the lock under which it changes."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stagekit.errors import BadInput

META = "_meta.json"
META_VERSION = 1


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(path: Path, output: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with a file, and what its mark's `output` says; None where it is as it was published.

    Errors: FileNotFoundError.
    """
    size = path.stat().st_size
    if size != output["size"]:
        return f"has {size} bytes", f"{output['size']} bytes"
    digest = file_sha256(path)
    return None if digest == output["sha256"] else (f"has sha256 {digest[:12]}…", f"{output['sha256'][:12]}…")


def intact(path: Path, output: Mapping[str, Any]) -> bool:
    """Whether a file is there as it was published."""
    try:
        return damage(path, output) is None
    except FileNotFoundError:
        return False


def load_mark(folder: Path, name: str) -> dict[str, Any]:
    """The mark of a partition. Errors: BadInput where it is damaged or another partition's; FileNotFoundError."""
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["version"] != META_VERSION:
            raise BadInput(
                f"{name}/{META} has version {meta['version']}",
                expected=f"version {META_VERSION}",
                do="publish the partition again with the images in use",
            )
        if not isinstance(meta["outputs"], dict) or not isinstance(meta["steps"], dict):
            raise TypeError("outputs and steps must be objects")
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{name}/{META} is damaged ({error})",
            expected="the commit mark that the writing stage left",
            do=f"run the stage that writes {name} again",
        ) from None
    if meta["partition"] != name:
        raise BadInput(
            f"{name}/{META} is the mark of another partition, {meta['partition']}",
            expected=f"the mark of {name}",
            do=f"do not copy partitions; run the stage that writes {name} again",
        )
    return meta


def write_mark(mark: Mapping[str, Any], temporary: Path, folder: int) -> None:
    """Replace a partition's mark at once, by way of a `temporary` folder in its own, whose descriptor is `folder`."""
    path = temporary / META
    path.write_text(json.dumps(mark, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    fsync(path)
    path.replace(temporary.parent / META)
    os.fsync(folder)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold a folder's lock, across processes and containers; yields its descriptor."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def fsync(path: Path) -> None:
    """Have a file's bytes on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
