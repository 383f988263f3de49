"""Every way to start a run, and a stack that heals."""

import json
import signal
import time
from typing import Any

import pytest

from tests.harness import PATIENCE_S

from .conftest import DAY, RUN_TIMEOUT_S, SMALL, Stack, compose_stack, data


def test_run_with_a_logical_date_works_on_that_day(stack: Stack) -> None:
    stack.run("generate_data", SMALL, logical_date="2026-09-01T00:00:00Z")
    assert len(data.rows("raw/2026-09-01/data.csv")) == SMALL["rows"]


def test_run_without_a_date_works_on_today(stack: Stack) -> None:
    run = stack.run("generate_data", SMALL)
    asked = stack.airflow.request("GET", f"/dags/generate_data/dagRuns/{run.replace('+', '%2B')}")["run_after"][:10]
    assert f"raw/{asked}/data.csv" in data.files()


def not_complete(stack: Stack, dag: str) -> list[int]:
    """The backfills of a Dag that the scheduler does not call complete."""
    found = stack.airflow.request("GET", f"/backfills?dag_id={dag}&limit=100")["backfills"]
    return [one["id"] for one in found if one["completed_at"] is None]


def backfill(stack: Stack, dag: str, first: str, last: str, *options: str, **conf: object) -> list[str]:
    """Fill days in as the README does, from the command line; returns the runs, which must all be green."""
    days = [f"--from-date={first}", f"--to-date={last}T23:59:59", f"--dag-run-conf={json.dumps(conf)}"]
    command = ["airflow", "backfill", "create", f"--dag-id={dag}", *days, "--max-active-runs=2", *options]
    deadline = time.monotonic() + RUN_TIMEOUT_S
    # A Dag has one backfill at a time, and the scheduler looks every half minute whether the last one is complete. The
    # command loads all of Airflow, so it is not what looks.
    while not_complete(stack, dag):
        assert time.monotonic() < deadline
        time.sleep(2)
    done = compose_stack.compose("exec", "-T", "scheduler", *command)
    assert done.returncode == 0, done.stderr
    between = f"logical_date_gte={first}T00:00:00Z&logical_date_lte={last}T23:59:59Z"
    path = f"/dags/{dag}/dagRuns?limit=100&run_type=backfill&{between}"
    runs: list[dict[str, Any]] = []
    while not runs or {run["state"] for run in runs} & {"queued", "running"}:
        assert time.monotonic() < deadline, runs
        time.sleep(1)
        runs = stack.airflow.request("GET", path)["dag_runs"]
    assert {run["state"] for run in runs} == {"success"}, runs
    return [run["dag_run_id"] for run in runs]


@pytest.mark.usefixtures("day")
def test_backfill_fills_in_each_day_in_any_order_with_the_bytes_of_daily_runs(stack: Stack) -> None:
    days = [f"2026-08-0{day}" for day in range(3, 6)]
    first, last = days[0], days[-1]
    assert len(backfill(stack, "generate_data", first, last, **SMALL)) == len(days)
    with stack.variable("model_path", f"models/{DAY}"):
        assert len(backfill(stack, "predict", first, last, "--run-backwards")) == len(days)
        files = {path: digest for path, digest in data.files().items() if path.startswith("predictions/2026-08")}
        found = {path.split("/")[1] for path in files if path.endswith("predictions.csv")}
        assert found == set(days)
        stack.run_together([("predict", {"ds": ds, "force": True, "reasons": 2}) for ds in days[:2]])
        again = data.files()
        explained = {path.split("/")[1] for path in again if path.startswith("explanations/2026-08")}
        assert explained == set(days[:2]), "reasons are for the runs that asked for them"
        assert len(data.rows(f"explanations/{days[0]}/reasons.csv")) == len(
            data.rows(f"predictions/{days[0]}/predictions.csv")
        )
        tables = [path for path in files if path.endswith(".csv")]
        assert {path: again[path] for path in tables} == {path: files[path] for path in tables}
        assert len(backfill(stack, "predict", first, last, "--reprocess-behavior=completed")) == len(days)
        after = data.files()
        assert {path: after[path] for path in files} == {path: again[path] for path in files}


def test_bad_data_fails_at_once_and_says_why(stack: Stack) -> None:
    """Exit code 3 is not tried again: the same bytes are as bad a second time."""
    ds = "2026-07-01"
    data.python(f"import os; os.makedirs('/data/raw/{ds}'); open('/data/raw/{ds}/_meta.json', 'w').write('torn')")
    run = stack.airflow.trigger("train_model", {"ds": ds})
    assert stack.airflow.wait("train_model", run, RUN_TIMEOUT_S) == "failed"
    (failed,) = [task for task in stack.airflow.tasks("train_model", run) if task["state"] == "failed"]
    assert failed["try_number"] == 1
    log = stack.airflow.log_of("train_model", run, failed)
    assert "_meta.json is damaged" in log
    assert "docker run" in log


SIGNAL_ALL = """
import os
for name in os.listdir('/proc'):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), {signal})
"""


def test_health_check_notices_a_component_that_hangs(stack: Stack) -> None:
    """A process that is there but does nothing is what a check of the process alone would miss."""

    def health() -> int:
        check = ["python", "/opt/service/healthcheck.py", "triggerer"]
        return compose_stack.compose("exec", "-T", "triggerer", *check).returncode

    def signal_all(number: int) -> None:
        compose_stack.compose("exec", "-T", "triggerer", "python", "-c", SIGNAL_ALL.format(signal=number))

    assert health() == 0
    signal_all(signal.SIGSTOP)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while health() == 0 and time.monotonic() < deadline:
            time.sleep(2)
        assert health() == 1
    finally:
        signal_all(signal.SIGCONT)
    while health() and time.monotonic() < deadline + PATIENCE_S:
        time.sleep(2)
    assert health() == 0
