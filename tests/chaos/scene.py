"""The stack that the faults strike: its days, what they leave, and a reader that looks at the data all the time."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_ml.airflow_api import FINAL_STATES
from airflow_ml.alerts import read_alerts
from airflow_ml.common import AirflowMlError

from tests.end_to_end.conftest import (
    DAGS,
    FEW_TREES,
    PROJECT,
    SMALL,
    Stack,
    compose_stack,
    data,
    remove_stack,
    start_collector,
    write_rules,
)
from tests.harness import ROOT, docker, images

from .machine import build_clock, make_disks, remove_disks, set_clock

# The champion's day, and the day that each fault strikes.
TRAINED, DAY = "2026-11-14", "2026-11-15"
OF_DAG: dict[str, dict[str, Any]] = {"generate_data": SMALL, "train_model": {**FEW_TREES, "promote": "manual"}}
# A service that is paused for two minutes and a task's three tries, with their pauses, end within it.
PATIENCE_S = 900
# An orphan is removed when the next run starts or ends, a lost container by the next look of the scheduler.
GRACE_S = 60
T = TypeVar("T")
READER, KEEPER = f"{PROJECT}-reader", f"{PROJECT}-keeper"
# What can be filled is on small disks in memory, without harm to the machine: the volume of each, its size, its user.
# Postgres' limit of memory must hold what is on its disk too.
DISKS = {
    "data": (data.source, "200m", 10001),
    "Postgres": (f"{PROJECT}_postgres", "300m", 999),
    "MLflow": (f"{PROJECT}_mlflow", "100m", 10001),
    "logs": (f"{PROJECT}_logs", "100m", 10001),
}
# Where the services of clock.compose.yml find the library that moves their clock, and by how much.
CLOCK = ROOT / ".cache" / "clock" / PROJECT
os.environ["ML_TEST_CLOCK"] = str(CLOCK)
os.environ["COMPOSE_FILE"] += f"{os.pathsep}tests/chaos/clock.compose.yml"
FILLER = "/disks/{name}/.filler"
FILL = """
import contextlib, sys
with contextlib.suppress(OSError), open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        file.write(bytes(65536))
"""
# Marks say when a step ran, and the pages show it: their bytes differ from run to run.
OF_THE_RUN = ("_meta.json", "index.html")
WIPE = f"import glob, shutil; [shutil.rmtree(path) for path in glob.glob('/data/*/{DAY}*')]"
# Reads everything that a mark names, as any consumer does; a file that is not the bytes of its mark is torn.
READ = """
import os, signal, sys, time
from pathlib import Path
from stagekit import BadInput, NotReady, read_partition
from stagekit.mark import load_mark
looks, torn, ends = 0, [], []
signal.signal(signal.SIGTERM, lambda *_: ends.append(1))
root = Path("/data")
while not ends:
    for mark in root.glob("*/*/_meta.json"):
        name = str(mark.parent.relative_to(root))
        try:
            read_partition(root, name, load_mark(mark.parent, name)["outputs"])
        except (NotReady, FileNotFoundError):
            continue
        except BadInput as error:
            torn.append(str(error))
        looks += 1
    time.sleep(0.5)
print(looks, len(set(torn)), *sorted(set(torn))[:3], sep="\\t")
"""


@dataclass(frozen=True)
class Reading:
    """What the reader saw: how often it read a partition whole, and what was not as its mark says."""

    looks: int
    torn: int
    examples: str


def patiently(ask: Callable[[], T]) -> T:
    """An answer of Airflow, which may be down for a while. Errors: AirflowMlError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except AirflowMlError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


class Scene:
    """The stack, and the runs of the day that is struck: each as its Dag and its id."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.runs: list[tuple[str, str]] = []
        self.ahead_s = 0

    # --- a day ---

    def start_day(self) -> None:
        """Remove what is published of the day and ask for it again: four runs, each waits for what it reads."""
        data.python(WIPE)
        self.runs = []
        self.trigger_all()

    def trigger_all(self) -> None:
        """A run of each Dag for the day."""
        for dag in DAGS:
            self.trigger(dag)

    def trigger(self, dag: str) -> None:
        """A run of a Dag for the day."""
        conf = {"ds": DAY, **OF_DAG.get(dag, {})}
        self.runs.append((dag, patiently(lambda: self.stack.airflow.trigger(dag, conf))))

    def states(self) -> list[str]:
        """The state of each run now."""
        return [patiently(lambda one=one: self.stack.airflow.run_state(*one)) for one in self.runs]

    def has_ended(self) -> bool:
        """Whether no run goes on."""
        return set(self.states()) <= FINAL_STATES

    def see_through(self) -> tuple[list[str], bool]:
        """The state of each run at its end, and whether somebody had to clear one: a run that fails is cleared once.

        It is cleared as soon as it has failed, since other runs may wait for it. A run that does not end within
        PATIENCE_S, or within PATIENCE_S after the last clear, has the state that it has then.
        """
        deadline = time.monotonic() + PATIENCE_S
        cleared: set[tuple[str, str]] = set()
        while True:
            states = self.states()
            failed = {run for run, state in zip(self.runs, states, strict=True) if state == "failed"} - cleared
            for run in failed:
                self.clear(*run)
            if failed:
                cleared |= failed
                deadline = time.monotonic() + PATIENCE_S
            elif set(states) <= FINAL_STATES or time.monotonic() > deadline:
                return states, bool(cleared)
            time.sleep(0.5)

    def clear(self, dag: str, run: str) -> None:
        """What a person does with a run that has failed: clear its tasks, all of them.

        In a run that was marked failed, Airflow has skipped those that had not started. What is done is found done.
        """
        body = {"dag_run_id": run, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        patiently(lambda: self.stack.airflow.request("POST", f"/dags/{dag}/clearTaskInstances", body))

    def mark_failed(self, dag: str, run: str) -> None:
        """End a run as a person does on its page."""
        path = f"/dags/{dag}/dagRuns/{quote(run)}"
        patiently(lambda: self.stack.airflow.request("PATCH", path, {"state": "failed"}))

    def delete(self, dag: str, run: str) -> None:
        """Mark a run failed, remove it with all that Airflow knows of it, and ask for the day again."""
        self.mark_failed(dag, run)
        patiently(lambda: self.stack.airflow.request("DELETE", f"/dags/{dag}/dagRuns/{quote(run)}"))
        self.runs.remove((dag, run))
        self.trigger(dag)

    # --- what it leaves ---

    def files(self) -> dict[str, str]:
        """The sha256 of each file of the day that must be the same each time, by path."""
        found = data.files()
        return {path: sha for path, sha in found.items() if f"/{DAY}" in path and not path.endswith(OF_THE_RUN)}

    def orphans(self) -> list[str]:
        """The stage containers that are left although the runs have ended."""
        deadline = time.monotonic() + GRACE_S
        while (left := self.stage_containers()) and time.monotonic() < deadline:
            time.sleep(1)
        return list(left)

    def alerts(self) -> int:
        """How many alerts name one of the runs."""
        text = patiently(read_alerts)
        return sum(text.count(f"Run: {run}") for _, run in self.runs)

    # --- containers and disk ---

    def stage_containers(self) -> dict[str, tuple[str, str]]:
        """The task and the run of each stage container, by its id."""
        labels = '{{.Label "airflow-ml.task"}} {{.Label "airflow-ml.run"}}'
        chosen = ("--no-trunc", "--filter", f"label=airflow-ml.data={data.source}", "--filter", "label=airflow-ml.run")
        lines = docker("ps", "--format", "{{.ID}} " + labels, *chosen).stdout.splitlines()
        return {container: (task, run) for container, task, run in map(str.split, lines)}

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return compose_stack.container_of(service)

    def fill_disk(self, name: str) -> None:
        """Leave no byte free on a disk of DISKS."""
        docker("exec", KEEPER, "python", "-c", FILL, FILLER.format(name=name))

    def empty_disk(self, name: str) -> None:
        """Give back what `fill_disk` took."""
        docker("exec", KEEPER, "python", "-c", "import os, sys; os.remove(sys.argv[1])", FILLER.format(name=name))

    def move_clock(self, seconds: int) -> None:
        """Move the clock of all services, forward or back, from where it is."""
        self.ahead_s += seconds
        set_clock(CLOCK, self.ahead_s)


@contextmanager
def reader() -> Iterator[Callable[[], Reading]]:
    """Reads the data all the time; the call ends it and returns what it saw."""
    docker("rm", "--force", READER, check=False)
    user = ("--user=10001:10001", "--network=none", "--entrypoint=python")
    docker("run", "--detach", f"--name={READER}", *user, data.mount, images()["base"], "-c", READ)

    def end() -> Reading:
        docker("stop", "--time=30", READER)
        done = docker("logs", READER)
        assert done.stdout, f"the reader failed: {done.stderr}"
        looks, torn, *examples = done.stdout.strip().split("\t")
        return Reading(int(looks), int(torn), "; ".join(examples))

    try:
        yield end
    finally:
        docker("rm", "--force", READER, check=False)


@contextmanager
def struck_stack() -> Iterator[Scene]:
    """The stack with a model in production, for as long as the block runs."""
    _remove()
    make_disks(KEEPER, DISKS)
    write_rules()
    build_clock(CLOCK)
    try:
        compose_stack.start()
        start_collector()
        stack = Stack()
        stack.run("generate_data", {"ds": TRAINED, **SMALL})
        stack.run("train_model", {"ds": TRAINED, **FEW_TREES})
        yield Scene(stack)
    finally:
        _remove()


def _remove() -> None:
    compose_stack.compose("stop")
    # A stage that still works holds the data.
    stages = docker("ps", "--all", "--quiet", f"--filter=label=airflow-ml.data={data.source}").stdout.split()
    docker("rm", "--force", READER, *stages, check=False)
    remove_stack()
    remove_disks(KEEPER, DISKS)
