"""The commands that show a running stack, and the one that fills in past days."""

import subprocess

import pytest
from airflow_ml import airflow_api

from tests.harness import ROOT, wait_until

from .conftest import COMMAND_TIMEOUT_S, DAGS, DAY, TEST_DAGS, Mlflow, Results, Stack, compose_stack


def tool(*arguments: str, code: int = 0) -> str:
    """What a command of the host tool prints; fails unless it ends with this exit code."""
    done = subprocess.run(
        [ROOT / "airflow-ml", *arguments], text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.usefixtures("day")
def test_status_shows_services_champion_days_and_runs() -> None:
    shown = tool("status")
    champion = Mlflow(compose_stack.pages()["mlflow"]).champion()
    assert "are well" in shown
    assert f"champion    version {champion} of airflow-ml, since 20" in shown
    assert "free there" in shown
    rows = {line.split()[0]: line for line in shown.splitlines() if line}
    for dag in DAGS:
        assert " success " in rows[dag] or " failed " in rows[dag]


def test_status_names_a_dag_file_that_airflow_cannot_read(stack: Stack) -> None:
    """Such as after a typo in the rules: the Dag gets no run, so no alert comes."""

    def errors() -> list[str]:
        return [error["filename"] for error in stack.airflow.request("GET", "/importErrors")["import_errors"]]

    broken = TEST_DAGS / "broken.py"
    try:
        broken.write_text("from airflow.sdk import DAG\nraise ValueError('no such limit')\n")
        wait_until(lambda: bool(errors()), "Airflow has looked at the file")
        shown = tool("status", code=1)
    finally:
        broken.unlink()
    assert "broken.py cannot be read: ValueError: no such limit; do: " in shown
    wait_until(lambda: not errors(), "Airflow has seen that the file is gone")


@pytest.mark.usefixtures("stack")
def test_doctor_finds_nothing_wrong_with_a_stack_that_runs() -> None:
    assert tool("doctor").endswith("Nothing is wrong.\n")


def test_models_shows_who_promoted_the_version_of_the_day(day: Results) -> None:
    version, reason = day["registry", "register"]["version"], day["registry", "decide"]["reasons"][0]
    rows = [line.split() for line in tool("models").splitlines()]
    assert rows[0][:3] == ["version", "alias", "day"]
    assert [version, DAY] in [[row[0], row[2]] for row in rows[1:]]
    assert reason in tool("models", "--events")


@pytest.mark.usefixtures("day")
def test_logs_are_of_a_service_or_of_the_last_run_of_a_dag() -> None:
    assert len(tool("logs", "reports", "--tail=3").splitlines()) <= 3
    shown = tool("logs", "generate_data", "--task=generate")
    assert shown.startswith("==> generate_data, ")
    assert "==> generate: success" in shown
    assert tool("logs", "nothing", code=2) == ""


@pytest.mark.usefixtures("day")
def test_tasks_of_a_run_are_the_same_in_pages_of_any_size(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stack.last_run("train_model", DAY)
    expected = stack.airflow.tasks("train_model", run)
    monkeypatch.setattr(airflow_api, "PAGE", 2)
    assert stack.airflow.tasks("train_model", run) == expected
    assert len(expected) > 10


def test_addresses_are_those_that_answer(stack: Stack) -> None:
    assert stack.url in tool("open")


@pytest.mark.usefixtures("day")
def test_backfill_waits_for_each_day(stack: Stack) -> None:
    assert tool("backfill", DAY, DAY, "--dag=monitor") == "monitor: 1 of 1 runs ended well\n"
    between = f"logical_date_gte={DAY}T00:00:00Z&logical_date_lte={DAY}T23:59:59Z"
    (run,) = stack.airflow.request("GET", f"/dags/monitor/dagRuns?{between}")["dag_runs"]
    assert (run["run_type"], run["state"]) == ("backfill", "success")
