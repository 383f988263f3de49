"""Reads commit marks below a data folder and hashes the files they lead to, back to the raw data.

Stands alone, and is run in two ways: imported where the data is a host folder, and handed to Python inside a
container (`python -c`) where it is a volume. Reads nothing else, writes nothing.
"""

import difflib
import hashlib
import json
import os
import sys
from pathlib import Path, PurePosixPath
from typing import Any

META = "_meta.json"
META_VERSION = 1
NEAR_NAMES = 5
NOTHING = type(None)
# What a step records that was run without a command line, or before calls were recorded.
NO_CALL = {"stage": None, "command": None, "arguments": None}


def read(root: Path, targets: list[str], marks: dict[str, Any]) -> dict[str, Any]:
    """The marks and files that the targets lead to.

    :param targets: partitions and files below the data folder
    :param marks: marks to take in place of those that lie there, by partition; their files are not looked at
    :return: `targets`: each with its `partition` and `files`, or with its `problem` and `near` names;
        `partitions`: each with its `mark` or the `problem` with it; `files`: size and sha256, None where gone
    """
    found: dict[str, Any] = {"targets": [], "partitions": {}, "files": {}}
    reached: list[str] = []
    for text in targets:
        target = _resolve(root, text, marks, found["partitions"])
        found["targets"].append(target)
        reached += [f"{target['partition']}/{file}" for file in target.get("files", [])]
    while reached:
        path = reached.pop()
        if path in found["files"]:
            continue
        partition, _, file = path.rpartition("/")
        found["files"][path] = None if partition in marks else _size_and_sha256(root, path)
        mark = _mark(root, partition, marks, found["partitions"])["mark"]
        step = (mark or {"outputs": {}})["outputs"].get(file, {}).get("step")
        if mark and step in mark["steps"]:
            reached += [path for path in mark["steps"][step]["inputs"] if _is_inside(path)]
    return found


def _resolve(root: Path, text: str, marks: dict[str, Any], partitions: dict[str, Any]) -> dict[str, Any]:
    """What a target names: a partition with all of its files, or one file of it."""
    name = text.removesuffix(f"/{META}").strip("/")
    if not name or not _is_inside(name):
        return {"name": text, "problem": "no path below the data folder", "near": []}
    parent, _, file = name.rpartition("/")
    if name in marks or (root / name / META).is_file():
        entry = _mark(root, name, marks, partitions)
        if entry["mark"]:
            return {"name": name, "partition": name, "files": sorted(entry["mark"]["outputs"])}
        return {"name": name, "problem": entry["problem"], "near": []}
    if parent and (parent in marks or (root / parent / META).is_file()):
        entry = _mark(root, parent, marks, partitions)
        if entry["mark"] and file in entry["mark"]["outputs"]:
            return {"name": name, "partition": parent, "files": [file]}
        if not entry["mark"]:
            return {"name": name, "problem": entry["problem"], "near": []}
        named = ", ".join(sorted(entry["mark"]["outputs"])) or "no files"
        there = "is there, but its mark does not name it" if (root / name).exists() else "is not there"
        return {"name": name, "problem": f"{there}; {parent}/{META} names {named}", "near": _near(root, name)}
    if (root / name).exists():
        return {"name": name, "problem": f"is there, but was never published: no {META} beside it", "near": []}
    return {"name": name, "problem": "is not there", "near": _near(root, name)}


def _near(root: Path, name: str) -> list[str]:
    """Names of published partitions and files that look like this one, else the last ones of the alphabet."""
    names: list[str] = []
    for mark in sorted(root.glob(f"*/*/{META}")):
        partition = str(mark.parent.relative_to(root))
        names.append(partition)
        names += [f"{partition}/{file}" for file in (load_mark(mark, partition)["mark"] or {"outputs": {}})["outputs"]]
    near = difflib.get_close_matches(name, names, n=NEAR_NAMES, cutoff=0.6)
    return near or [name for name in names if name.count("/") == 1][-NEAR_NAMES:]


def _mark(root: Path, partition: str, marks: dict[str, Any], partitions: dict[str, Any]) -> dict[str, Any]:
    if partition not in partitions:
        given = marks.get(partition)
        partitions[partition] = (
            {"mark": given, "problem": None} if given else load_mark(root / partition / META, partition)
        )
    entry: dict[str, Any] = partitions[partition]
    return entry


def load_mark(path: Path, partition: str | None) -> dict[str, Any]:
    """`mark`, or the `problem` with it: it is not there, damaged, or another partition's."""
    try:
        mark = json.loads(path.read_text(encoding="utf-8"))
        _check(mark)
    except (FileNotFoundError, NotADirectoryError):
        return {"mark": None, "problem": f"there is no {partition}/{META}"}
    except OSError as error:
        return {"mark": None, "problem": f"{partition}/{META} cannot be read ({error.strerror})"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return {"mark": None, "problem": f"{partition}/{META} is damaged ({type(error).__name__}: {error})"}
    if partition is not None and mark["partition"] != partition:
        return {"mark": None, "problem": f"{partition}/{META} is the mark of another partition, {mark['partition']}"}
    return {"mark": mark, "problem": None}


def _check(mark: Any) -> None:
    """Raise where a mark does not have the shape that the commands rely on."""
    if mark["version"] != META_VERSION:
        raise ValueError(f"version {mark['version']}, expected {META_VERSION}")
    _require(mark, "the mark", partition=str, outputs=dict, steps=dict)
    for file, output in mark["outputs"].items():
        _require({"rows": None, **output}, file, sha256=str, size=int, step=str, rows=(int, NOTHING))
    for step, record in mark["steps"].items():
        where = f"step {step}"
        filled = {"call": NO_CALL, "started": None, **record}
        _require(filled, where, inputs=dict, parameters=dict, image=dict, versions=dict, run=dict, call=dict)
        _require(filled, where, started=(str, NOTHING))
        _require(record["inputs"], f"inputs of {where}", **dict.fromkeys(record["inputs"], str))
        for name in ("image", "run"):
            _require(record[name], f"{name} of {where}", **dict.fromkeys(record[name], (str, NOTHING)))
        call = filled["call"]
        arguments = NOTHING if call["stage"] is None else dict
        _require(call, f"call of {where}", stage=(str, NOTHING), command=(str, NOTHING), arguments=arguments)


def _require(record: dict[str, Any], where: str, /, **kinds: Any) -> None:
    """Raise where a member of a record is missing or of another kind."""
    for name, kind in kinds.items():
        if not isinstance(record[name], kind):
            raise TypeError(f"{name} of {where} is {type(record[name]).__name__}")


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts


def _size_and_sha256(root: Path, path: str) -> dict[str, Any] | None:
    digest = hashlib.sha256()
    try:
        with (root / path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while block := file.read(1 << 20):
                digest.update(block)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return {"size": size, "sha256": digest.hexdigest()}


if __name__ == "__main__":
    request = json.loads(sys.stdin.read())
    print(json.dumps(read(Path(request["root"]), request["targets"], request["marks"])))
