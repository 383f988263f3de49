"""Looks at the files of published data and changes them.

Root on the engine's own host calls this directly. For anybody else it runs as a program in a container that has the
data at /data, which costs half a second of the processor each time: `python -c CODE NAME ARGUMENTS`, ARGUMENTS as JSON.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# The user of the images, who owns the data.
USER = 10001


def look(data: Path) -> dict[str, list[Any]]:
    """Sha256, time of change and inode of every file but locks."""
    found = {}
    for path in sorted(data.rglob("*")):
        # A step that works meanwhile may remove its workspace between two looks.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.name != ".lock":
                facts = [hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_ino]
                found[str(path.relative_to(data))] = facts
    return found


def read(data: Path, path: str) -> str:
    return (data / path).read_text(encoding="utf-8")


def write(data: Path, path: str, text: str) -> None:
    (data / path).write_text(text, encoding="utf-8")
    give(data / path)


def remove(data: Path, path: str) -> None:
    """Remove a folder."""
    shutil.rmtree(data / path)


def copy(data: Path, source: str, without: Sequence[str]) -> None:
    """Copy the folders of other data."""
    # Folder by folder: the data itself may belong to another user, whose times cannot be set.
    for folder in Path(source).iterdir():
        if folder.name not in without:
            shutil.copytree(folder, data / folder.name)
            give(data / folder.name)


def give(path: Path) -> None:
    """Root gives what it made to the user of the images."""
    if os.geteuid() == 0:
        for one in (path, *path.rglob("*")):
            os.chown(one, USER, USER, follow_symlinks=False)


CALLS: dict[str, Callable[..., Any]] = {"look": look, "read": read, "write": write, "remove": remove, "copy": copy}

if __name__ == "__main__":
    print(json.dumps(CALLS[sys.argv[1]](Path("/data"), **json.loads(sys.argv[2]))))
