"""Makes published files again in a scratch volume, with the same images, inputs and parameters, and compares bytes.

The published data is mounted read-only, and only into the containers that copy from it and compare with it: a
stage sees the scratch volume alone. The volume is removed whatever happens.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from provenance import scratch
from provenance.calls import call_text, command_line
from provenance.engine import ROOT, Settings, docker, locked_images, remove, run_python, try_docker, volume_exists
from provenance.errors import ProvenanceError
from provenance.graph import Lineage, Step, short
from provenance.store import DATA_FOLDER, Snapshot

PUBLISHED_FOLDER = "/published"
LABEL = "airflow-ml.rerun"
LAST_WORDS = 5
TRIES = 20
Images = Literal["recorded", "locked"]


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


def plan(lineage: Lineage, *, everything: bool) -> list[Step]:
    """The steps to run, in order: those that made the targets, or all that they come from.

    Errors: ProvenanceError where there is nothing to run: imported files come from nowhere else.
    """
    asked = {lineage.files[path].step for path in lineage.targets}
    steps = [step for step in lineage.in_order() if everything or step.id in asked]
    runnable = [step for step in steps if not is_origin(step)]
    if not runnable:
        name = lineage.targets[0] if lineage.targets else "it"
        raise ProvenanceError(
            f"nothing makes {name} again: it was imported, or its mark has no record of the step that wrote it",
            expected="a file that a stage has made from others, or from a seed",
            do="run again what was made from it, such as processed/{ds}",
        )
    return runnable


def is_origin(step: Step) -> bool:
    """Whether a step brought files from outside: they are copied, there is nothing to make them from."""
    return step.name == "import"


def mark_of(snapshot: Snapshot, files: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Marks, by partition, that name these files alone, with the records of the steps that wrote them."""
    marks: dict[str, dict[str, Any]] = {}
    for path in files:
        partition, _, name = path.rpartition("/")
        published = snapshot["partitions"][partition]["mark"]
        output = published["outputs"][name]
        mark = marks.setdefault(partition, {**published, "outputs": {}, "steps": {}})
        mark["outputs"][name] = output
        if output["step"] in published["steps"]:
            mark["steps"][output["step"]] = published["steps"][output["step"]]
    return marks


def require_inputs(lineage: Lineage, step: Step) -> None:
    """Errors: ProvenanceError where what the step read is no longer what is published."""
    for read in step.inputs:
        problem = lineage.files[read.path].problem or read.problem
        if problem:
            raise ProvenanceError(
                f"{read.path} {problem.text}",
                expected=f"the bytes that {step.name} read, sha256 {short(read.sha256)}",
                do="publish it again as it was, or use DEPTH=all: it makes everything again, from the raw data on",
            )


def image_to_run(step: Step, images: Images) -> str:
    """The image that a step ran in, by its id where that is known, or the locked one of its stage.

    Errors: ProvenanceError that says what to build, where the engine does not have it.
    """
    if images == "locked":
        stage = (step.call or {}).get("stage")
        locked = locked_images().get(stage or "")
        if locked is None:
            raise ProvenanceError(f"the image lock has no stage {stage!r}", do="./build_images.sh")
        return str(locked["image"])
    name, wanted = step.image["name"], step.image["id"]
    if name is None:
        raise ProvenanceError(
            f"the step {step.name} of {step.partition} ran outside of any image", do="run it in its image, by a Dag"
        )
    if wanted and try_docker("image", "inspect", wanted).returncode == 0:
        return wanted
    there = try_docker("image", "inspect", "--format", "{{.Id}}", name)
    if there.returncode == 0 and not wanted:
        return name
    others = f"; under that tag is {short(there.stdout.strip())}, built another time" if there.returncode == 0 else ""
    raise ProvenanceError(
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
    """What `./build_images.sh` would build and keep, a line each; empty where it cannot say."""
    done = subprocess.run([ROOT / "build_images.sh", "--dry-run"], capture_output=True, text=True, check=False)
    return {line.strip() for line in done.stdout.splitlines()}


@contextlib.contextmanager
def scratch_volume(settings: Settings) -> Iterator[str]:
    """A volume of its own that belongs to the user that stages run as; removed whatever happens."""
    name = f"airflow-ml-rerun-{uuid4().hex[:12]}"

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        docker("volume", "create", "--label", f"{LABEL}={name}", name)
        give = f"import os; os.chown({DATA_FOLDER!r}, *map(int, {settings.user!r}.split(':')))"
        # A new volume belongs to the user of the image, and the data perhaps to somebody else.
        rights = ["--network=none", "--read-only", "--cap-drop=ALL", "--cap-add=CHOWN", "--user=0:0"]
        base = locked_images()["base"]["image"]
        docker("run", "--rm", *rights, *_scratch(name), base, "-c", give)
        yield name
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clean_up(name)
        signal.signal(signal.SIGTERM, before)


def clean_up(name: str) -> None:
    """Remove a scratch volume and the containers that still use it."""
    for _ in range(TRIES):
        # One that was asked for just before the end may appear a moment later.
        remove("container", docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}").split())
        remove("volume", [name])
        if not volume_exists(name):
            return
        time.sleep(0.5)
    raise ProvenanceError(f"the scratch volume {name} is still in use", do=f"docker volume rm --force {name}")


def rerun(
    settings: Settings, snapshot: Snapshot, lineage: Lineage, *, everything: bool, images: Images
) -> Iterator[Rerun]:
    """Run the steps again, one after the other; yields each with its comparison."""
    steps = plan(lineage, everything=everything)
    calls = [(step, image_to_run(step, images), command_line(step)) for step in steps]
    for step in steps:
        if not everything:
            require_inputs(lineage, step)
    with scratch_volume(settings) as volume:
        if everything:
            origins = [step for step in lineage.in_order() if is_origin(step)]
            _seed(settings, snapshot, volume, [path for step in origins for path in step.outputs])
        for step, image, arguments in calls:
            if not everything:
                _seed(settings, snapshot, volume, [read.path for read in step.inputs])
            print(f"==> {step.name} of {step.partition}: {call_text(step)}", file=sys.stderr)
            _run(settings, volume, image, arguments, step)
            told = image if images == "locked" else step.image["name"] or image
            yield Rerun(step, told, _compare(settings, volume, step))


def _scratch(volume: str) -> list[str]:
    """The options that give a container the scratch volume, and let it be found."""
    # nocopy: the engine would give the volume the owner that the folder has in the image, as long as it is empty.
    return [f"--label={LABEL}={volume}", f"--volume={volume}:{DATA_FOLDER}:nocopy"]


def _work(settings: Settings, volume: str, request: dict[str, Any]) -> dict[str, Any]:
    """Have `scratch.py` do a job, beside the published data."""
    mounts = [settings.mount(PUBLISHED_FOLDER), *_scratch(volume)]
    return run_python(settings, Path(scratch.__file__), request, *mounts)


def _seed(settings: Settings, snapshot: Snapshot, volume: str, paths: list[str]) -> None:
    marks = mark_of(snapshot, paths)
    files = {path: marks[path.rpartition("/")[0]]["outputs"][path.rpartition("/")[2]]["sha256"] for path in paths}
    wrong = _work(settings, volume, {"job": "seed", "files": files, "marks": marks})["wrong"]
    if wrong:
        raise ProvenanceError(
            f"{wrong} is not the bytes that its mark names", do="publish it again: somebody has edited or replaced it"
        )


def _run(settings: Settings, volume: str, image: str, arguments: list[str], step: Step) -> None:
    done = try_docker("run", "--rm", *settings.confined, *_scratch(volume), image, *arguments)
    if done.returncode:
        said = "\n       ".join(done.stderr.strip().splitlines()[-LAST_WORDS:])
        raise ProvenanceError(
            f"{step.name} of {step.partition} ended with exit code {done.returncode} this time:\n       {said}",
            expected="that it ends well, as it did when it was published",
            do="look at its last words above; the same call by hand is in `make lineage`",
        )
    require_work(step, done.stdout)


def require_work(step: Step, said: str) -> None:
    """Errors: ProvenanceError where the step took its work for done already, so that its files prove nothing.

    It cannot be: the scratch volume holds what the step reads, never what it wrote. Images from before the step cache
    know no --force, so it is not given; what they said is looked at instead.
    """
    result: Any = None
    with contextlib.suppress(ValueError):
        result = json.loads(said.strip().rpartition("\n")[2])
    if isinstance(result, dict) and result.get("cached"):
        raise ProvenanceError(
            f"{step.name} of {step.partition} found its own mark in the scratch volume and did nothing",
            expected="that it does its work again",
            do="see that nobody else writes into volumes that are called airflow-ml-rerun-*",
        )


def _compare(settings: Settings, volume: str, step: Step) -> list[Remade]:
    files = {path: output["sha256"] for path, output in sorted(step.outputs.items())}
    found = _work(settings, volume, {"job": "compare", "files": files})
    return [Remade(path, **entry) for path, entry in found.items()]
