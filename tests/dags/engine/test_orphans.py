"""A container whose task has ended without removing it: whenever a run starts or ends, it is removed."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.models import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

from ml import connections, container_labels, operator
from ml.engines import EngineError
from ml.engines.docker import DockerEngine
from tests.dags.engine.conftest import NO_PATIENCE, Engine, docker
from tests.dags.runs import Airflow, day

pytestmark = pytest.mark.usefixtures("_environment")

SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def run(probes: Airflow, engine: Engine) -> Iterator[DagRun]:
    run = probes.manual("probes", day("2026-11-21"), {"code": SLEEP})
    yield run
    if left := engine.containers(run.run_id):
        docker("rm", "--force", *left)


@pytest.fixture
def start(engine: Engine, run: DagRun) -> Callable[..., str]:
    """Start a container as a worker of the run's task `probe` has started it, whose process was killed since."""

    def start(**change: str) -> str:
        task = {"dag": "probes", "task": "probe", "run": run.run_id, "map-index": "-1", "data": engine.name, **change}
        marks = [f"--label=airflow-ml.{name}={value}" for name, value in task.items() if value]
        return docker("run", "--detach", *marks, engine.tags[0], "-c", SLEEP)

    return start


def mark(run: DagRun, state: str | None, *tasks: str) -> None:
    """Give tasks of a run a state, as a person or the scheduler does; all of them if none is named."""
    with create_session() as session:
        for ti in session.scalars(select(TaskInstance).where(TaskInstance.run_id == run.run_id)):
            if ti.task_id in tasks or not tasks:
                ti.set_state(TaskInstanceState(state) if state else None, session=session)


def schedule(probes: Airflow, run: DagRun) -> str:
    """What the scheduler does with a run; returns its state."""
    dag = probes.dag(run.dag_id)
    with create_session() as session:
        found = session.merge(run)
        found.dag = dag
        found.update_state(session=session, execute_callbacks=False)
        return str(found.state)


def start_another_run(probes: Airflow) -> None:
    other = probes.manual("probes", day("2026-11-22"), {"code": ""})
    dag = probes.dag("probes")
    with create_session() as session:
        found = session.merge(other)
        found.dag = dag
        found.set_state("running")
        found.notify_dagrun_state_changed(msg="started")


def test_person_who_marks_a_task_before_the_triggerer_waits_for_it_stops_its_container(
    probes: Airflow, engine: Engine, run: DagRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger is deleted before anybody has loaded it, so that nobody is asked to stop the container."""
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    assert probes.run_task(run, "probe").ti.state == "deferred"
    assert engine.containers(run.run_id, "running")
    mark(run, "failed")
    assert schedule(probes, run) == "failed"
    assert engine.containers(run.run_id) == []


@pytest.mark.parametrize("state", ["failed", "success", "skipped", None])
def test_container_whose_task_has_ended_is_removed(
    probes: Airflow, engine: Engine, run: DagRun, start: Callable[..., str], state: str | None
) -> None:
    """The worker of the last try was killed, or a person marked or cleared the task."""
    start()
    mark(run, state)
    start_another_run(probes)
    assert engine.containers(run.run_id) == []


def test_container_of_a_run_that_was_deleted_is_removed(
    probes: Airflow, engine: Engine, run: DagRun, start: Callable[..., str]
) -> None:
    start()
    mark(run, "running")
    with create_session() as session:
        session.delete(session.merge(run))
    start_another_run(probes)
    assert engine.containers(run.run_id) == []


@pytest.mark.parametrize(
    "state", ["scheduled", "queued", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule"]
)
def test_container_whose_task_goes_on_is_left(
    probes: Airflow, engine: Engine, run: DagRun, start: Callable[..., str], state: str
) -> None:
    container = start()
    mark(run, state)
    start_another_run(probes)
    assert engine.containers(run.run_id, "running") == [container[:12]]


def test_container_whose_task_lost_its_scheduler_is_left(
    probes: Airflow, engine: Engine, run: DagRun, start: Callable[..., str]
) -> None:
    """Airflow takes its state away until it is scheduled again; the next try joins the container."""
    container = start(**{"last-try": "2"})
    mark(run, None)
    start_another_run(probes)
    assert engine.containers(run.run_id, "running") == [container[:12]]
    with create_session() as session:
        for ti in session.merge(run).get_task_instances(session=session):
            session.merge(ti).max_tries += 1  # a person clears it
    start_another_run(probes)
    assert engine.containers(run.run_id) == []


@pytest.mark.parametrize("change", [{"data": "other-data"}, {"run": ""}])
def test_container_that_is_not_of_this_airflow_is_left(
    probes: Airflow, run: DagRun, start: Callable[..., str], change: dict[str, str]
) -> None:
    """It works on other data, or a person started it by hand."""
    container = start(**change)
    mark(run, "failed")
    assert schedule(probes, run) == "failed"
    assert docker("inspect", "--format={{.State.Status}}", container) == "running"
    docker("rm", "--force", container)


def task_of(container: str) -> dict[str, str]:
    return container_labels.of_try(json.loads(docker("inspect", container))[0]["Config"]["Labels"])


def test_connection_that_the_container_read_is_removed_too(
    probes: Airflow, run: DagRun, start: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "{}")
    connections.write("shop", task_of(start()))
    assert list(folder.glob("*/shop.json"))
    mark(run, "failed")
    assert schedule(probes, run) == "failed"
    assert list(folder.iterdir()) == []


def test_connection_of_a_container_that_never_started_is_removed_in_the_end(
    probes: Airflow, run: DagRun, start: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was killed between the two, and nobody tries the task again."""
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "{}")
    works = task_of(start())
    mark(run, "running")
    connections.write("shop", works)
    (working,) = folder.iterdir()
    connections.write("shop", {**works, container_labels.TASK: "other"})
    (lost,) = set(folder.iterdir()) - {working}
    start_another_run(probes)
    assert set(folder.iterdir()) == {working, lost}
    for one in (working, lost):
        os.utime(one, (0, 0))
    start_another_run(probes)
    assert list(folder.iterdir()) == [working]


def test_container_that_cannot_be_removed_does_not_keep_others(
    probes: Airflow, engine: Engine, run: DagRun, start: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    containers = [start(**{"map-index": str(number)}) for number in range(3)]
    mark(run, "failed")
    remove, tried = DockerEngine.remove, []

    def refuse_the_first(self: DockerEngine, container: str) -> None:
        tried.append(container)
        if container == tried[0]:
            raise EngineError("refuses: device or resource busy")
        remove(self, container)

    with monkeypatch.context() as broken:
        broken.setattr(DockerEngine, "remove", refuse_the_first)
        start_another_run(probes)
    assert len(tried) == len(containers)
    assert engine.containers(run.run_id) == [tried[0][:12]]
    assert "device or resource busy" in caplog.text


def test_run_ends_though_the_engine_does_not_answer(
    probes: Airflow, engine: Engine, run: DagRun, start: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    container = start()
    mark(run, "failed")
    with monkeypatch.context() as broken:
        broken.setenv("ML_DOCKER_HOST", "unix:///no-engine.sock")
        assert schedule(probes, run) == "failed"
    assert engine.containers(run.run_id) == [container[:12]]
    start_another_run(probes)
    assert engine.containers(run.run_id) == []
