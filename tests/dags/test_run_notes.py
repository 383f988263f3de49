"""The note of a run: its day, and links to what its tasks made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.models import DagRun
from airflow.models.xcom import XComModel
from airflow.plugins_manager import _get_plugins
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState

from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, day

NIGHT = day("2026-11-16", 23)
RUN = "http://localhost:5000/#/experiments/1/runs/abc?workflowType=machine_learning"
VERSION = "http://localhost:5000/#/models/airflow-ml/versions/"


@pytest.fixture(scope="module")
def airflow() -> Airflow:
    return Airflow(DAGS)


@contextmanager
def in_the_scheduler(airflow: Airflow, run: DagRun) -> Iterator[Any]:
    """The run as the scheduler has it: in a session, with its Dag."""
    dag = airflow.dag(run.dag_id)
    with create_session() as session:
        found = session.merge(run)
        found.dag = dag
        yield found


def change_state(airflow: Airflow, run: DagRun, state: DagRunState) -> str | None:
    """Change the state of a run as the scheduler does; returns the note."""
    with in_the_scheduler(airflow, run) as found:
        found.set_state(state)
        found.notify_dagrun_state_changed(msg="test")
    with create_session() as session:
        return session.merge(run).note


def link(run: DagRun, task: str, name: str, address: str) -> None:
    """Keep a link of a task, as Airflow does when the task ends."""
    with create_session() as session:
        value, ids = address, {"dag_id": run.dag_id, "task_id": task, "run_id": run.run_id}
        XComModel.set(key=f"_link_{name}", value=value, **ids, session=session)


def test_airflow_finds_the_plugin() -> None:
    plugins, errors = _get_plugins()
    assert errors == {}
    assert "airflow-ml run notes" in [plugin.name for plugin in plugins]


@pytest.mark.parametrize(
    ("make_run", "note"),
    [
        (lambda airflow: airflow.manual("predict", NIGHT), "Day 2026-11-16"),
        (lambda airflow: airflow.manual("predict", NIGHT, {"ds": "2026-10-30"}), "Day 2026-10-30"),
        (lambda airflow: airflow.scheduled("predict", "2026-09-07", "2026-09-14"), "Day 2026-09-07"),
        (lambda airflow: airflow.asset_triggered("monitor", NIGHT, [("raw", {"ds": "2026-11-11"})]), "Day 2026-11-11"),
        (lambda airflow: airflow.manual("roll_back_model", NIGHT, {"reason": "a test"}), None),
    ],
)
def test_note_names_the_day_that_the_run_is_for(airflow: Airflow, make_run: Any, note: str | None) -> None:
    assert change_state(airflow, make_run(airflow), DagRunState.RUNNING) == note


@pytest.mark.parametrize("end", [DagRunState.SUCCESS, DagRunState.FAILED])
def test_note_of_a_run_that_has_ended_links_to_what_it_made(airflow: Airflow, end: DagRunState) -> None:
    run = airflow.manual("train_model", NIGHT)
    change_state(airflow, run, DagRunState.RUNNING)
    link(run, "register", "MLflow run", RUN)
    link(run, "register", "MLflow version", f"{VERSION}2")
    link(run, "decide", "MLflow version", f"{VERSION}2")
    link(run, "resolve", "MLflow version", f"{VERSION}1")
    link(run, "compare", "MLflow version", "")
    link(run, "validate", "MLflow version", "javascript:alert(1)")
    link(run, "answer", "TriggerDagRunLink", "http://localhost:8080/dags/train_model")
    assert change_state(airflow, run, end) == (
        f"Day 2026-11-16 · [MLflow run]({RUN}) · "
        f"[MLflow version of register]({VERSION}2) · [MLflow version of resolve]({VERSION}1)"
    )


def test_note_of_a_person_stays(airflow: Airflow) -> None:
    run = airflow.manual("predict", NIGHT)
    change_state(airflow, run, DagRunState.RUNNING)
    with in_the_scheduler(airflow, run) as found:
        found.note = f"{found.note}\nLate feed, I have called them"
    link(run, "resolve", "MLflow version", f"{VERSION}2")
    expected = f"Day 2026-11-16 · [MLflow version]({VERSION}2)\nLate feed, I have called them"
    assert change_state(airflow, run, DagRunState.SUCCESS) == expected
    assert change_state(airflow, run, DagRunState.SUCCESS) == expected


def test_note_of_a_person_stays_whole_though_the_links_find_no_room(airflow: Airflow) -> None:
    run = airflow.manual("predict", NIGHT)
    change_state(airflow, run, DagRunState.RUNNING)
    theirs = "Day shift says: late feed. " + "x" * 880
    with in_the_scheduler(airflow, run) as found:
        found.note = theirs
    link(run, "resolve", "MLflow version", f"{VERSION}2")
    link(run, "predict", "Report", "http://localhost:8081/2026-11-16/" + "x" * 90)
    expected = f"Day 2026-11-16 · [MLflow version]({VERSION}2)\n{theirs}"
    assert len(expected) < 1000
    assert change_state(airflow, run, DagRunState.SUCCESS) == expected
    with in_the_scheduler(airflow, run) as found:
        found.note = "x" * 1000
    assert change_state(airflow, run, DagRunState.SUCCESS) == "x" * 1000
