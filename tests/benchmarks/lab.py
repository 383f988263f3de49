"""Where the benchmarks run: the stage images that the image lock names, on a data volume of their own."""

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).resolve().parent / "inside"
# What the names of volumes, images and the stack of one run begin with: two runs at once do not meet.
NAME = f"airflow-ml-bench-{secrets.token_hex(4)}"
Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")

# As Airflow runs a stage (dags/ml/operator.py), for both sides of each comparison.
OPTIONS = [
    *("--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--pids-limit=512", "--memory=4g", "--memory-swap=4g"),
]
# Days: one of the usual size, as any other day; one of ten times that; one of a twentieth. The model is of the first.
SMALL, LARGE, FEW = "2026-11-20", "2026-11-21", "2026-11-22"
MODEL = f"models/{SMALL}"


@dataclass(frozen=True)
class Measured:
    """What a process took (see inside/measure.py), and the JSON object that it printed last."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    result: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step of the pipeline: its stage, its arguments for a day, and what must be there before, as (step, day)."""

    stage: str
    arguments: Callable[[str, int], list[str]]
    needs: Callable[[str], list[tuple[str, str]]]


STEPS = {
    "generate": Step("generator", lambda ds, rows: [f"--ds={ds}", f"--rows={rows}"], lambda _: []),
    "prepare": Step("preprocessing", lambda ds, _: ["prepare", f"--ds={ds}"], lambda ds: [("generate", ds)]),
    "split": Step("preprocessing", lambda ds, _: ["split", f"--ds={ds}"], lambda ds: [("prepare", ds)]),
    "train": Step("training", lambda ds, _: [f"--ds={ds}"], lambda ds: [("split", ds)]),
    "validate": Step("prediction", lambda ds, _: ["validate", f"--ds={ds}"], lambda ds: [("train", ds)]),
    "features": Step(
        "preprocessing",
        lambda ds, _: ["features", f"--ds={ds}", f"--model={MODEL}"],
        lambda ds: [("generate", ds), ("validate", SMALL)],
    ),
    "label": Step("preprocessing", lambda ds, _: ["label", f"--ds={ds}"], lambda ds: [("predict", ds)]),
    "predict": Step(
        "prediction", lambda ds, _: ["predict", f"--ds={ds}", f"--model={MODEL}"], lambda ds: [("features", ds)]
    ),
    "evaluate": Step("prediction", lambda ds, _: ["evaluate", f"--ds={ds}"], lambda ds: [("label", ds)]),
    "explain": Step("explanation", lambda ds, _: [f"--ds={ds}", f"--model={MODEL}"], lambda ds: [("features", ds)]),
}


@dataclass
class Lab:
    """Runs steps and the programs they are compared with.

    `rows` and `large` are the sizes of the two days, `waiting` is the number of tasks that wait at
    once, `kills` that of kills of Airflow's services, `swarm` the rows of the day on a swarm.
    """

    rows: int
    large: int
    repeats: int
    waiting: int = 0
    kills: int = 0
    swarm: int = 0
    images: dict[str, str] = field(default_factory=lambda: read_lock())
    data: str = field(default_factory=lambda: f"{NAME}-{secrets.token_hex(4)}")
    _done: dict[tuple[str, str], Measured] = field(default_factory=dict)

    def __enter__(self) -> "Lab":
        subprocess.run(["docker", "volume", "create", self.data], check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        remove_volume(self.data)

    def step(self, name: str, ds: str = SMALL) -> Measured:
        """Run a step, and before it what it needs and was not run yet."""
        step = STEPS[name]
        for needed in step.needs(ds):
            self.need(*needed)
        measured = self._run(step.stage, f"/opt/stage/{step.stage}.py", *self.arguments(name, ds))
        self._done[name, ds] = measured
        return measured

    def arguments(self, name: str, ds: str = SMALL) -> list[str]:
        """The command line of a step, which does its work even where its output is there already."""
        rows = {LARGE: self.large, FEW: self.few}.get(ds, self.rows)
        return [*STEPS[name].arguments(ds, rows), "--force"]

    @property
    def few(self) -> int:
        """The rows of the day for work that takes long for each row."""
        return max(1, self.rows // 20)

    def need(self, name: str, ds: str = SMALL) -> Measured:
        """What a step took when it ran last; runs it where it has not run."""
        return self._done.get((name, ds)) or self.step(name, ds)

    def command(self, stage: str, *arguments: str) -> Measured:
        """Run a command of a stage that is no step of the days above."""
        return self._run(stage, f"/opt/stage/{stage}.py", *arguments)

    def program(self, image: str, name: str, *arguments: str) -> Measured:
        """Run a program of the folder `inside` in an image."""
        return self._run(image, f"/bench/{name}.py", *arguments)

    def _run(self, image: str, *command: str) -> Measured:
        *said, figures = self.lines(image, "python", "/bench/measure.py", "python", *command)
        return Measured(**json.loads(figures), result=json.loads(said[-1]) if said else {})

    def lines(self, image: str, *command: str) -> list[str]:
        """Run a command in an image as Airflow would, with the folder `inside` as /bench; returns what it printed."""
        mounts = [f"--volume={self.data}:/data", f"--volume={INSIDE}:/bench:ro"]
        # Programs may use the modules of the stage whose image they run in.
        inside = ["--env=PYTHONPATH=/opt/stage", "--entrypoint=/usr/bin/tini", self.images[image], "--"]
        done = subprocess.run(
            ["docker", "run", *OPTIONS, *mounts, *inside, *command], text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"error: {image}: {' '.join(command)} ended with {done.returncode}\n{done.stderr[-3000:]}")
        return done.stdout.splitlines()

    def seconds_of_container(self, image: str, *arguments: str) -> float:
        """How long `docker run` of an image takes, from its start to the container's end and removal."""
        started = time.perf_counter()
        command = ["docker", "run", *OPTIONS, f"--volume={self.data}:/data", self.images[image], *arguments]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def read_lock() -> dict[str, str]:
    """The image of each name, under the tag of its content. As for the Dags, ML_IMAGE_LOCK names another lock."""
    path = Path(os.environ.get("ML_IMAGE_LOCK") or ROOT / "dags" / "images.lock.json")
    if not path.exists():
        raise SystemExit(f"error: {path} is not there; do: run ./build_images.sh")
    return {name: entry["image"] for name, entry in json.loads(path.read_text())["images"].items()}


def free_port() -> int:
    """A port of the loopback address that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def remove_volume(name: str) -> None:
    """Remove a volume that may not be there, and first what a run that was ended still has running on it."""
    listing = ["docker", "ps", "--all", "--quiet", f"--filter=volume={name}"]
    if containers := subprocess.run(listing, text=True, capture_output=True, check=True).stdout.split():
        subprocess.run(["docker", "rm", "--force", *containers], check=False, capture_output=True)
    subprocess.run(["docker", "volume", "rm", "--force", name], check=True, stdout=subprocess.DEVNULL)


def alternate(ours: Callable[[], Ours], theirs: Callable[[], Theirs], repeats: int) -> tuple[list[Ours], list[Theirs]]:
    """Run both sides in turn, so that what else the machine does hits both."""
    pairs = [(ours(), theirs()) for _ in range(repeats)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
