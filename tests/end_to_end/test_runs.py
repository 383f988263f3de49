"""Every way to start a run, and a stack that heals."""

import json
import signal
import subprocess
import time
from typing import Any

import pytest

from .conftest import RUN_TIMEOUT_S, Stack, compose_stack, data_files, run_python

DAY = "2026-06-07"
SMALL = {"rows": 3000}


def rows_of(path: str) -> int:
    return int(run_python("base", f"print(sum(1 for _ in open('/data/{path}')) - 1)"))


def test_run_with_a_logical_date_works_on_that_day(stack: Stack) -> None:
    stack.run("generate_data", SMALL, logical_date="2026-09-01T00:00:00Z")
    assert rows_of("raw/2026-09-01/data.csv") == SMALL["rows"]


def test_run_without_a_date_works_on_today(stack: Stack) -> None:
    run = stack.run("generate_data", SMALL)
    asked = stack.airflow.request("GET", f"/dags/generate_data/dagRuns/{run.replace('+', '%2B')}")["run_after"][:10]
    assert f"raw/{asked}/data.csv" in data_files()


def test_backfill_fills_in_each_day(stack: Stack) -> None:
    body = {
        "dag_id": "generate_data",
        "from_date": "2026-08-03T00:00:00Z",
        "to_date": "2026-08-05T23:59:59Z",
        "dag_run_conf": SMALL,
        "max_active_runs": 2,
        "reprocess_behavior": "none",
    }
    stack.airflow.request("POST", "/backfills", body)
    deadline = time.monotonic() + RUN_TIMEOUT_S
    runs: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        found = stack.airflow.request("GET", "/dags/generate_data/dagRuns?limit=100")["dag_runs"]
        runs = [run for run in found if run["run_type"] == "backfill"]
        if len(runs) == 3 and all(run["state"] in {"success", "failed"} for run in runs):
            break
        time.sleep(1)
    assert [run["state"] for run in runs] == ["success"] * 3
    assert {f"raw/2026-08-0{day}/data.csv" for day in (3, 4, 5)} <= set(data_files())


def test_parameters_of_the_form_reach_the_stage(stack: Stack) -> None:
    stack.run("generate_data", {"ds": DAY, **SMALL})
    stack.run("train_model", {"ds": DAY, "lightgbm": {"num_boost_round": 20}, "promote": "manual"})
    params = json.loads(run_python("base", f"print(open('/data/models/{DAY}/params.json').read())"))
    assert params["parameters"]["num_iterations"] == 20
    assert rows_of(f"raw/{DAY}/data.csv") == SMALL["rows"]


def test_bad_data_fails_at_once_and_says_why(stack: Stack) -> None:
    """Exit code 3 is not tried again: the same bytes are as bad a second time."""
    ds = "2026-07-01"
    run_python(
        "base", f"import os; os.makedirs('/data/raw/{ds}'); open('/data/raw/{ds}/_meta.json', 'w').write('torn')"
    )
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
        deadline = time.monotonic() + 120
        while health() == 0 and time.monotonic() < deadline:
            time.sleep(2)
        assert health() == 1
    finally:
        signal_all(signal.SIGCONT)
    while health() and time.monotonic() < deadline + 120:
        time.sleep(2)
    assert health() == 0


def test_stack_heals_after_its_database_restarts(stack: Stack) -> None:
    assert compose_stack.compose("restart", "postgres").returncode == 0
    subprocess.run(
        ["docker", "compose", "up", "--detach", "--wait"], cwd=compose_stack.ROOT, check=True, capture_output=True
    )
    stack.run("generate_data", {"ds": "2026-06-01", **SMALL})
    assert "raw/2026-06-01/data.csv" in data_files()
