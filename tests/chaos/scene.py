"""The stack that the faults strike: its days, what they leave, and a reader that looks at the data all the time."""

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from airflow_ml.airflow_api import FINAL_STATES, Airflow
from airflow_ml.alerts import read_alerts
from airflow_ml.common import AirflowMlError

from tests.dags.swarm.lab import Node, swarm_of_three
from tests.dags.swarm.stack_on_node import STAGES, load, stack_on
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
FORMS: dict[str, dict[str, Any]] = {"generate_data": SMALL, "train_model": {**FEW_TREES, "promote": "manual"}}
# A service that is paused for two minutes and a task's three tries, with their pauses, end within it.
PATIENCE_S = 900
# An orphan is removed when the next run starts or ends, a lost container by the next look of the scheduler.
GRACE_S = 60
# Between two looks whether the runs have ended, which cost more than those for containers.
LOOK_S = 1
T = TypeVar("T")
# A task and its run.
Task = tuple[str, str]
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
FILLER = "/disks/{name}/.filler"
FILL = """
import contextlib, sys
with contextlib.suppress(OSError), open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        file.write(bytes(65536))
"""
# Marks say when a step ran, and the pages show it: their bytes differ from run to run.
OF_THE_RUN = ("_meta.json", "index.html")
# A comparison is with the champion, and the first time there is none.
COMPARISON = ("comparison.json", "val.csv")
WIPE = "import glob, shutil; [shutil.rmtree(path) for path in glob.glob('/data/*/{day}*')]"
# Reads everything that a mark names, as any consumer does; a file that is not the bytes of its mark is torn. Prints a
# line for each round, so that it can be killed too.
READ = """
import json, signal, sys, time
from pathlib import Path
from stagekit import BadInput, NotReady, read_partition
from stagekit.mark import load_mark
ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(1))
root = Path("/data")
while not ends:
    looks, torn = 0, []
    for mark in root.glob(sys.argv[1] + "/_meta.json"):
        name = str(mark.parent.relative_to(root))
        try:
            read_partition(root, name, load_mark(mark.parent, name)["outputs"])
        except (NotReady, FileNotFoundError):
            continue
        except BadInput as error:
            torn.append(str(error))
        looks += 1
    print(json.dumps([looks, torn]), flush=True)
    time.sleep(0.5)
"""
# Copies the data as `cp` does, file by file, and prints what a reader of the copy accepts: the sha256 of each file.
COPY = """
import hashlib, json, os, shutil
from contextlib import suppress
from pathlib import Path
from stagekit import BadInput, NotReady, read_partition
from stagekit.mark import load_mark
root = Path("/tmp/copy")
for folder, _, names in os.walk("/data"):
    there = root / Path(folder).relative_to("/data")
    there.mkdir()
    for name in names:
        with suppress(FileNotFoundError):
            shutil.copyfile(Path(folder, name), there / name)
whole, refused = {}, 0
for mark in sorted(root.glob("*/*/_meta.json")):
    name = str(mark.parent.relative_to(root))
    try:
        outputs = load_mark(mark.parent, name)["outputs"]
        read_partition(root, name, outputs)
    except (NotReady, BadInput):
        refused += 1
        continue
    for file in outputs:
        whole[f"{name}/{file}"] = hashlib.sha256((mark.parent / file).read_bytes()).hexdigest()
print(json.dumps([whole, refused]))
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


@dataclass(frozen=True)
class Copy:
    """What a reader of a copy of the data accepted, and how many partitions it refused."""

    whole: Mapping[str, str]
    refused: int


class Scene:
    """The stack, and the runs of the day that is struck: each as its Dag and its id. The machine, if it has its own.

    With `again` the day is there already and stays: each step makes it again, beside what other tests leave.
    """

    def __init__(self, airflow: Airflow, day: str = DAY, *, again: bool = False, node: Node | None = None) -> None:
        self.airflow = airflow
        self.day = day
        self.again = again
        self.node = node
        self.draw = random.Random(1)
        self.runs: list[tuple[str, str]] = []
        self.copies: list[Copy] = []
        self.ahead_s = 0

    @property
    def partitions(self) -> str:
        """The partitions that the reader reads, as a pattern."""
        return f"*/{self.day}" if self.again else "*/*"

    # --- a day ---

    def start_day(self) -> None:
        """Remove what is published of the day and ask for it again: four runs, each waits for what it reads."""
        if not self.again:
            data.python(WIPE.format(day=self.day))
        self.runs, self.copies = [], []
        self.trigger_all()

    def trigger_all(self) -> None:
        """A run of each Dag for the day."""
        for dag in DAGS:
            self.trigger(dag)

    def trigger(self, dag: str) -> None:
        """A run of a Dag for the day."""
        conf = {"ds": self.day, **({"force": True} if self.again else FORMS.get(dag, {}))}
        self.runs.append((dag, patiently(lambda: self.airflow.trigger(dag, conf))))

    def states(self) -> list[str]:
        """The state of each run now."""
        return [patiently(lambda one=one: self.airflow.run_state(*one)) for one in self.runs]

    def has_ended(self) -> bool:
        """Whether no run goes on."""
        return set(self.states()) <= FINAL_STATES

    def see_through(self, struck: set[Task]) -> tuple[list[str], bool, float]:
        """The state of each run at its end, whether somebody had to clear one, and the seconds until it had healed.

        It has healed when each task that was struck, given with its run, has succeeded. A run that fails is cleared
        once, as soon as it has failed, since other runs may wait for it. A run that does not end within PATIENCE_S, or
        within PATIENCE_S after the last clear, has the state that it has then.
        """
        started = time.monotonic()
        deadline, healed_s = started + PATIENCE_S, 0.0
        cleared: set[tuple[str, str]] = set()
        while True:
            if struck:
                struck = self._unhealed(struck)
                healed_s = time.monotonic() - started
            states = self.states()
            failed = {run for run, state in zip(self.runs, states, strict=True) if state == "failed"} - cleared
            for run in failed:
                self.clear(*run)
            if failed:
                cleared |= failed
                deadline = time.monotonic() + PATIENCE_S
            elif set(states) <= FINAL_STATES or time.monotonic() > deadline:
                return states, bool(cleared), healed_s
            time.sleep(0.5)

    def _unhealed(self, struck: set[Task]) -> set[Task]:
        """Those of these tasks that have not succeeded yet; not those whose run is gone."""
        dags = {run: dag for dag, run in self.runs}
        here = {run for _, run in struck} & dags.keys()
        tasks = {run: patiently(lambda one=run: self.airflow.tasks(dags[one], one)) for run in here}
        states = {(task["task_id"], run): task["state"] for run, of_run in tasks.items() for task in of_run}
        return {one for one in struck if states.get(one, "success") != "success"}

    def reasons(self, dag: str, run: str) -> str:
        """The logs of the tasks of a run that have failed."""
        tasks = patiently(lambda: self.airflow.tasks(dag, run))
        failed = [task for task in tasks if task["state"] == "failed"]
        return "\n".join(patiently(lambda one=one: self.airflow.log_of(dag, run, one)) for one in failed)

    def clear(self, dag: str, run: str) -> None:
        """What a person does with a run that has failed: clear its tasks, all of them.

        In a run that was marked failed, Airflow has skipped those that had not started. What is done is found done.
        """
        body = {"dag_run_id": run, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        patiently(lambda: self.airflow.request("POST", f"/dags/{dag}/clearTaskInstances", body))

    def mark_failed(self, dag: str, run: str) -> None:
        """End a run as a person does on its page."""
        path = f"/dags/{dag}/dagRuns/{quote(run)}"
        patiently(lambda: self.airflow.request("PATCH", path, {"state": "failed"}))

    def delete(self, dag: str, run: str) -> None:
        """Mark a run failed, remove it with all that Airflow knows of it, and ask for the day again."""
        self.mark_failed(dag, run)
        patiently(lambda: self.airflow.request("DELETE", f"/dags/{dag}/dagRuns/{quote(run)}"))
        self.runs.remove((dag, run))
        self.trigger(dag)

    # --- what it leaves ---

    def files(self) -> dict[str, str]:
        """The sha256 of each file of the day that must be the same each time, by path."""
        differ = (*OF_THE_RUN, *([f"comparisons/{self.day}/{name}" for name in COMPARISON] if self.again else []))
        found = data.files()
        return {path: sha for path, sha in found.items() if f"/{self.day}" in path and not path.endswith(differ)}

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

    def copy_data(self) -> None:
        """Copy the data while stages write, and read the copy."""
        whole, refused = json.loads(data.python(COPY))
        self.copies.append(Copy(whole, refused))

    def wrong_in_copies(self, expected: Mapping[str, str]) -> list[str]:
        """The files that a reader of a copy accepted, and that are not those expected."""
        files = {(path, sha) for copy in self.copies for path, sha in copy.whole.items()}
        return sorted(f"copy of {path}" for path, sha in files if expected.get(path, sha) != sha)

    # --- containers and disk ---

    def at_work(self) -> dict[str, Task]:
        """The stage containers as soon as there is one; none if the day has ended."""
        while not self.has_ended():
            until = time.monotonic() + LOOK_S
            while time.monotonic() < until:
                if found := self.stage_containers():
                    return found
                time.sleep(0.1)
        return {}

    def new_containers(self) -> Iterator[tuple[str, Task]]:
        """Each stage container that works until the day has ended, with its task and run."""
        seen: set[str] = set()
        while not self.has_ended():
            until = time.monotonic() + LOOK_S
            while time.monotonic() < until:
                new = {one: task for one, task in self.stage_containers().items() if one not in seen}
                seen |= new.keys()
                yield from new.items()
                time.sleep(0.1)

    def tasks_at_work(self) -> set[Task]:
        """The tasks whose stages work now."""
        return set(self.stage_containers().values())

    def stage_containers(self) -> dict[str, Task]:
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
def reader(partitions: str) -> Iterator[Callable[[], Reading]]:
    """Reads the data all the time; the call ends it and returns what it saw."""
    docker("rm", "--force", READER, check=False)
    # It begins again with the engine.
    options = ("--restart=always", "--user=10001:10001", "--network=none", "--entrypoint=python")
    docker("run", "--detach", f"--name={READER}", *options, data.mount, images()["base"], "-c", READ, partitions)

    def end() -> Reading:
        docker("stop", "--time=30", READER)
        done = docker("logs", READER)
        assert not done.stderr, f"the reader failed: {done.stderr}"
        rounds = [json.loads(line) for line in done.stdout.splitlines()]
        torn = sorted({message for _, found in rounds for message in found})
        return Reading(sum(looks for looks, _ in rounds), len(torn), "; ".join(torn[:3]))

    try:
        yield end
    finally:
        docker("rm", "--force", READER, check=False)


def _put_into_production(airflow: Airflow) -> None:
    """A model, trained on a day before."""
    for dag, form in (("generate_data", SMALL), ("train_model", FEW_TREES)):
        state = airflow.wait(dag, airflow.trigger(dag, {"ds": TRAINED, **form}), PATIENCE_S)
        assert state == "success", f"{dag} without a fault: {state}"


@contextmanager
def struck_stack(*, with_clock: bool) -> Iterator[Scene]:
    """The stack with a model in production, for as long as the block runs; its clock can jump, if that is asked for."""
    _remove()
    make_disks(KEEPER, DISKS)
    write_rules()
    with pytest.MonkeyPatch.context() as monkeypatch:
        if with_clock:
            build_clock(CLOCK)
            monkeypatch.setenv("ML_TEST_CLOCK", str(CLOCK))
            monkeypatch.setenv("COMPOSE_FILE", f"{os.environ['COMPOSE_FILE']}{os.pathsep}tests/chaos/clock.compose.yml")
        try:
            compose_stack.start()
            start_collector()
            airflow = Stack().airflow
            _put_into_production(airflow)
            yield Scene(airflow)
        finally:
            _remove()


@contextmanager
def struck_machine() -> Iterator[Scene]:
    """The same on an engine of its own, which can be restarted: one of the hosts of the tests' swarm."""
    settings = {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_FILE": "docker-compose.yml", "ML_ENGINE": "docker"}
    with swarm_of_three() as lab:
        load(lab.manager, *(images()[stage] for stage in (*STAGES, "base")))
        with stack_on(lab.manager, {**settings, "ML_DATA": data.source}) as airflow:
            _put_into_production(airflow)
            yield Scene(airflow, node=lab.manager)


def _remove() -> None:
    compose_stack.compose("stop")
    # A stage that still works holds the data.
    stages = docker("ps", "--all", "--quiet", f"--filter=label=airflow-ml.data={data.source}").stdout.split()
    docker("rm", "--force", READER, *stages, check=False)
    remove_stack()
    remove_disks(KEEPER, DISKS)
