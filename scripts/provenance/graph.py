"""The lineage of files: files made by steps from files, each compared with what the marks say of it."""

from dataclasses import dataclass, field
from typing import Any

from provenance.store import Snapshot

SHORT = 12


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, or with what a step read: a word for programs, a sentence for people."""

    kind: str
    text: str


@dataclass(frozen=True)
class File:
    """A file as its partition's mark has it (None where no mark does), and what is wrong with it."""

    path: str
    output: dict[str, Any] | None
    step: str | None
    problem: Problem | None


@dataclass(frozen=True)
class Input:
    """A file as a step read it."""

    path: str
    sha256: str
    problem: Problem | None


@dataclass(frozen=True)
class Step:
    """A step of a partition: its record in the mark, and the files that it wrote, by path."""

    partition: str
    name: str
    record: dict[str, Any]
    inputs: tuple[Input, ...]
    outputs: dict[str, dict[str, Any]]

    @property
    def id(self) -> str:
        return f"{self.partition}#{self.name}"

    @property
    def image(self) -> dict[str, str | None]:
        return {name: self.record["image"].get(name) for name in ("name", "id", "revision")}

    @property
    def call(self) -> dict[str, Any] | None:
        """How the stage was called; None in marks that do not tell."""
        call = self.record.get("call")
        return call if isinstance(call, dict) and call.get("stage") else None


@dataclass(frozen=True)
class Lineage:
    """Everything that some files were made from."""

    targets: tuple[str, ...]
    files: dict[str, File] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)

    @property
    def problems(self) -> list[tuple[str, Problem]]:
        """Each problem with the path of the file that has it, or was read with it; upstream ones first."""
        found = []
        for step in self.in_order():
            for read in step.inputs:
                own = self.files[read.path].problem
                found += [(read.path, problem) for problem in (own, read.problem) if problem]
        found += [(path, problem) for path in self.targets if (problem := self.files[path].problem)]
        return list(dict.fromkeys(found))

    def in_order(self) -> list[Step]:
        """The steps, each after those whose files it read."""
        done: dict[str, Step] = {}
        under_way: set[str] = set()

        def visit(path: str) -> None:
            step = self.files[path].step
            if step is None or step in under_way:
                return
            under_way.add(step)
            for read in self.steps[step].inputs:
                visit(read.path)
            done[step] = self.steps[step]

        for path in self.targets:
            visit(path)
        return list(done.values())


def build(snapshot: Snapshot) -> Lineage:
    """The lineage of the targets of a snapshot."""
    targets = [f"{target['partition']}/{file}" for target in snapshot["targets"] for file in target["files"]]
    lineage = Lineage(tuple(targets))
    left = list(targets)
    while left:
        path = left.pop()
        if path in lineage.files:
            continue
        file = lineage.files[path] = _file(snapshot, path)
        if file.step is not None and file.step not in lineage.steps:
            step = lineage.steps[file.step] = _step(snapshot, file.step)
            left += [read.path for read in step.inputs]
    return lineage


def short(sha256: str | None) -> str:
    """The first digits of a sha256 or an image id."""
    return (sha256 or "").removeprefix("sha256:")[:SHORT]


def _mark(snapshot: Snapshot, path: str) -> tuple[dict[str, Any] | None, str]:
    entry = snapshot["partitions"].get(path.rpartition("/")[0])
    return (entry["mark"], entry["problem"] or "") if entry else (None, "its path leads out of the data folder")


def _file(snapshot: Snapshot, path: str) -> File:
    mark, why = _mark(snapshot, path)
    partition, _, name = path.rpartition("/")
    found = snapshot["files"].get(path)
    output = mark["outputs"].get(name) if mark else None
    if mark is None:
        return File(path, None, None, Problem("no mark", why))
    if output is None:
        there = "is on disk, but " if found else "is gone, and "
        return File(path, None, None, Problem("not published", f"{there}the mark of {partition} does not name it"))
    step = output["step"] if output["step"] in mark["steps"] else None
    return File(path, output, f"{partition}#{step}" if step else None, _problem(snapshot, path, output, step))


def _problem(snapshot: Snapshot, path: str, output: dict[str, Any], step: str | None) -> Problem | None:
    found = snapshot["files"].get(path)
    if path.rpartition("/")[0] in snapshot.get("given", ()):
        return None  # a mark from elsewhere speaks of files that are not looked at
    if found is None:
        return Problem("gone", "is gone, but its mark is there")
    if found["sha256"] != output["sha256"]:
        sizes = f", {found['size']:,} bytes instead of {output['size']:,}" if found["size"] != output["size"] else ""
        return Problem(
            "edited",
            f"was edited: its sha256 is {short(found['sha256'])}, its mark says {short(output['sha256'])}{sizes}",
        )
    if step is None:
        return Problem("no record", f"its mark has no record of the step {output['step']} that wrote it")
    return None


def _step(snapshot: Snapshot, step_id: str) -> Step:
    partition, _, name = step_id.rpartition("#")
    mark = snapshot["partitions"][partition]["mark"]
    record = mark["steps"][name]
    inputs = tuple(Input(path, sha256, _drift(snapshot, path, sha256)) for path, sha256 in record["inputs"].items())
    outputs = {f"{partition}/{file}": output for file, output in mark["outputs"].items() if output["step"] == name}
    return Step(partition, name, record, inputs, outputs)


def _drift(snapshot: Snapshot, path: str, sha256: str) -> Problem | None:
    """What happened to an input since it was read, as far as the marks tell."""
    mark, _ = _mark(snapshot, path)
    output = mark["outputs"].get(path.rpartition("/")[2]) if mark else None
    if output is None or output["sha256"] == sha256:
        return None
    return Problem(
        "published again",
        f"was published again with other bytes: this step read {short(sha256)}, its mark now says "
        f"{short(output['sha256'])}",
    )
