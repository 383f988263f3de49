"""What differs between two runs: step by step, from what was asked for back to where the difference begins."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_ml.lineage.graph import File, Input, Lineage, Step

DAY = re.compile(r"\d{4}-\d\d-\d\d")
IMAGE_FACTS = ("name", "id", "revision")


@dataclass(frozen=True)
class Change:
    """One thing that differs: what it is, and how it is on either side (None: not there)."""

    kind: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Pair:
    """A step of either run that did the same work, with what differs: of its own, and in what it read."""

    a: Step
    b: Step
    own: list[Change]
    inputs: list[Change]
    outputs: list[Change]
    same_outputs: list[str]
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Two runs compared: pairs of steps in the order of the work, and what has no counterpart."""

    pairs: list[Pair]
    alone: list[Change]
    outputs: list[Change]
    same_outputs: list[str]

    @property
    def different(self) -> list[Pair]:
        """Pairs of which anything differs, in the order of the work."""
        return [pair for pair in self.pairs if pair.own or pair.inputs or pair.outputs]

    @property
    def origins(self) -> list[Pair]:
        """Where differences begin: pairs of steps that made other bytes of the same ones."""
        return [pair for pair in self.pairs if pair.outputs and not any(c.kind == "input" for c in pair.inputs)]


def role(path: str) -> str:
    """A path without its day: what a file is, in every run."""
    return DAY.sub("{ds}", path)


def compare(a: Lineage, b: Lineage) -> Comparison:
    """Compare the files that two lineages lead to, and the steps that they come from."""
    files, alone = _matched(_targets(a), _targets(b))
    outputs, same = _changes("output", files, lambda file: file.output["sha256"] if file.output else None)
    queue = _steps_of(a, b, files)
    missing = [change for change in alone if change is not None]
    pairs: list[Pair] = []
    seen: set[tuple[str, str]] = set()
    while queue:
        first, second = queue.pop(0)
        if (first.id, second.id) in seen:
            continue
        seen.add((first.id, second.id))
        pair, below = _compare_steps(a, b, first, second)
        pairs.append(pair)
        queue += below
    place = {step: number for number, step in enumerate(a.steps)}
    return Comparison(sorted(pairs, key=lambda pair: place[pair.a.id]), missing, outputs, same)


def _targets(lineage: Lineage) -> dict[str, File]:
    return {path: lineage.files[path] for path in lineage.targets}


def _matched(a: dict[str, Any], b: dict[str, Any]) -> tuple[list[tuple[str, Any, Any]], list[Change]]:
    """Pairs of what plays the same role, as (role, a, b), and what is on one side only."""
    left = _by_role(a)
    right = _by_role(b)
    both = [
        (name, one, other)
        for name in sorted(left.keys() & right.keys())
        for (_, one), (_, other) in zip(left[name], right[name], strict=False)
    ]
    # One file of any kind on either side is compared with the other, whatever they are called.
    if not both and len(a) == len(b) == 1:
        ((path, one),), ((other_path, other),) = a.items(), b.items()
        return [(f"{path} | {other_path}", one, other)], []
    alone = []
    for name in sorted(left.keys() | right.keys()):
        mine, theirs = left.get(name, []), right.get(name, [])
        alone += [Change("only in A", path, path, None) for path, _ in mine[len(theirs) :]]
        alone += [Change("only in B", path, None, path) for path, _ in theirs[len(mine) :]]
    return both, alone


def _by_role(items: dict[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    roles: dict[str, list[tuple[str, Any]]] = {}
    for path, item in sorted(items.items()):
        roles.setdefault(role(path), []).append((path, item))
    return roles


def _changes(kind: str, matched: list[tuple[str, Any, Any]], value: Any) -> tuple[list[Change], list[str]]:
    changed = [Change(kind, name, value(a), value(b)) for name, a, b in matched if value(a) != value(b)]
    return changed, [name for name, a, b in matched if value(a) == value(b)]


def _steps_of(a: Lineage, b: Lineage, files: list[tuple[str, File, File]]) -> list[tuple[Step, Step]]:
    return [(a.steps[one.step], b.steps[other.step]) for _, one, other in files if one.step and other.step]


def _compare_steps(a: Lineage, b: Lineage, first: Step, second: Step) -> tuple[Pair, list[tuple[Step, Step]]]:
    """A pair of steps, and the pairs that made what they read."""
    reads, alone = _matched(_reads(first), _reads(second))
    changed, _ = _changes("input", reads, lambda read: read.sha256)
    made, _ = _matched(first.outputs, second.outputs)
    outputs, same = _changes("output", made, lambda output: output["sha256"])
    below: list[tuple[Step, Step]] = []
    unknown: list[str] = []
    # A step that has run again since says nothing of the bytes that were read before, whichever of its files it is.
    replaced = {a.files[read.path].step for read in first.inputs if read.problem}
    replaced |= {b.files[read.path].step for read in second.inputs if read.problem}
    for name, one, other in reads:
        lost = [side for side, read in (("A", one), ("B", other)) if read.problem]
        if lost and one.sha256 != other.sha256:
            unknown.append(f"{name} as {' and '.join(lost)} read it is no longer there: it was published again since")
        if not {a.files[one.path].step, b.files[other.path].step} & replaced:
            below += _steps_of(a, b, [(name, a.files[one.path], b.files[other.path])])
    pair = Pair(first, second, list(_own(first, second)), [*changed, *alone], outputs, same, unknown)
    return pair, below


def _reads(step: Step) -> dict[str, Input]:
    return {read.path: read for read in step.inputs}


def _own(a: Step, b: Step) -> Iterator[Change]:
    """What differs between two steps, except what they read."""
    for name in IMAGE_FACTS:
        # What is recorded on one side only (by hand nobody knows the id) is no difference.
        if a.image[name] and b.image[name] and a.image[name] != b.image[name] and name != "revision":
            yield Change("image", name, a.image[name], b.image[name])
    yield from _differing("version", a.recorded("versions"), b.recorded("versions"))
    calls = [step.call or {"stage": None, "command": None, "arguments": {}} for step in (a, b)]
    if a.call and b.call:
        for name in ("stage", "command"):
            if calls[0][name] != calls[1][name]:
                yield Change("call", name, calls[0][name], calls[1][name])
        yield from _differing("argument", calls[0]["arguments"], calls[1]["arguments"])
    arguments = calls[0]["arguments"].keys() | calls[1]["arguments"].keys() if a.call and b.call else set()
    parameters = [{k: v for k, v in step.recorded("parameters").items() if k not in arguments} for step in (a, b)]
    yield from _differing("parameter", *parameters)
    if a.record.get("seed") != b.record.get("seed") and "seed" not in arguments | set(parameters[0]):
        yield Change("seed", "seed", a.record.get("seed"), b.record.get("seed"))


def _differing(kind: str, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Change]:
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            yield Change(kind, name, a.get(name), b.get(name))
