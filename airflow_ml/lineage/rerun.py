"""Makes published files again in a scratch volume, with the same images, inputs and parameters, and compares the bytes.

FILE is a path below the data folder, as for `lineage`. Exit codes: 0 the same bytes; 1 other bytes; 2 wrong usage;
3 it cannot be done, the message says why.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_ml.common import ROOT, AirflowMlError, image_lock, inspect_images
from airflow_ml.data import Data, load_data
from airflow_ml.lineage.graph import Lineage, Step, call_text, command_line, short, to_json
from airflow_ml.lineage.read import given, impossible, read_lineage
from airflow_ml.lineage.volume import compare_bytes, fill, run_stage, scratch_volume
from airflow_ml.progress import say, show, track


@dataclass(frozen=True)
class Remade:
    """A file of a step that was run again; `made` is None where it was not made, `difference` where none is known."""

    path: str
    published: str
    made: str | None
    difference: dict[str, Any] | None

    @property
    def same(self) -> bool:
        return self.made == self.published


@dataclass(frozen=True)
class Rerun:
    """A step that was run again, in which image, and what came out."""

    step: Step
    image: str
    files: list[Remade] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return all(file.same for file in self.files)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", type=given("FILE"), metavar="FILE")
    parser.add_argument(
        "--depth",
        choices=["step", "all"],
        default="step",
        help="step: what made FILE, on the published inputs (default); all: everything from the raw data on",
    )
    parser.add_argument(
        "--images",
        choices=["recorded", "locked"],
        default="recorded",
        help="recorded: those that the marks name (default); locked: those that the Dags run now",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(arguments: argparse.Namespace) -> int:
    """Make a file or partition again, and compare the bytes."""
    steps = []
    with impossible(), show("rerun"):
        data, everything = load_data(), arguments.depth == "all"
        lineage = read_lineage(data, arguments.file)
        if everything:  # what is made from the raw data on may differ for these reasons
            for path, problem in lineage.problems:
                say(f"Note: {path} {problem.text}")
        for step in rerun(data, lineage, everything=everything, locked=arguments.images == "locked"):
            steps.append(step)
            if arguments.format == "text":
                say("\n".join(report(step)), sys.stdout)
    print(to_json(document(steps)) if arguments.format == "json" else verdict(steps))
    return 0 if all(step.same for step in steps) else 1


def rerun(data: Data, lineage: Lineage, *, everything: bool, locked: bool) -> Iterator[Rerun]:
    """Run the steps again, one after the other; yields each with its comparison."""
    steps = plan(lineage, everything=everything)
    calls = [(step, image_to_run(step, locked=locked), command_line(step)) for step in steps]
    for step in steps:
        if not everything:
            require_inputs(lineage, step)
    with scratch_volume(data) as volume:
        if everything:
            origins = [step for step in lineage.steps.values() if is_origin(step)]
            fill(data, volume, lineage, [path for step in origins for path in step.outputs])
        for step, image, arguments in track(calls, "running steps again", len(calls), "steps"):
            if not everything:
                fill(data, volume, lineage, [read.path for read in step.inputs])
            say(f"==> {step.name} of {step.partition}: {call_text(step)}")
            run_stage(data, volume, step, image, arguments)
            files = compare_bytes(data, volume, step)
            name = image if locked else step.image["name"] or image
            yield Rerun(step, name, [Remade(path, **entry) for path, entry in files.items()])


def plan(lineage: Lineage, *, everything: bool) -> list[Step]:
    """The steps to run, in order: those that made the targets, or all that they come from.

    Errors: AirflowMlError if there is nothing to run: imported files come from nowhere else.
    """
    asked = {lineage.files[path].step for path in lineage.targets}
    steps = [step for step in lineage.steps.values() if everything or step.id in asked]
    runnable = [step for step in steps if not is_origin(step)]
    if not runnable:
        name = lineage.targets[0] if lineage.targets else "it"
        raise AirflowMlError(
            f"nothing makes {name} again: it was imported, or its mark has no record of the step that wrote it",
            expected="a file that a stage has made from others, or from a seed",
            do="run again what was made from it, such as processed/{ds}",
        )
    return runnable


def is_origin(step: Step) -> bool:
    """Whether a step brought files from outside: they are copied, there is nothing to make them from."""
    return step.name == "ingest" or step.name.startswith("import")


def require_inputs(lineage: Lineage, step: Step) -> None:
    """Errors: AirflowMlError if what the step read is no longer what is published."""
    for read in step.inputs:
        problem = lineage.files[read.path].problem or read.problem
        if problem:
            raise AirflowMlError(
                f"{read.path} {problem.text}",
                expected=f"the bytes that {step.name} read, sha256 {short(read.sha256)}",
                do="publish the same bytes again, or use DEPTH=all: it makes everything again, from the raw data on",
            )


def image_to_run(step: Step, *, locked: bool) -> str:
    """The image that a step ran in, by its id where that is known, or the locked one of its stage.

    Errors: AirflowMlError that says what to build, where the engine does not have it.
    """
    if locked:
        stage = (step.call or {}).get("stage")
        entry = image_lock().get(stage or "")
        if entry is None:
            raise AirflowMlError(f"the image lock has no stage {stage!r}", do="./airflow-ml build")
        return str(entry["image"])
    name, wanted = step.image["name"], step.image["id"]
    if name is None:
        raise AirflowMlError(
            f"the step {step.name} of {step.partition} ran outside of any image", do="run it in its image, by a Dag"
        )
    there = {text: details["Id"] for text, details in inspect_images([name, *([wanted] if wanted else [])]).items()}
    if wanted in there:
        return str(wanted)
    if name in there and not wanted:
        return name
    others = f"; under that tag is {short(there[name])}, built another time" if name in there else ""
    raise AirflowMlError(
        f"the image {name}{f', id {short(wanted)},' if wanted else ''} is not on this engine{others}",
        expected=f"the image that made {step.partition}",
        do=how_to_build(step, name),
    )


def how_to_build(step: Step, name: str) -> str:
    """How to get an image back that the engine has not."""
    planned = try_build_plan()
    stage = step.call["stage"] if step.call else name.rpartition("/")[2].partition(":")[0].removeprefix("airflow-ml-")
    instead = "; IMAGES=locked uses the images of the image lock instead"
    if f"build {name}" in planned:
        return f"./build_images.sh --stage {stage}: this working copy makes that very tag{instead}"
    revision = step.image["revision"]
    if f"keep  {name}" in planned:
        return f"the tag is there, with an image built another time; load the one that ran from where it was{instead}"
    if not revision:
        return f"build the revision whose tag is {name}; the mark does not name it, the step ran by hand{instead}"
    clean = revision.removesuffix("-dirty")
    extra = f", with the changes that were not committed ({revision})" if clean != revision else ""
    return (
        f"build revision {clean}{extra}: git worktree add ../{clean} {clean} && ../{clean}/build_images.sh "
        f"--stage {stage}; the tag names the content, so the same tag comes out{instead}"
    )


def try_build_plan() -> set[str]:
    """What `./airflow-ml build` would build and keep, a line each; empty where it cannot say."""
    done = subprocess.run([ROOT / "airflow-ml", "build", "--dry-run"], capture_output=True, text=True, check=False)
    return {line.strip() for line in done.stdout.splitlines()}


def report(step: Rerun) -> Iterator[str]:
    """What came out of a step, a line per file."""
    yield f"{step.step.name} of {step.step.partition}, in {step.image}"
    for file in step.files:
        yield f"  {file.path}   {short(file.published)}   {_outcome(file)}"
        for side in ("published", "made") if file.difference else ():
            text = file.difference[side] if file.difference else None
            yield f"      {side:10} {'the file has ended' if text is None else text}"


def _outcome(file: Remade) -> str:
    if file.same:
        return "the same bytes"
    if file.made is None:
        return "was not made this time"
    if file.difference is None:
        return f"DIFFERS, {short(file.made)} this time; the published file is not as its mark says, so not compared"
    byte, line = file.difference["byte"], file.difference["line"]
    return f"DIFFERS, {short(file.made)} this time, from byte {byte:,} in line {line:,} on"


def verdict(steps: list[Rerun]) -> str:
    """The outcome in a sentence."""
    files = [file for step in steps for file in step.files]
    different = [step for step in steps if not step.same]
    if not different:
        return f"The same bytes: {len(files)} of {len(files)} files."
    first = different[0]
    names = ", ".join(file.path for file in first.files if not file.same)
    same = sum(file.same for file in files)
    after = " What follows it was made from other bytes." if len(different) > 1 else ""
    return (
        f"NOT the same bytes: {same} of {len(files)} files are. The first to differ: {first.step.name}, {names}.{after}"
    )


def document(steps: list[Rerun]) -> dict[str, Any]:
    """The outcome as an object."""
    return {
        "same_bytes": all(step.same for step in steps),
        "steps": [
            {
                "step": step.step.id,
                "image": step.image,
                "files": {
                    file.path: {
                        "same": file.same,
                        "published": file.published,
                        "made": file.made,
                        "difference": file.difference,
                    }
                    for file in step.files
                },
            }
            for step in steps
        ],
    }
