"""Says what differs between two runs, and in which step the difference begins.

Figures, parameters and numbers of rows come first, then each step, hashes last. A and B are paths below the data
folder, as for `lineage`; or kept copies of a _meta.json.
Exit codes: 0 done; 2 wrong usage; 3 it cannot be done, the message says why.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from airflow_ml.data import load_data
from airflow_ml.lineage.compare import Change, Comparison, Pair, compare, role
from airflow_ml.lineage.diff_tables import tables, value_text
from airflow_ml.lineage.graph import Lineage, Step, short, to_json
from airflow_ml.lineage.read import given, impossible, lineage_or_kept
from airflow_ml.progress import show

KINDS = {"call": "call", "argument": "arguments", "parameter": "parameters", "seed": "seed", "version": "versions"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("a", type=given("A"), metavar="A", help="a file, a partition, or a kept copy of a _meta.json")
    parser.add_argument("b", type=given("B"), metavar="B")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print what differs between two runs."""
    with impossible(), show("diff"):
        data = load_data()
        a, b = lineage_or_kept(data, arguments.a), lineage_or_kept(data, arguments.b)
    comparison = compare(a, b)
    print(to_json(document(a, b, comparison)) if arguments.format == "json" else words(a, b, comparison))
    return 0


def words(a: Lineage, b: Lineage, comparison: Comparison) -> str:
    """What differs: figures, parameters and rows, where that begins, each step in the order of the work, hashes."""
    lines = [f"A  {_names(a)}", f"B  {_names(b)}", "", _outcome(comparison)]
    lines += [f"Note, {side}: {path} {p.text}" for side, runs in (("A", a), ("B", b)) for path, p in runs.problems]
    lines += tables(comparison)
    if comparison.origins or any(pair.unknown for pair in comparison.pairs):
        lines += ["", *_beginning(comparison)]
    for pair in comparison.different:
        lines += ["", *_pair(pair)]
    return "\n".join([*lines, *_hashes(comparison)])


def _names(lineage: Lineage) -> str:
    partitions = {path.rpartition("/")[0] for path in lineage.targets}
    files = ", ".join(path.rpartition("/")[2] for path in lineage.targets)
    return lineage.targets[0] if len(lineage.targets) == 1 else f"{', '.join(sorted(partitions))}: {files}"


def _outcome(comparison: Comparison) -> str:
    if comparison.outputs or comparison.alone:
        return "The files differ."
    if comparison.different:
        return "The files are the same bytes, although they were not made in the same way."
    return "The files are the same bytes, made in the same way."


def _hashes(comparison: Comparison) -> Iterator[str]:
    """The files that were compared, if any differs."""
    if comparison.outputs or comparison.alone:
        yield from ("", "The files:")
        yield from (f"  {change.name}   sha256 {short(change.a)} | {short(change.b)}" for change in comparison.outputs)
        yield from (f"  {change.name}   {change.kind}" for change in comparison.alone)
        yield from (f"  {name}   the same bytes" for name in comparison.same_outputs)


def _beginning(comparison: Comparison) -> Iterator[str]:
    unknown = list(dict.fromkeys(text for pair in comparison.pairs for text in pair.unknown))
    if comparison.origins:
        yield f"The difference begins in {' and in '.join(pair.a.name for pair in comparison.origins)}:"
    for pair in comparison.origins:
        yield f"  {_title(pair)}: {_reason(pair)}"
    yield from (f"Further back cannot be seen: {text}." for text in unknown)


def _reason(pair: Pair) -> str:
    kinds = list(dict.fromkeys(change.kind for change in pair.own))
    if kinds:
        texts = [f"{_what(change)} {value_text(change.a)} | {value_text(change.b)}" for change in pair.own[:3]]
        more = f", and {len(pair.own) - 3} more" if len(pair.own) > 3 else ""
        return f"{', '.join(texts)}{more}"
    if pair.inputs:
        return f"it read {', '.join(change.name for change in pair.inputs)} on one side only"
    if pair.a.name == "ingest" or pair.a.name.startswith("import"):
        return "the imported files themselves are others"
    return "nothing that the marks record explains it; `make rerun` shows which of the two can be made again"


def _what(change: Change) -> str:
    return {"name": "image", "id": "image id"}[change.name] if change.kind == "image" else change.name


def _pair(pair: Pair) -> Iterator[str]:
    yield _title(pair)
    if not pair.inputs and not pair.outputs:
        yield f"  read and made the same bytes, although: {_reason(pair)}"
        return
    yield from _image(pair)
    for kind, name in KINDS.items():
        own = [change for change in pair.own if change.kind == kind]
        yield from _rows(name, [f"{change.name}: {value_text(change.a)} | {value_text(change.b)}" for change in own])
    if not any(change.kind in ("call", "argument", "parameter", "seed") for change in pair.own):
        yield from _rows("parameters", ["the same"])
    yield from _rows("inputs", _differ_and_same(pair.inputs, _same_inputs(pair)))
    yield from _rows("outputs", _differ_and_same(pair.outputs, pair.same_outputs))


def _title(pair: Pair) -> str:
    places = dict.fromkeys([pair.a.partition, pair.b.partition])
    return f"{pair.a.name if pair.a.name == pair.b.name else f'{pair.a.name} | {pair.b.name}'}   {' | '.join(places)}"


def _image(pair: Pair) -> Iterator[str]:
    changes = {change.name: change for change in pair.own if change.kind == "image"}
    if "name" in changes:
        yield from _rows("image", [f"{changes['name'].a} | {changes['name'].b}"])
    elif "id" in changes:
        ids = f"{short(changes['id'].a)} | {short(changes['id'].b)}"
        yield from _rows("image", [f"{pair.a.image['name']}, the same content built twice: id {ids}"])
    else:
        yield from _rows("image", [f"the same, {pair.a.image['name'] or pair.b.image['name'] or 'none'}"])


def _same_inputs(pair: Pair) -> list[str]:
    changed = {role(change.name) for change in pair.inputs}
    return [role(read.path) for read in pair.a.inputs if role(read.path) not in changed]


def _differ_and_same(changes: list[Change], same: list[str]) -> list[str]:
    lines = [
        f"{change.name}: {short(change.a)} | {short(change.b)}" if change.kind in ("input", "output")
        else f"{change.name}: {change.kind}"
        for change in changes
    ]  # fmt: skip
    return [*lines, *([f"the same: {', '.join(same)}"] if same else [])] or ["none"]


def _rows(name: str, texts: list[str]) -> Iterator[str]:
    for place, text in enumerate(texts):
        yield f"  {name if place == 0 else '':11} {text}"


def document(a: Lineage, b: Lineage, comparison: Comparison) -> dict[str, Any]:
    """The comparison as an object."""
    return {
        "a": list(a.targets),
        "b": list(b.targets),
        "same_bytes": not comparison.outputs and not comparison.alone,
        "outputs": [asdict(change) for change in [*comparison.outputs, *comparison.alone]],
        "same_outputs": comparison.same_outputs,
        "begins_in": [[pair.a.id, pair.b.id] for pair in comparison.origins],
        "steps": [_pair_document(pair) for pair in comparison.pairs],
    }


def _pair_document(pair: Pair) -> dict[str, Any]:
    def side(step: Step) -> dict[str, Any]:
        return {"step": step.id, "image": step.image, "call": step.call, "seed": step.record.get("seed")}

    return {
        "a": side(pair.a),
        "b": side(pair.b),
        "differences": [asdict(change) for change in pair.own],
        "inputs": [asdict(change) for change in pair.inputs],
        "outputs": [asdict(change) for change in pair.outputs],
        "unknown": pair.unknown,
    }
