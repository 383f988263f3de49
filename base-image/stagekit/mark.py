"""The commit mark of a partition, `_meta.json`: reading, checking and writing it."""

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from stagekit.errors import BadInput
from stagekit.shapes import COUNT, SHOWN, Maybe, Passes, ShapeError, Values, check, parse_object

META = "_meta.json"
META_VERSION = 1
# In bytes; no file system allows more.
LONGEST_NAME = 255


def is_time(text: str) -> bool:
    """Whether a text is a moment as marks record it, such as 2026-11-21T04:00:00Z."""
    try:
        return text.endswith("Z") and datetime.fromisoformat(text[:-1]).tzinfo is None
    except ValueError:
        return False


def is_file_name(text: str) -> bool:
    """Whether a text can name a file in a folder, and nothing outside of it."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half a character
        return False
    return text not in ("", ".", "..") and size <= LONGEST_NAME and "/" not in text and "\0" not in text


MOMENT = Passes(str, is_time, "a moment such as 2026-11-21T04:00:00Z")
# Optional is what earlier releases did not record.
STEP = {
    "inputs": Values(str),
    "parameters": Maybe(dict),
    "seed": Maybe(int),
    "call": Maybe({"stage": Maybe(str), "command": Maybe(str), "arguments": Maybe(dict)}),
    "image": Maybe(Values(Maybe(str))),
    "versions": Maybe(Values(Maybe(str))),
    "run": Maybe(Values(Maybe(str))),
    "started": Maybe(MOMENT),
    "seconds": Maybe(float),
    "result": Maybe(dict),
}
MARK = {
    "version": int,
    "partition": str,
    # `removed`: when stagekit.tidy removed the file.
    "outputs": Values({"sha256": str, "size": COUNT, "step": str, "rows": Maybe(COUNT), "removed": Maybe(MOMENT)}),
    "steps": Values(STEP),
}


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(path: Path, output: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with a file, and what its mark's `output` says; None if it has the published bytes.

    Errors: FileNotFoundError.
    """
    size = path.stat().st_size
    if size != output["size"]:
        return f"has {size} bytes", f"{output['size']} bytes"
    digest = file_sha256(path)
    return None if digest == output["sha256"] else (f"has sha256 {digest[:12]}…", f"{output['sha256'][:12]}…")


def intact(path: Path, output: Mapping[str, Any]) -> bool:
    """Whether a file has the published bytes."""
    try:
        return damage(path, output) is None
    except FileNotFoundError:
        return False


def load_mark(folder: Path, name: str) -> dict[str, Any]:
    """The mark of a partition. Errors: BadInput where it is damaged or another partition's; FileNotFoundError."""
    label = f"{name}/{META}"
    try:
        # Not strict: an argument may be any bytes, a parameter any float.
        content = parse_object((folder / META).read_bytes(), strict=False)
    except ShapeError as error:
        raise _damaged(label, error) from None
    mark = check_mark(content, label)
    if mark["partition"] != name:
        raise BadInput(
            f"{label} is the mark of another partition, {mark['partition']}",
            expected=f"the mark of {name}",
            do=f"do not copy partitions; run the stage that writes {name} again",
        )
    return mark


def check_mark(content: Any, label: str) -> dict[str, Any]:
    """The content of a mark, of whatever partition, with all that its readers rely on. Errors: BadInput."""
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version != META_VERSION:
        raise BadInput(
            f"{label} has version {version}",
            expected=f"version {META_VERSION}",
            do="publish the partition again with the images in use",
        )
    try:
        check(content, MARK)
        for name in content["outputs"]:
            if not is_file_name(name):
                raise ShapeError(f"outputs names {ascii(name)[:SHOWN]}", "the name of a file in the partition")
    except ShapeError as error:
        raise _damaged(label, error) from None
    return dict(content)


def _damaged(label: str, error: ShapeError) -> BadInput:
    return BadInput(
        f"{label} is damaged ({error.found})",
        expected=f"the commit mark that the writing stage left, with {error.expected}",
        do="run the stage that writes this partition again",
    )


def write_mark(mark: Mapping[str, Any], temporary: Path) -> None:
    """Replace a partition's mark in one step, from a `temporary` folder in the partition's folder."""
    path = temporary / META
    path.write_text(json.dumps(mark, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    fsync(path)
    path.replace(temporary.parent / META)
    fsync(temporary.parent)


def fsync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
