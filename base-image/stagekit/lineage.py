"""The lineage of files: which steps made them, from which files, back to the raw data. Read from commit marks alone.

Used in three ways: `follow` in a stage; `python -m stagekit.lineage` in a container, which reads a JSON request on
stdin and prints the lineage as JSON on stdout. The request is an object with
  root      the data folder, such as /data
  targets   partitions and files below it, such as ["models/2026-11-21"]
  verify    whether to hash the files and compare them with their marks (optional, true)
  marks     marks to take in place of those that lie there, by partition (optional); their files are not looked at
  progress  whether lines come before the answer (optional, false): {"total": N}, the bytes to hash, and for each file
            {"done": N}
The answer is the last line: `targets`, each with its `partition` and `files`, or with its `problem` and `near` names;
`files`, `steps` in the order of the work, `marks` by partition, `unreadable` marks and `problems` (see `Lineage`).
"""

import difflib
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from stagekit.errors import BadInput
from stagekit.mark import META, check_mark, file_sha256, is_file_name, load_mark

SHORT = 12  # digits of a sha256 that a message shows
NEAR_NAMES = 5
LONGEST_PATH = 3000  # in bytes; Linux allows 4,096, the data folder's own path included


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, or with what a step read: a word for programs, a sentence for people."""

    kind: str
    text: str


@dataclass(frozen=True)
class File:
    """A file as its partition's mark has it; `output` is None where no mark has it, `step` is the id of its step."""

    path: str
    output: Mapping[str, Any] | None
    step: str | None
    problem: Problem | None


@dataclass(frozen=True)
class Input:
    """A file as a step read it. It has the problem "published again" where its mark names other bytes now."""

    path: str
    sha256: str
    problem: Problem | None


@dataclass(frozen=True)
class Step:
    """A step of a partition: its record in the mark, what it read, and the outputs that it wrote, by path."""

    partition: str
    name: str
    record: Mapping[str, Any]
    inputs: tuple[Input, ...]
    outputs: Mapping[str, Mapping[str, Any]]

    @property
    def id(self) -> str:
        """Unlike that of any other step."""
        return f"{self.partition}#{self.name}"

    @property
    def call(self) -> Mapping[str, Any] | None:
        """`stage`, `command` and `arguments`; None where the mark does not have them."""
        call = self.record.get("call")
        return call if call and call.get("stage") else None

    @property
    def command(self) -> str:
        """Stage and command, such as `prediction validate`; empty where they are not recorded."""
        return " ".join(self.call[key] for key in ("stage", "command") if self.call.get(key)) if self.call else ""

    @property
    def image(self) -> dict[str, str | None]:
        """`name`, `id` and `revision`; None each where it is not recorded."""
        image = self.record.get("image") or {}
        return {name: image.get(name) for name in ("name", "id", "revision")}

    @property
    def run(self) -> dict[str, str | None]:
        """`dag_id`, `task_id`, `run_id` and `try_number` of Airflow; None each where the step ran by hand."""
        run = self.record.get("run") or {}
        return {name: run.get(name) for name in ("dag_id", "task_id", "run_id", "try_number")}

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences for an expert in its result."""
        warnings = (self.record.get("result") or {}).get("warnings")
        return tuple(map(str, warnings)) if isinstance(warnings, list) else ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The partitions that it read."""
        return tuple(dict.fromkeys(read.path.rpartition("/")[0] for read in self.inputs))


@dataclass(frozen=True)
class Lineage:
    """Everything that some files were made from.

    `files` by path and `steps` by id; `marks` by partition; `unreadable` says why a partition has no mark to read.
    """

    targets: tuple[str, ...]
    files: dict[str, File] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    marks: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unreadable: dict[str, Problem] = field(default_factory=dict)

    def in_order(self) -> list[Step]:
        """The steps, each after those whose files it read; a loop of damaged marks is cut somewhere."""
        done: dict[str, Step] = {}
        entered: set[str] = set()
        left = [(path, False) for path in reversed(self.targets)]
        while left:
            path, leaving = left.pop()
            file = self.files.get(path)
            step = file.step if file else None
            if step is None:
                continue
            if leaving:
                done[step] = self.steps[step]
            elif step not in entered:
                entered.add(step)
                left += [(path, True), *((read.path, False) for read in reversed(self.steps[step].inputs))]
        return list(done.values())

    @property
    def problems(self) -> list[tuple[str, Problem]]:
        """Each problem with the path of the file that has it, or was read with it; upstream ones first."""
        found = []
        for step in self.in_order():
            for read in step.inputs:
                file = self.files.get(read.path)
                found += [(read.path, problem) for problem in (file and file.problem, read.problem) if problem]
        found += [(path, problem) for path in self.targets if (problem := self.files[path].problem)]
        return list(dict.fromkeys(found))

    @property
    def digest(self) -> str:
        """A sha256 that is the same for the same lineage."""
        return hashlib.sha256(json.dumps(self.to_document(), sort_keys=True).encode()).hexdigest()

    def to_document(self) -> dict[str, Any]:
        """The lineage as an object of JSON."""
        return {
            "files": {path: asdict(file) for path, file in self.files.items()},
            "steps": {step.id: asdict(step) for step in self.in_order()},
            "marks": self.marks,
            "unreadable": {partition: asdict(problem) for partition, problem in self.unreadable.items()},
            "problems": [[path, asdict(problem)] for path, problem in self.problems],
        }


class Reader:
    """Follows the marks below a data folder.

    :param root: the data folder
    :param marks: marks to take in place of those that lie there, by partition; their files are not looked at
    :param verify: whether to hash each file and compare it with its mark
    :param most_partitions: marks of more partitions are not read; None: no limit
    :param hashed: gets the size of each file that was hashed
    """

    def __init__(
        self,
        root: Path,
        *,
        marks: Mapping[str, Any] | None = None,
        verify: bool = False,
        most_partitions: int | None = None,
        hashed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._hashed = hashed
        self._root, self._given, self._verify, self._most = root, dict(marks or {}), verify, most_partitions
        self._marks: dict[str, Mapping[str, Any] | Problem] = {}

    def follow(self, paths: Iterable[str], *, past_changes: bool = True) -> Lineage:
        """The lineage of files, by path below the data folder.

        With `past_changes=False` the walk does not go past a file whose mark names other bytes than the step read: the
        mark then says where the new bytes come from, not those that were read.
        """
        lineage = Lineage(tuple(paths))
        left = list(lineage.targets)
        while left:
            path = left.pop()
            if path in lineage.files:
                continue
            file = lineage.files[path] = self._file(path)
            if file.step is not None and file.step not in lineage.steps:
                step = lineage.steps[file.step] = self._step(path)
                left += [read.path for read in step.inputs if past_changes or read.problem is None]
        for partition, mark in self._marks.items():
            if isinstance(mark, Problem):
                lineage.unreadable[partition] = mark
            else:
                lineage.marks[partition] = mark
        return lineage

    def resolve(self, text: str) -> dict[str, Any]:
        """What a target names: a partition with all of its files, or one file of a partition.

        :return: `name`, `partition` and `files`; or `name`, the `problem` with it and `near` names
        """
        name = text.removesuffix(f"/{META}").strip("/")
        if not _is_inside(name):
            return {"name": text, "problem": "no path below the data folder", "near": []}
        parent, _, file = name.rpartition("/")
        if self._has_mark(name):
            return self._whole(name)
        if parent and self._has_mark(parent):
            return self._one_file(name, parent, file)
        if (self._root / name).exists():
            return {"name": name, "problem": f"is there, but was never published: no {META} beside it", "near": []}
        return {"name": name, "problem": "is not there", "near": self._near(name)}

    def _whole(self, name: str) -> dict[str, Any]:
        mark = self._mark(name)
        if isinstance(mark, Problem):
            return {"name": name, "problem": mark.text, "near": []}
        return {"name": name, "partition": name, "files": sorted(mark["outputs"])}

    def _one_file(self, name: str, partition: str, file: str) -> dict[str, Any]:
        mark = self._mark(partition)
        if isinstance(mark, Problem):
            return {"name": name, "problem": mark.text, "near": []}
        if file in mark["outputs"]:
            return {"name": name, "partition": partition, "files": [file]}
        named = ", ".join(sorted(mark["outputs"])) or "no files"
        there = "is there, but its mark does not name it" if (self._root / name).exists() else "is not there"
        return {"name": name, "problem": f"{there}; {partition}/{META} names {named}", "near": self._near(name)}

    def _has_mark(self, partition: str) -> bool:
        return partition in self._given or (self._root / partition / META).is_file()

    def _near(self, name: str) -> list[str]:
        """Names of published partitions and files that look like this one, else the last partitions."""
        names: list[str] = []
        for path in sorted(self._root.glob(f"*/*/{META}")):
            partition = str(path.parent.relative_to(self._root))
            mark = self._mark(partition)
            names += [partition, *(f"{partition}/{f}" for f in ([] if isinstance(mark, Problem) else mark["outputs"]))]
        near = difflib.get_close_matches(name, names, n=NEAR_NAMES, cutoff=0.6)
        return near or [name for name in names if name.count("/") == 1][-NEAR_NAMES:]

    def _mark(self, partition: str) -> Mapping[str, Any] | Problem:
        if partition not in self._marks:
            self._marks[partition] = self._read_mark(partition)
        return self._marks[partition]

    def _read_mark(self, partition: str) -> Mapping[str, Any] | Problem:
        label = f"{partition}/{META}"
        if not _is_inside(partition):
            return Problem("outside", "its path leads out of the data folder")
        if self._most is not None and len(self._marks) >= self._most:
            return Problem("not looked at", f"not looked at: more than {self._most} partitions")
        try:
            if partition in self._given:
                return check_mark(self._given[partition], label)
            return load_mark(self._root / partition, partition)
        except BadInput as error:
            return Problem("damaged", error.found)
        except (FileNotFoundError, NotADirectoryError):
            return Problem("no mark", f"there is no {label}")
        except OSError as error:
            return Problem("damaged", f"{label} cannot be read ({error.strerror})")

    def _file(self, path: str) -> File:
        partition, _, name = path.rpartition("/")
        mark = self._mark(partition)
        if isinstance(mark, Problem):
            return File(path, None, None, mark)
        output = mark["outputs"].get(name)
        if output is None:
            there = "is on disk, but " if _is_inside(path) and (self._root / path).exists() else "is gone, and "
            return File(path, None, None, Problem("not published", f"{there}the mark of {partition} does not name it"))
        recorded = output["step"] in mark["steps"]
        problem = self._damage(path, output) if self._verify and partition not in self._given else None
        if problem is None and not recorded:
            problem = Problem("no record", f"its mark has no record of the step {output['step']} that wrote it")
        return File(path, output, f"{partition}#{output['step']}" if recorded else None, problem)

    def _damage(self, path: str, output: Mapping[str, Any]) -> Problem | None:
        try:
            size, sha256 = (self._root / path).stat().st_size, file_sha256(self._root / path)
            self._hashed(size)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            if removed := output.get("removed"):
                return Problem("removed", f"was removed on {removed} to save space, so its bytes cannot be checked")
            return Problem("gone", "is gone, but its mark is there")
        if sha256 == output["sha256"]:
            return None
        sizes = f", {size:,} bytes instead of {output['size']:,}" if size != output["size"] else ""
        found = f"its sha256 is {sha256[:SHORT]}, its mark says {output['sha256'][:SHORT]}{sizes}"
        return Problem("edited", f"was edited: {found}")

    def _step(self, path: str) -> Step:
        """The step that wrote a file; its mark was read and names it."""
        partition, _, file = path.rpartition("/")
        mark = self._mark(partition)
        assert not isinstance(mark, Problem)
        name = mark["outputs"][file]["step"]
        record = mark["steps"][name]
        inputs = tuple(Input(path, sha256, self._changed(path, sha256)) for path, sha256 in record["inputs"].items())
        outputs = {f"{partition}/{file}": output for file, output in mark["outputs"].items() if output["step"] == name}
        return Step(partition, name, record, inputs, outputs)

    def _changed(self, path: str, sha256: str) -> Problem | None:
        """What happened to an input since it was read, as far as the marks know."""
        partition, _, file = path.rpartition("/")
        mark = self._mark(partition)
        output = None if isinstance(mark, Problem) else mark["outputs"].get(file)
        if output is None or output["sha256"] == sha256:
            return None
        return Problem(
            "published again",
            f"was published again with other bytes: this step read {sha256[:SHORT]}, its mark now says "
            f"{output['sha256'][:SHORT]}",
        )


def _is_inside(path: str) -> bool:
    """Whether a path stays in the data folder, below a folder of it."""
    parts = PurePosixPath(path)
    return bool(parts.parts) and all(map(is_file_name, parts.parts)) and len(path.encode()) <= LONGEST_PATH


def answer(request: Mapping[str, Any], show: Callable[[dict[str, Any]], None] = lambda _: None) -> dict[str, Any]:
    """The answer to a request, as the module's docstring describes both; `show` gets the lines before it."""
    root, marks, verify = Path(request["root"]), request.get("marks"), request.get("verify", True)

    def follow(reader: Reader) -> tuple[list[dict[str, Any]], Lineage]:
        targets = [reader.resolve(text) for text in request["targets"]]
        return targets, reader.follow(_paths(targets))

    if request.get("progress"):
        _, known = follow(Reader(root, marks=marks))
        show({"total": sum(file.output["size"] for file in known.files.values() if file.output)})
        reader = Reader(root, marks=marks, verify=verify, hashed=lambda size: show({"done": size}))
    else:
        reader = Reader(root, marks=marks, verify=verify)
    targets, lineage = follow(reader)
    return {"targets": targets, **lineage.to_document()}


def _paths(targets: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for target in targets:
        yield from (f"{target['partition']}/{file}" for file in target.get("files", ()))


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin), lambda line: print(json.dumps(line), flush=True))))
