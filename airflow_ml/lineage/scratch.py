"""Works in the scratch volume of a rerun, at /data, with the published data at /published, which it only reads.

Runs inside a container of the base image (`python -c`), so it imports nothing of ours. Two jobs: `seed` empties the
scratch data and copies what a step reads, with its mark; `compare` compares the outputs of the step with the published
ones.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
SHOWN = 120


def seed(published: Path, data: Path, files: dict[str, str], marks: dict[str, Any]) -> dict[str, Any]:
    """Copy `files` (sha256 by path) and write `marks` (by partition); `wrong` names a file of other bytes."""
    for left in data.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    for path, sha256 in files.items():
        copy = data / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(published / path, copy)
        if sha256_of(copy) != sha256:
            return {"wrong": path}
    for partition, mark in marks.items():
        (data / partition).mkdir(parents=True, exist_ok=True)
        (data / partition / "_meta.json").write_text(json.dumps(mark), encoding="utf-8")
    return {"wrong": None}


def compare(published: Path, data: Path, files: dict[str, str]) -> dict[str, Any]:
    """What was made of each of `files` (published sha256 by path): its sha256, and where it differs if it does."""
    found: dict[str, Any] = {}
    for path, sha256 in files.items():
        made = sha256_of(data / path) if (data / path).is_file() else None
        difference = None
        if made is not None and made != sha256:
            intact = (published / path).is_file() and sha256_of(published / path) == sha256
            difference = first_difference(published / path, data / path) if intact else None
        found[path] = {"published": sha256, "made": made, "difference": difference}
    return found


def first_difference(a: Path, b: Path) -> dict[str, Any] | None:
    """The first byte in which two files differ: its offset and line (both from 1), and that line of either file."""
    offset, line, start = 0, 1, 0
    with a.open("rb") as one, b.open("rb") as other:
        while True:
            left, right = one.read(BLOCK), other.read(BLOCK)
            if left == right:
                if not left:
                    return None
                same = len(left)
            else:
                same = next(
                    (i for i, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right))
                )
            newline = left.rfind(b"\n", 0, same)
            line += left.count(b"\n", 0, same)
            start = offset + newline + 1 if newline >= 0 else start
            offset += same
            if left != right:
                return {"byte": offset + 1, "line": line, "published": _line(a, start), "made": _line(b, start)}


def _line(path: Path, start: int) -> str | None:
    """The beginning of the line at an offset; None beyond the end."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read(SHOWN)
    return text.partition(b"\n")[0].decode("utf-8", errors="replace") if text else None


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def main() -> None:
    """Do the job of the JSON request on stdin, print a JSON answer."""
    request = json.loads(sys.stdin.read())
    published, data = Path("/published"), Path("/data")
    if request["job"] == "seed":
        print(json.dumps(seed(published, data, request["files"], request["marks"])))
    else:
        print(json.dumps(compare(published, data, request["files"])))


if __name__ == "__main__":
    main()
