"""Shows where a published file comes from, back to the raw data and the images, and checks every hash on the way.

FILE is a path below the data folder: a file (predictions/2026-11-21/predictions.csv) or a whole partition. ML_DATA, in
.env or the environment, says where the data is. Exit codes: 0 done; 1 with --check, a problem was found; 2 wrong usage;
3 it cannot be done, the message says why; 4 with --check, no problem was found, but files could not be checked, because
`tidy` has removed them.
"""

import argparse
import textwrap
from collections.abc import Iterator
from typing import Any

from airflow_ml.data import load_data
from airflow_ml.lineage.graph import REMOVED, File, Input, Lineage, Step, call_text, short, to_json
from airflow_ml.lineage.read import GONE, REBUILT, given, image_ids, impossible, read_lineage, same_on_engine
from airflow_ml.progress import show
from airflow_ml.text_table import size_text

Ids = dict[str, "str | None"]
BRANCH, LAST, DOWN, BLANK = "├── ", "└── ", "│   ", "    "
WIDTH, MIN_WIDTH = 120, 60
# What --check ends with.
PROBLEM, UNCHECKED = 1, 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", type=given("FILE"), metavar="FILE")
    parser.add_argument("--format", choices=["text", "json", "mermaid"], default="text")
    parser.add_argument("--check", action="store_true", help="end with 1 if a file is wrong, 4 if files were removed")


def run(arguments: argparse.Namespace) -> int:
    """Print the lineage of a file or partition."""
    with impossible(), show("lineage"):
        lineage = read_lineage(load_data(), arguments.file)
        ids = image_ids(lineage) if arguments.format != "mermaid" else {}
    if arguments.format == "mermaid":
        print(mermaid(lineage))
    elif arguments.format == "json":
        print(to_json(document(lineage, ids)))
    else:
        print(tree(lineage, ids))
    if not arguments.check:
        return 0
    return PROBLEM if lineage.problems else UNCHECKED if lineage.removed else 0


def tree(lineage: Lineage, ids: Ids) -> str:
    """The tree from each file back to the raw data, then what is wrong, in words."""
    shown: set[str] = set()
    lines: list[str] = []
    for place, path in enumerate(lineage.targets):
        lines += _file_lines(lineage, lineage.files[path], None)
        step = lineage.files[path].step
        # The files of a step come one below the other, and their common origin below the last of them.
        following = lineage.targets[place + 1 :]
        if step and not any(lineage.files[later].step == step for later in following):
            lines += _step_lines(lineage, step, ids, shown, "")
    return "\n".join([*lines, "", *verdict(lineage, ids)])


def verdict(lineage: Lineage, ids: Ids) -> list[str]:
    """How much was looked at, each problem, how much was removed, and each image that is no longer there."""
    images = {step.image["name"] for step in lineage.steps.values()} - {None}
    counts = (
        f"{_count(len(lineage.files), 'file')}, {_count(len(lineage.steps), 'step')}, {_count(len(images), 'image')}"
    )
    problems = lineage.problems
    there = " that is there" if lineage.removed else ""
    lines = [f"{counts}: no file{there} has changed since it was published or read."]
    if problems:
        lines = [f"{counts}, {_count(len(problems), 'problem')}:", *(f"  {path} {p.text}" for path, p in problems)]
    if removed := len(lineage.removed):
        lines.append(f"Not checked: {_count(removed, 'file')} that `tidy` removed. Their marks name their hashes.")
    missing = [step for step in lineage.steps.values() if same_on_engine(step, ids) in (GONE, REBUILT)]
    gone = sorted({step.image["name"] or "" for step in missing})
    return [
        *lines,
        *(f"Note: {name} is not on this engine, or has another id; `make rerun` says how to get it." for name in gone),
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _file_lines(lineage: Lineage, file: File, read: Input | None) -> list[str]:
    """A file with what its mark says, then a line per problem."""
    facts = []
    if file.output:
        rows = file.output.get("rows")
        facts = [*([f"{rows:,} rows"] if rows is not None else []), size_text(file.output["size"])]
    found = [problem for problem in (file.problem, read.problem if read else None) if problem]
    problems = [problem for problem in found if problem.kind != REMOVED]
    removed = f", removed {file.output['removed']}" if file.output and len(problems) < len(found) else ""
    state = removed or ("" if problems else ", as published")
    sha256 = read.sha256 if read else file.output["sha256"] if file.output else ""
    lines = [f"{file.path}   {', '.join([*facts, f'sha256 {short(sha256)}' if sha256 else 'no sha256'])}{state}"]
    return [*lines, *(f"{DOWN if file.step else BLANK}!! {problem.text}" for problem in problems)]


def _step_lines(lineage: Lineage, step_id: str, ids: Ids, shown: set[str], indent: str) -> Iterator[str]:
    step = lineage.steps[step_id]
    if step_id in shown:
        yield f"{indent}{LAST}made by {step.name} of {step.partition}, as above"
        return
    shown.add(step_id)
    yield f"{indent}{LAST}made by {step.name}, {step.record.get('started') or 'no time recorded'}"
    inner = indent + BLANK
    bar = DOWN if step.inputs else BLANK
    for name, text in _facts(step, ids):
        first, *more = textwrap.wrap(text, max(MIN_WIDTH, WIDTH - len(inner) - 16), break_on_hyphens=False) or [""]
        yield f"{inner}{bar}{name:11} {first}"
        yield from (f"{inner}{bar}{'':11} {line}" for line in more)
    inputs = sorted(step.inputs, key=lambda read: (lineage.files[read.path].step or "", read.path))
    for place, read in enumerate(inputs):
        file = lineage.files[read.path]
        rest = inputs[place + 1 :]
        stem, below = (inner + BRANCH, inner + DOWN) if rest else (inner + LAST, inner + BLANK)
        first, *more = _file_lines(lineage, file, read)
        yield stem + first
        yield from (below + line for line in more)
        if file.step and not (rest and lineage.files[rest[0].path].step == file.step):
            yield from _step_lines(lineage, file.step, ids, shown, below)


def _facts(step: Step, ids: Ids) -> Iterator[tuple[str, str]]:
    yield "image", image_text(step, ids)
    yield "call", call_text(step)
    called = _in_call(step)
    others = {name: value for name, value in step.recorded("parameters").items() if name not in called}
    if others:
        yield "parameters", ", ".join(f"{name} {_plain(value)}" for name, value in sorted(others.items()))
    if step.record.get("seed") is not None and "seed" not in called | set(others):
        yield "seed", str(step.record["seed"])
    run = step.recorded("run")
    if run.get("dag_id"):
        yield "Dag run", f"{run['dag_id']}, {run.get('run_id')}, task {run.get('task_id')}, try {run.get('try_number')}"
    else:
        yield "Dag run", "none, by hand"


def _in_call(step: Step) -> set[str]:
    """The arguments that the line `call` shows already."""
    return {name for name, value in step.call["arguments"].items() if value is not None} if step.call else set()


def image_text(step: Step, ids: Ids) -> str:
    """Name, id and revision of a step's image, as far as the mark knows them, and whether the engine has it."""
    name, wanted, revision = step.image["name"], step.image["id"], step.image["revision"]
    if name is None:
        return "none: the step ran outside of any image"
    parts = [
        name,
        f"id {short(wanted)}" if wanted else "id not recorded",
        *([f"revision {revision}"] if revision else []),
        *([state] if (state := same_on_engine(step, ids)) else []),
    ]
    return ", ".join(parts)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def document(lineage: Lineage, ids: Ids) -> dict[str, Any]:
    """The lineage as an object: `files` and `steps` by name, each with its `problem`s."""
    return {
        "targets": list(lineage.targets),
        "as_published": not lineage.problems and not lineage.removed,
        "problems": [{"file": path, "kind": p.kind, "text": p.text} for path, p in lineage.problems],
        "removed": lineage.removed,
        "files": {path: _file_document(file) for path, file in sorted(lineage.files.items())},
        "steps": {step.id: _step_document(step, ids) for step in lineage.steps.values()},
    }


def _file_document(file: File) -> dict[str, Any]:
    output = file.output or {}
    facts = {name: output.get(name) for name in ("sha256", "size", "rows")}
    return {**facts, "made_by": file.step, "problem": file.problem.kind if file.problem else None}


def _step_document(step: Step, ids: Ids) -> dict[str, Any]:
    inputs = {
        read.path: {"sha256": read.sha256, "problem": read.problem.kind if read.problem else None}
        for read in step.inputs
    }
    image = {**step.image, "on_engine": ids.get(step.image["id"] or "") or ids.get(step.image["name"] or "")}
    kept = {name: step.record.get(name) for name in ("parameters", "seed", "versions", "run", "started", "seconds")}
    return {"image": image, "call": step.call, "inputs": inputs, "outputs": sorted(step.outputs), **kept}


def mermaid(lineage: Lineage) -> str:
    """The lineage as a Mermaid flowchart: files as boxes, steps rounded; problems are red, removed files dashed."""
    files = {path: f"f{number}" for number, path in enumerate(sorted(lineage.files))}
    steps = {step.id: f"s{number}" for number, step in enumerate(lineage.steps.values())}
    bad = {path for path, _ in lineage.problems}
    lines = ["flowchart LR"]
    for path, node in files.items():
        output = lineage.files[path].output
        lines.append(f'  {node}["{_label(path)}<br>{short(output["sha256"]) if output else "not published"}"]')
    for step in lineage.steps.values():
        lines.append(f'  {steps[step.id]}(["{_label(step.name)}<br>{_label(step.image["name"] or "no image")}"])')
        for read in step.inputs:
            arrow = f'-. "{read.problem.kind}" .->' if read.problem else "-->"
            lines.append(f"  {files[read.path]} {arrow} {steps[step.id]}")
        lines += [f"  {steps[step.id]} --> {files[path]}" for path in sorted(step.outputs) if path in files]
    if bad:
        lines.append("  classDef bad stroke:#c00,stroke-width:3px")
        lines.append(f"  class {','.join(files[path] for path in sorted(bad))} bad")
    if lineage.removed:
        lines.append("  classDef removed stroke-dasharray:4")
        lines.append(f"  class {','.join(files[path] for path in lineage.removed)} removed")
    return "\n".join(lines)


def _label(text: str) -> str:
    """Text inside a quoted label: what Mermaid would take for its own is written as an entity."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
