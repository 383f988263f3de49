"""The wait for a day's data: which mark, for how long, and what the log says when it does not come."""

import os
from pathlib import Path
from typing import Any

import pytest
from airflow.models import DagRun
from airflow.sdk.execution_time.supervisor import TaskRunResult

import ml.sensor
from ml.arguments import WAIT_HOURS
from ml.sensor import BROUGHT_BY, PartitionSensor
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, Dags, day
from tests.harness import PATIENCE_S

NIGHT = day("2026-11-16", 23)
MONDAY = "2026-11-16"
# What each Dag waits for, and which Dag brings it.
WAITS = {"train_model": "raw", "predict": "raw", "monitor": "predictions"}
BRINGS = {"raw": "generate_data", "predictions": "predict"}
WAITING = pytest.mark.parametrize("dag_id", WAITS)


@pytest.fixture(scope="module")
def airflow() -> Airflow:
    return Airflow(DAGS)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is used as /data."""
    monkeypatch.setattr(ml.sensor, "DATA_FOLDER", tmp_path)
    return tmp_path


def task_of(dag_id: str) -> str:
    return f"wait_for_{WAITS[dag_id]}"


def publish(data: Path, ds: str, name: str = "raw") -> None:
    folder = data / name / ds
    folder.mkdir(parents=True)
    (folder / "_meta.json").write_text("{}")


def begin(airflow: Airflow, dag_id: str, **form: Any) -> tuple[DagRun, TaskRunResult]:
    run = airflow.manual(dag_id, NIGHT, form)
    return run, airflow.run_task(run, task_of(dag_id))


def fails(outcome: TaskRunResult) -> str:
    """The message of a task that failed for good."""
    assert outcome.ti.state == "failed"
    assert type(outcome.error).__name__ == "AirflowSensorTimeout"
    return str(outcome.error)


@WAITING
def test_day_that_is_there_is_not_waited_for(airflow: Airflow, data: Path, dag_id: str) -> None:
    publish(data, MONDAY, WAITS[dag_id])
    run, outcome = begin(airflow, dag_id)
    assert outcome.ti.state == "success"
    assert airflow.waiting(run, task_of(dag_id)).trigger_id is None


@WAITING
def test_late_day_is_waited_for_without_a_worker_and_found(airflow: Airflow, data: Path, dag_id: str) -> None:
    run, outcome = begin(airflow, dag_id)
    assert outcome.ti.state == "deferred"
    before = airflow.waiting(run, task_of(dag_id))
    assert before.trigger.kwargs["filepath"] == str(data / WAITS[dag_id] / MONDAY / "_meta.json")
    publish(data, MONDAY, WAITS[dag_id])
    airflow.fire_trigger(run, task_of(dag_id), PATIENCE_S)
    assert airflow.run_task(run, task_of(dag_id), new_try=False).ti.state == "success"


@pytest.mark.parametrize(
    ("form", "hours"),
    [({}, WAIT_HOURS), ({"wait_hours": 0.5}, 0.5), ({"wait_hours": 30}, 30), ({"wait_hours": 168}, 168)],
)
def test_wait_is_finite_and_as_long_as_the_form_says(airflow: Airflow, form: dict[str, float], hours: float) -> None:
    run, _ = begin(airflow, "predict", **form)
    task = airflow.waiting(run, task_of(run.dag_id))
    assert (task.trigger_timeout - task.start_date).total_seconds() == pytest.approx(hours * 3600, abs=600)


def test_no_time_to_wait_fails_at_once(airflow: Airflow) -> None:
    assert "waited 0 hours for raw/2026-11-16" in fails(begin(airflow, "predict", wait_hours=0)[1])


def end_of_wait(airflow: Airflow, dag_id: str = "train_model", **form: Any) -> TaskRunResult:
    run, outcome = begin(airflow, dag_id, **form)
    assert outcome.ti.state == "deferred"
    airflow.let_wait_end(run, task_of(dag_id))
    return airflow.run_task(run, task_of(dag_id), new_try=False)


def test_day_that_never_comes_fails_for_good_and_says_what_to_do(airflow: Airflow, data: Path) -> None:
    publish(data, "2026-11-14")
    publish(data, "2026-11-15")
    message = fails(end_of_wait(airflow, wait_hours=2))
    assert "waited 2 hours for raw/2026-11-16" in message
    assert f"there is no {data}/raw/2026-11-16; the latest complete day is 2026-11-15" in message
    assert f"expected {data}/raw/2026-11-16/_meta.json" in message
    assert "do: publish 2026-11-16 (`generate_data`, or `preprocessing import` for data of your own)" in message


def test_day_that_was_not_scored_fails_for_good_and_says_what_to_do(airflow: Airflow, data: Path) -> None:
    publish(data, MONDAY)
    publish(data, "2026-11-15", "predictions")
    message = fails(end_of_wait(airflow, "monitor", wait_hours=2))
    assert "waited 2 hours for predictions/2026-11-16" in message
    assert f"there is no {data}/predictions/2026-11-16; the latest complete day is 2026-11-15" in message
    assert "do: run the Dag `predict` for 2026-11-16, then clear this task" in message
    assert "generate_data" not in message


@pytest.mark.parametrize(("name", "dag_id"), BRINGS.items())
def test_advice_names_a_dag_that_is_there_and_brings_the_folder(dags: Dags, name: str, dag_id: str) -> None:
    assert f"`{dag_id}`" in BROUGHT_BY[name]
    assert name in {asset.name for task in dags[dag_id].tasks for asset in task.outlets}


def test_every_folder_that_is_waited_for_has_its_advice(dags: Dags) -> None:
    waited_for = {task.partitions for dag in dags.values() for task in dag.tasks if task.task_type == "PartitionSensor"}
    assert waited_for == BROUGHT_BY.keys() == BRINGS.keys()


def test_folder_that_nobody_knows_is_named_in_the_advice(data: Path) -> None:
    sensor = PartitionSensor(task_id="wait", name="prices", day=MONDAY, hours="1")
    found = f"there is no {data}/prices/{MONDAY}; no day is complete"
    assert sensor.found_instead() == (found, f"run what publishes `prices` for {MONDAY}")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], "raw/2026-11-16 is empty"),
        (["data.csv", "schema.json"], "raw/2026-11-16 holds data.csv, schema.json, without a mark"),
        (list("abcdefg"), "raw/2026-11-16 holds a, b, c, d, e, 2 more, without a mark"),
    ],
)
def test_folder_without_a_mark_is_named_with_what_it_holds(
    airflow: Airflow, data: Path, files: list[str], found: str
) -> None:
    folder = data / "raw" / MONDAY
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).touch()
    assert found in fails(end_of_wait(airflow))


def test_mark_that_is_a_folder_is_no_mark(airflow: Airflow, data: Path) -> None:
    (data / "raw" / MONDAY / "_meta.json").mkdir(parents=True)
    assert "raw/2026-11-16 holds _meta.json, without a mark" in fails(end_of_wait(airflow))


def test_folder_that_is_not_mounted_is_not_reported_as_late_data(
    airflow: Airflow, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ml.sensor, "DATA_FOLDER", data / "nowhere")
    message = fails(end_of_wait(airflow))
    assert f"there is no {data}/nowhere; expected" in message
    assert "do: mount the data there, read-only, in scheduler and triggerer" in message


def test_folder_that_cannot_be_read_is_not_reported_as_late_data(
    airflow: Airflow, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop of links replaces a folder without rights, which the tests could enter as root."""
    (data / "raw").symlink_to(data / "raw")
    message = fails(end_of_wait(airflow))
    assert "cannot be read (Too many levels of symbolic links)" in message
    assert f"do: let user {os.getuid()} enter and list it" in message


def test_day_that_came_while_the_triggerer_stood_still_is_found_at_the_end(airflow: Airflow, data: Path) -> None:
    run, _ = begin(airflow, "predict")
    publish(data, MONDAY)
    airflow.let_wait_end(run, task_of("predict"))
    assert airflow.run_task(run, task_of("predict"), new_try=False).ti.state == "success"


def test_weekly_training_waits_for_the_data_of_its_own_sunday(airflow: Airflow, data: Path) -> None:
    """The feed is daily, training weekly: neither Saturday's data nor next Monday's will do."""
    for ds in ("2026-10-24", "2026-10-26"):
        publish(data, ds)
    run = airflow.scheduled("train_model", "2026-10-19", "2026-10-27")
    assert f"{run.logical_date:%A}" == "Sunday"
    assert airflow.run_task(run, task_of(run.dag_id)).ti.state == "deferred"
    assert airflow.waiting(run, task_of(run.dag_id)).trigger.kwargs["filepath"] == str(
        data / "raw" / "2026-10-25" / "_meta.json"
    )
    publish(data, "2026-10-25")
    airflow.fire_trigger(run, task_of(run.dag_id), PATIENCE_S)
    assert airflow.run_task(run, task_of(run.dag_id), new_try=False).ti.state == "success"


@WAITING
def test_stage_reads_the_day_that_was_waited_for(airflow: Airflow, data: Path, dag_id: str) -> None:
    run = airflow.scheduled(dag_id, "2026-11-15", "2026-11-23")
    if dag_id == "predict":
        airflow.set_result(run, "resolve", {"model": "models/2026-11-08"})
    airflow.run_task(run, task_of(dag_id))
    waited_for = airflow.shown_fields(run, task_of(dag_id))["day"]
    next_task = {"train_model": "prepare", "predict": "features", "monitor": "label"}[dag_id]
    assert f"--ds={waited_for}" in airflow.arguments(run, next_task)


@pytest.mark.parametrize("text", ["2026-11-1*", "../models/2026-11-16", "20261116", "north"])
def test_what_is_no_day_is_refused_before_it_becomes_a_path(airflow: Airflow, text: str) -> None:
    outcome = airflow.run_task(airflow.asset_triggered("predict", NIGHT, [("raw", {"ds": text})]), "wait_for_raw")
    assert outcome.ti.state == "failed"
    assert f"the run is about {text!r}, expected a day" in str(outcome.error)


@WAITING
def test_dag_waits_for_nothing_but_the_data_that_another_dag_brings(dags: Dags, dag_id: str) -> None:
    (sensor,) = (task for task in dags[dag_id].tasks if task.task_type == "PartitionSensor")
    assert sensor.task_id == task_of(dag_id)
    assert [asset.name for asset in sensor.inlets] == [WAITS[dag_id]]
    # What a person typed wrong is found before the wait; all else comes after it.
    before = sensor.get_flat_relative_ids(upstream=True)
    assert before == ({"check_parameters"} if dag_id == "train_model" else set())
    assert len(before) + 1 + len(sensor.get_flat_relative_ids(upstream=False)) == len(dags[dag_id].tasks)
