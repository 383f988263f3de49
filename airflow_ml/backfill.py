"""Fills in past days: runs Dags for each day from one to another, one Dag after the other, and waits.

You can fill in days in any order, and more than once: what is published already is checked, not made again. No run
waits until a day is published: one whose data is not there, or without predictions for `monitor`, fails immediately.
Exit codes: 0 every run ended well; 1 a run failed, or Airflow refused; 2 wrong usage.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from airflow_ml.airflow_api import FINAL_STATES, PAGE, Airflow
from airflow_ml.common import WRONG_USAGE, AirflowMlError, day, number_from_1
from airflow_ml.run_day import connect, require_switched_on

# The Dags that have a day to work on, in the order of a day.
DAILY = ("generate_data", "train_model", "predict", "monitor")
DEFAULT = ("predict", "monitor")
# Those whose form has `wait_hours` (a test compares): nothing more comes for a past day.
WAITING = ("train_model", "predict", "monitor")
# A Dag has one backfill at a time, and the scheduler looks every half minute whether the last one is complete.
PATIENCE_S = 90
LOOK_S, REPORT_S = 2, 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("first", type=day, metavar="FROM", help="the first day, YYYY-MM-DD")
    parser.add_argument("last", type=day, metavar="TO", help="the last day, YYYY-MM-DD")
    parser.add_argument(
        "--dag", action="append", choices=DAILY, metavar="DAG",
        help=f"a Dag to run: {', '.join(DAILY)}; can be repeated (default: {' and '.join(DEFAULT)})",
    )  # fmt: skip
    parser.add_argument("--as-of", action="store_true", help="score each day with the model of that day")
    parser.add_argument("--again", action="store_true", help="run days again that have a run already")
    parser.add_argument(
        "--at-once",
        type=number_from_1,
        default=2,
        metavar="N",
        help="how many days run together (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Fill in the days."""
    first, last = date.fromisoformat(arguments.first), date.fromisoformat(arguments.last)
    if last < first:
        raise AirflowMlError(f"{last} is before {first}", expected="FROM and then TO", exit_code=WRONG_USAGE)
    airflow = connect()
    dags = [dag for dag in DAILY if dag in (arguments.dag or DEFAULT)]
    failed = [fill_in(airflow, dag, first, last, arguments) for dag in dags]
    return 1 if any(failed) else 0


def fill_in(airflow: Airflow, dag: str, first: date, last: date, arguments: argparse.Namespace) -> list[str]:
    """Run a Dag for each day and wait; prints the outcome and returns the days that failed."""
    require_switched_on(airflow, dag)
    conf: dict[str, Any] = {"wait_hours": 0} if dag in WAITING else {}
    if arguments.as_of and dag == "predict":
        conf["as_of"] = True
    again = "completed" if arguments.again else "failed"
    begin(airflow, {**body_of(dag, first, last, arguments.at_once), "reprocess_behavior": again, "dag_run_conf": conf})
    runs = wait(airflow, dag, first, last)
    failed = sorted(str(run["logical_date"])[:10] for run in runs if run["state"] == "failed")
    print(f"{dag}: {len(runs) - len(failed)} of {len(runs)} runs ended well")
    if failed:
        print(f"{dag} failed for {', '.join(failed)}; see {airflow.url}/dags/{dag}")
    return failed


def body_of(dag: str, first: date, last: date, at_once: int) -> dict[str, Any]:
    """What Airflow's API takes for a backfill."""
    return {
        "dag_id": dag,
        "from_date": f"{first}T00:00:00Z",
        "to_date": f"{last}T23:59:59Z",
        "max_active_runs": at_once,
    }


def begin(airflow: Airflow, body: Mapping[str, Any]) -> None:
    """Create the backfill, as soon as the one before it is complete."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            airflow.request("POST", "/backfills", body)
            return
        except AirflowMlError as error:
            if "answered 409" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(LOOK_S)


def runs_of(airflow: Airflow, dag: str, first: date, last: date) -> list[dict[str, Any]]:
    """The runs of a Dag for these days, those from before too."""
    between = f"logical_date_gte={first}T00:00:00Z&logical_date_lt={last + timedelta(days=1)}T00:00:00Z"
    runs: list[dict[str, Any]] = []
    while True:
        path = f"/dags/{dag}/dagRuns?{between}&limit={PAGE}&offset={len(runs)}&order_by=logical_date"
        found = airflow.request("GET", path)
        runs += found["dag_runs"]
        if not found["dag_runs"] or len(runs) >= found["total_entries"]:
            return runs


def wait(airflow: Airflow, dag: str, first: date, last: date) -> list[dict[str, Any]]:
    """Wait until every run has ended, and show how many have; returns the runs."""
    said, shown_at = "", 0.0
    while True:
        runs = runs_of(airflow, dag, first, last)
        text = progress(dag, runs)
        # A line a minute in a log, each change on a terminal.
        if text != said and (sys.stderr.isatty() or time.monotonic() - shown_at >= REPORT_S or not pending(runs)):
            print(text, file=sys.stderr, flush=True)
            said, shown_at = text, time.monotonic()
        if not pending(runs):
            return runs
        time.sleep(LOOK_S)


def pending(runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run has not ended."""
    return any(run["state"] not in FINAL_STATES for run in runs)


def progress(dag: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """How many runs have ended, and how."""
    states = Counter(str(run["state"]) for run in runs)
    done = sum(states[state] for state in FINAL_STATES)
    others = ", ".join(f"{states[state]} {state}" for state in ("running", "queued", "failed") if states[state])
    return f"==> {dag}: {done} of {len(runs)} days done{f', {others}' if others else ''}"
