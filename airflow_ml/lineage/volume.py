"""The scratch volume of a rerun: made, filled with what a step reads, given to the stage, compared, removed.

The published data is mounted read-only, and only into the containers that copy from it and compare with it: a stage
sees the scratch volume alone.
"""

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_ml.common import AirflowMlError, docker, locked_image, try_docker
from airflow_ml.data import DATA_FOLDER, Data, require_data, run_in_base, volume_exists
from airflow_ml.lineage import scratch
from airflow_ml.lineage.graph import Lineage, Step

PUBLISHED_FOLDER = "/published"
LABEL = "airflow-ml.rerun"
LAST_LINES = 5
TRIES = 20


@contextlib.contextmanager
def scratch_volume(data: Data) -> Iterator[str]:
    """A new volume that belongs to the user that stages run as; removed whatever happens."""
    require_data(data)
    name = f"airflow-ml-rerun-{uuid4().hex[:12]}"

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        docker("volume", "create", "--label", f"{LABEL}={name}", name)
        give = f"import os; os.chown({DATA_FOLDER!r}, *map(int, {data.user!r}.split(':')))"
        # A new volume belongs to the user of the image, and the data perhaps to another user.
        rights = ["--network=none", "--read-only", "--cap-drop=ALL", "--cap-add=CHOWN", "--user=0:0"]
        docker("run", "--rm", *rights, *_mounted(name), locked_image("base"), "-c", give)
        yield name
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clean_up(name)
        signal.signal(signal.SIGTERM, before)


def clean_up(name: str) -> None:
    """Remove a scratch volume and the containers that still use it."""
    for _ in range(TRIES):
        # A container that was asked for just before the end may appear a moment later.
        containers = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}").split()
        if containers:
            try_docker("container", "rm", "--force", *containers)
        try_docker("volume", "rm", "--force", name)
        if not volume_exists(name):
            return
        time.sleep(0.5)
    raise AirflowMlError(f"the scratch volume {name} is still in use", do=f"docker volume rm --force {name}")


def _mounted(volume: str) -> list[str]:
    """The options that give a container the scratch volume, and let it be found."""
    # nocopy: the engine would give the volume the owner that the folder has in the image, as long as it is empty.
    return [f"--label={LABEL}={volume}", f"--volume={volume}:{DATA_FOLDER}:nocopy"]


def _work(data: Data, volume: str, request: dict[str, Any]) -> dict[str, Any]:
    """Let `scratch.py` do a job in the volume, beside the published data."""
    # As text: the engine may be on another machine, so its containers see no file of this checkout.
    program = ("-c", Path(scratch.__file__).read_text(encoding="utf-8"))
    return run_in_base(data, program, request, data.mount(PUBLISHED_FOLDER), *_mounted(volume))


def fill(data: Data, volume: str, lineage: Lineage, paths: list[str]) -> None:
    """Empty the volume, and copy published files into it, with marks that name these files alone."""
    marks = marks_of(lineage, paths)
    files = {path: marks[path.rpartition("/")[0]]["outputs"][path.rpartition("/")[2]]["sha256"] for path in paths}
    wrong = _work(data, volume, {"job": "seed", "files": files, "marks": marks})["wrong"]
    if wrong:
        raise AirflowMlError(
            f"{wrong} is not the bytes that its mark names", do="publish it again: it was edited or replaced"
        )


def marks_of(lineage: Lineage, paths: list[str]) -> dict[str, dict[str, Any]]:
    """Marks, by partition, that name these files alone, with the records of the steps that wrote them."""
    marks: dict[str, dict[str, Any]] = {}
    for path in paths:
        partition, _, name = path.rpartition("/")
        published = lineage.marks[partition]
        output = published["outputs"][name]
        mark = marks.setdefault(partition, {**published, "outputs": {}, "steps": {}})
        mark["outputs"][name] = output
        if output["step"] in published["steps"]:
            mark["steps"][output["step"]] = published["steps"][output["step"]]
    return marks


def run_stage(data: Data, volume: str, step: Step, image: str, arguments: list[str]) -> None:
    """Run a step again, on the scratch volume alone.

    Errors: AirflowMlError with the stage's last lines, if it failed.
    """
    ranks = int((step.call or {}).get("arguments", {}).get("ranks") or 1)
    confined = [option for option in data.confined if ranks == 1 or option != "--network=none"]
    options = [*confined, *_mounted(volume)]
    with _other_ranks(volume, ranks, options, image, arguments) as first:
        done = try_docker("run", "--rm", *options, *first, image, *arguments)
    if done.returncode:
        lines = "\n       ".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise AirflowMlError(
            f"{step.name} of {step.partition} ended with exit code {done.returncode} this time:\n       {lines}",
            expected="exit code 0, as when it was published",
            do="look at its last lines above; `make lineage` shows the call, to run it by hand",
        )
    require_work(step, done.stdout)


@contextlib.contextmanager
def _other_ranks(volume: str, ranks: int, options: list[str], image: str, arguments: list[str]) -> Iterator[list[str]]:
    """Start all ranks of a training but the first, on a network of their own; yields the options of the first."""
    if ranks == 1:
        yield []
        return
    docker("network", "create", "--internal", "--opt=com.docker.network.bridge.inhibit_ipv4=true", volume)
    places = [[f"--network={volume}", f"--network-alias=rank-{rank}", f"--env=ML_RANK={rank}"] for rank in range(ranks)]
    started: list[str] = []
    try:
        for place in places[1:]:
            started.append(docker("run", "--detach", *options, *place, image, *arguments).strip())
        yield places[0]
    finally:
        try_docker("container", "rm", "--force", *started)
        try_docker("network", "rm", volume)


def require_work(step: Step, output: str) -> None:
    """Errors: AirflowMlError if the step found its work done already, so that its files prove nothing.

    This cannot happen: the scratch volume holds what the step reads, never what it wrote. Images from before the step
    cache know no --force, so the result line is checked instead.
    """
    result: Any = None
    with contextlib.suppress(ValueError):
        result = json.loads(output.strip().rpartition("\n")[2])
    if isinstance(result, dict) and result.get("cached"):
        raise AirflowMlError(
            f"{step.name} of {step.partition} found its own mark in the scratch volume and did nothing",
            expected="that it does its work again",
            do="see that nobody else writes into volumes with a name airflow-ml-rerun-*",
        )


def compare_bytes(data: Data, volume: str, step: Step) -> dict[str, dict[str, Any]]:
    """What was made of each file of a step: its `published` and `made` sha256, and the first `difference`."""
    files = {path: output["sha256"] for path, output in sorted(step.outputs.items())}
    return _work(data, volume, {"job": "compare", "files": files})
