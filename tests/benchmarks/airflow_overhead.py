"""What Airflow adds to a task: a whole run of `predict` against the same containers started by hand; and a month.

Airflow's side counts from the moment the run was asked for to its end, so the scheduler's gaps between tasks count
too. By hand are the very commands that the tasks log, one after the other, on the same data while the same stack
idles. All work is done each time (`--force`), for what is there already would be no work. The month is filled in by
`airflow backfill create`, as a person would. The stack is a compose project of its own, beside any that runs.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from figures import Row
from lab import NAME, ROOT, alternate, free_port, remove_volume

sys.path.append(str(ROOT))
from airflow_ml import stack
from airflow_ml.airflow_api import Airflow
from airflow_ml.secret_files import remove_secrets

DATA = f"{NAME}-airflow"
ENVIRONMENT = {
    "COMPOSE_PROJECT_NAME": NAME,
    **{name: str(free_port()) for name in ("ML_AIRFLOW_PORT", "ML_MLFLOW_PORT", "ML_REPORTS_PORT")},
    "ML_DATA": DATA,
    "ML_UID": "10001",
    "ML_GID": "10001",
    "ML_STAGE_MEMORY": "4g",
}
DS, ROWS, TREES = "2026-11-20", 3000, 20
DAG = "predict"
TIMEOUT_S = 600
MONTH = ("2026-10-01", "2026-10-30")
AT_ONCE = 2


@contextmanager
def running_stack() -> Iterator[Airflow]:
    """Airflow, started for this measurement and removed after it."""
    os.environ |= ENVIRONMENT
    try:
        stack.start()
        yield Airflow(f"http://localhost:{ENVIRONMENT['ML_AIRFLOW_PORT']}", stack.settings()["ML_ADMIN_PASSWORD"])
    finally:
        _remove()


def _remove() -> None:
    stack.compose("down", "--volumes", "--remove-orphans")
    remove_secrets()
    remove_volume(DATA)


def run_in_airflow(airflow: Airflow, dag: str, conf: dict[str, object]) -> tuple[str, float]:
    """Run a Dag to its end; returns the run's id and the seconds from its queueing to its end, by Airflow's clock."""
    run = airflow.trigger(dag, {"ds": DS, **conf})
    if airflow.wait(dag, run, TIMEOUT_S) != "success":
        raise SystemExit(f"error: the run {run} of {dag} failed: {airflow.tasks(dag, run)}")
    return run, seconds_of(airflow, dag, run)


def seconds_of(airflow: Airflow, dag: str, run: str) -> float:
    """The seconds from a run's queueing to its end, by Airflow's clock."""
    found = airflow.request("GET", f"/dags/{dag}/dagRuns/{run.replace('+', '%2B')}")
    begin, end = (datetime.fromisoformat(found[name]) for name in ("queued_at", "end_date"))
    return (end - begin).total_seconds()


def commands_by_hand(airflow: Airflow, run: str) -> list[list[str]]:
    """The `docker run` of each stage of a run, in the order in which they ran, as the tasks logged it."""
    stages = [task for task in airflow.tasks(DAG, run) if task["task_id"] != "wait_for_raw"]  # has no container
    tasks = sorted(stages, key=lambda task: str(task["start_date"]))
    found = [re.search(r"By hand: (docker run .*)", airflow.log_of(DAG, run, task)) for task in tasks]
    if not all(found):
        raise SystemExit(f"error: a task of {run} does not log its command")
    return [shlex.split(match[1]) for match in found if match]


def seconds_by_hand(commands: list[list[str]]) -> float:
    """Run the commands one after the other."""
    started = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def put_a_model_into_production(airflow: Airflow) -> None:
    run_in_airflow(airflow, "generate_data", {"rows": ROWS})
    run_in_airflow(airflow, "train_model", {"lightgbm": {"num_iterations": TREES}})


def airflow_tasks(repeats: int) -> list[Row]:
    """Seconds that Airflow adds to a task; the best run of each side, shared among its tasks."""
    with running_stack() as airflow:
        put_a_model_into_production(airflow)
        conf: dict[str, object] = {"force": True}
        first, _ = run_in_airflow(airflow, DAG, conf)  # warms both sides
        commands = commands_by_hand(airflow, first)
        ours, theirs = alternate(
            lambda: run_in_airflow(airflow, DAG, conf)[1], lambda: seconds_by_hand(commands), repeats
        )
    tasks = len(commands)
    task, by_hand = min(ours) / tasks, min(theirs) / tasks
    return [
        Row(
            f"a task in Airflow, of {tasks} in a chain",
            f"{task:.2f} s",
            f"docker run by hand: {by_hand:.2f} s",
            task - by_hand,
            "{:+.2f} s",
            "<=",
            3,
            {"ours": ours, "theirs": theirs, "tasks": tasks},
        )
    ]


def backfill_month(_: int) -> list[Row]:
    """Thirty days of `generate_data`, then of `predict`: against as many daily runs, one after the other."""
    rows = []
    with running_stack() as airflow:
        put_a_model_into_production(airflow)
        for dag, conf in (("generate_data", {"rows": ROWS}), (DAG, {})):
            one = min(run_in_airflow(airflow, dag, {**conf, "force": True})[1] for _ in range(3))
            seconds, days = seconds_of_backfill(airflow, dag, conf)
            rows.append(
                Row(
                    f"backfill of {dag}, {days} days of {ROWS:,} rows, {AT_ONCE} at once",
                    f"{seconds:.0f} s",
                    f"{days} runs one by one: {days * one:.0f} s",
                    days * one / seconds,
                    samples={"seconds": seconds, "days": days, "one": one},
                )
            )
    return rows


def seconds_of_backfill(airflow: Airflow, dag: str, conf: dict[str, int]) -> tuple[float, int]:
    """Fill in the month from the command line; returns the seconds until its last run has ended, and its days."""
    earliest, latest = MONTH
    options = [f"--dag-id={dag}", f"--from-date={earliest}", f"--to-date={latest}T23:59:59"]
    more = [f"--max-active-runs={AT_ONCE}", f"--dag-run-conf={json.dumps(conf)}"]
    started = time.monotonic()
    done = stack.compose("exec", "-T", "scheduler", "airflow", "backfill", "create", *options, *more)
    if done.returncode:
        raise SystemExit(f"error: the backfill was not created: {done.stderr}")
    while True:
        found = airflow.request("GET", f"/dags/{dag}/dagRuns?limit=100&run_type=backfill")["dag_runs"]
        states = [run["state"] for run in found]
        if states and not {"queued", "running"} & set(states):
            break
        if time.monotonic() - started > TIMEOUT_S:
            raise SystemExit(f"error: the backfill of {dag} did not end: {states}")
        time.sleep(0.5)
    if set(states) != {"success"}:
        raise SystemExit(f"error: runs of the backfill of {dag} failed: {states}")
    return time.monotonic() - started, len(states)
