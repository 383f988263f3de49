"""Follows the inputs in commit marks back to the raw data: what made the files of a page, when, and in which image."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stagekit import META, BadInput, NotReady, Partition, StageError, partition_name, read_partition

MOST_PARTITIONS = 200


@dataclass(frozen=True)
class Step:
    """A step of a partition, as its mark has it: which files it read, what it ran in, when and for how long."""

    partition: str
    name: str
    command: str
    image: str
    started: str
    seconds: float
    dag: str
    run: str
    task: str
    inputs: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The partitions that it read."""
        return tuple(dict.fromkeys(path.rpartition("/")[0] for path in self.inputs))


@dataclass(frozen=True)
class History:
    """The steps behind some files, the partitions whose marks could not be read, and what was changed since."""

    steps: tuple[Step, ...]
    gone: Mapping[str, str]
    changed: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The same for the same history: a page made from another one is another page."""
        told = [[asdict(step) for step in self.steps], dict(self.gone), self.changed]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()


def follow(root: Path, paths: Iterable[str]) -> History:
    """The history of files below the data folder, upstream steps first."""
    marks: dict[str, Mapping[str, Any]] = {}
    steps: dict[tuple[str, str], Step] = {}
    gone: dict[str, str] = {}
    changed: set[str] = set()
    left, seen = list(paths), set()
    while left:
        path = left.pop()
        partition, _, file = path.rpartition("/")
        if path in seen or not _is_inside(path):
            continue
        seen.add(path)
        mark = _mark(root, partition, marks, gone)
        name = mark.get("outputs", {}).get(file, {}).get("step")
        record = mark.get("steps", {}).get(name)
        if record is None or (partition, name) in steps:
            continue
        step = steps[partition, name] = _step(partition, name, record, mark["outputs"])
        left += step.inputs
        for read, sha256 in record["inputs"].items():
            now = _mark(root, read.rpartition("/")[0], marks, gone) if _is_inside(read) else {}
            found = now.get("outputs", {}).get(read.rpartition("/")[2])
            if found and found["sha256"] != sha256:
                changed.add(f"{read} was published again with other bytes since {name} of {partition} read it")
    return History(tuple(_in_order(steps)), dict(sorted(gone.items())), tuple(sorted(changed)))


def _in_order(steps: Mapping[tuple[str, str], Step]) -> list[Step]:
    """The steps, each after those that wrote what it read; a loop between damaged marks is cut somewhere."""
    writers = {f"{step.partition}/{file}": key for key, step in sorted(steps.items()) for file in step.files}
    left, done = dict(sorted(steps.items())), list[Step]()
    while left:
        waiting = {key: {writers.get(path) for path in step.inputs} - {key} for key, step in left.items()}
        ready = [key for key in left if not waiting[key] & left.keys()]
        done += [left.pop(key) for key in ready or [next(iter(left))]]
    return done


def _mark(root: Path, partition: str, marks: dict[str, Mapping[str, Any]], gone: dict[str, str]) -> Mapping[str, Any]:
    if partition not in marks:
        marks[partition] = {}
        if len(marks) > MOST_PARTITIONS:
            gone[partition] = f"not looked at: more than {MOST_PARTITIONS} partitions"
        else:
            try:
                marks[partition] = read_partition(root, partition, ()).meta
            except NotReady:
                gone[partition] = f"there is no {META} any more"
            except (BadInput, OSError):
                gone[partition] = f"its {META} is damaged"
    return marks[partition]


def _step(partition: str, name: str, record: Mapping[str, Any], outputs: Mapping[str, Any]) -> Step:
    call, run = record.get("call") or {}, record.get("run") or {}
    return Step(
        partition=partition,
        name=name,
        command=" ".join(str(call[key]) for key in ("stage", "command") if call.get(key)),
        image=str((record.get("image") or {}).get("name") or ""),
        started=str(record.get("started") or ""),
        seconds=float(record.get("seconds") or 0.0),
        dag=str(run.get("dag_id") or ""),
        run=str(run.get("run_id") or ""),
        task=str(run.get("task_id") or ""),
        inputs=tuple(sorted(record["inputs"])),
        files=tuple(sorted(file for file, output in outputs.items() if output["step"] == name)),
    )


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and len(parts.parts) > 1


def read_what_is_there(root: Path, name: str, files: Iterable[str]) -> Partition | None:
    """A partition with those of the files that its mark names; None where there is no such partition.

    Errors: BadInput where it is torn.
    """
    try:
        partition = read_partition(root, partition_name(root, name), ())
        return read_partition(root, partition.name, [file for file in files if file in partition.meta["outputs"]])
    except BadInput:
        raise
    except StageError:
        return None


def newest(root: Path, kind: str, ds: str, file: str) -> Partition | None:
    """The newest partition of a kind, of this day or before, that has the file. Errors: BadInput where it is torn."""
    for day in days(root, kind, ds):
        partition = read_what_is_there(root, f"{kind}/{day}", [file])
        if partition and partition.files:
            return partition
    return None


def days(root: Path, kind: str, ds: str) -> list[str]:
    """The days up to `ds` of which a kind of partition has a mark, the newest first."""
    found = [mark.parent.name for mark in (root / kind).glob(f"????-??-??/{META}")]
    return sorted((day for day in found if day <= ds), reverse=True)


def scored_by(mark: Mapping[str, Any]) -> tuple[str, str]:
    """The model and version that predictions were made with; empty texts where the mark does not tell."""
    told = mark["steps"].get("predict", {}).get("parameters", {})
    return str(told.get("model") or ""), str(told.get("version") or "")


def scored_since(root: Path, ds: str) -> tuple[str, int]:
    """Since which day the model of `ds` scores, and how many days that makes: another model's day ends it."""
    model, first, number = None, ds, 0
    for day in days(root, "predictions", ds):
        partition = read_what_is_there(root, f"predictions/{day}", [])
        own = scored_by(partition.meta) if partition else None
        model = model or own
        if own != model:
            break
        first, number = day, number + 1
    return first, number
