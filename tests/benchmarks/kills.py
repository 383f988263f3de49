"""Kills of scheduler and triggerer at random moments: no work is done twice, none is lost, no container is left.

Each container of the stack of sleeping tasks leaves a file when it begins, so the files say how often a task's work was
begun. A container that finds it done only looks, as stages do. Runs of twelve tasks follow one another, two at a time,
until the last kill; then all must end well.
"""

import random
import time
from collections import Counter

from airflow_ml import stack
from airflow_ml.airflow_api import FINAL_STATES, Airflow
from airflow_ml.common import AirflowMlError
from figures import Row
from waiting import HEAD, containers, sleeping_stack, starts

from tests.harness import kill_processes

SERVICES = ("scheduler", "triggerer")
TASKS, RUNS_AT_ONCE = 12, 2
# A task's first seconds are with a worker, the rest with the triggerer: kills meet both. The seconds between two kills.
SHORTEST_S, STEP_S, EARLIEST_S, LATEST_S = 2, 2, 3, 25
PATIENCE_S = 400
# More tries than kills: a killed worker costs its task one. No task may fail.
DAG = f"""{HEAD}
tries = {{"retries": 200, "retry_delay": timedelta(seconds=1), "retry_exponential_backoff": 0}}
with DAG("struck", schedule=None, max_active_runs=100, max_active_tasks=100, **dag_defaults(**tries)):
    for number in range({TASKS}):
        seconds = str({SHORTEST_S} + {STEP_S} * number)
        StageOperator(task_id=f"sleep_{{number}}", stage="sleeper", command=[seconds])
"""


def kills(count: int) -> list[Row]:
    """What so many kills did."""
    draw = random.Random()
    struck: Counter[str] = Counter()
    runs: list[str] = []
    with sleeping_stack({"struck": DAG}, "tests/benchmarks/kills.compose.yml") as (airflow, _):
        started = time.monotonic()
        while sum(struck.values()) < count:
            end = time.monotonic() + draw.uniform(EARLIEST_S, LATEST_S)
            while time.monotonic() < end:
                if sum(state not in FINAL_STATES for state in _states(airflow, runs).values()) < RUNS_AT_ONCE:
                    runs.append(airflow.trigger("struck", {}))
                time.sleep(1)
            service = draw.choice(SERVICES)
            _await_process(service)
            kill_processes([stack.container_of(service)])
            struck[service] += 1
            print(f"{time.monotonic() - started:.0f} s: {service} killed", flush=True)
        states = _await_end(airflow, runs)
        seconds = time.monotonic() - started
        worked, looked = starts("worked"), starts("looked")
        left = _left()
    tasks = [(run, f"sleep_{number}") for run in runs for number in range(TASKS)]
    again = [task for task in tasks if worked[task] > 1]
    lost = sum(not worked[task] for task in tasks) + sum(state != "success" for state in states.values())
    samples = {"struck": dict(struck), "seconds": seconds, "states": states, "again": again}
    what = f"{count} kills ({', '.join(f'{n} of the {name}' for name, n in sorted(struck.items()))})"
    among = f"{len(tasks)} tasks of {len(runs)} runs, {seconds:.0f} s"
    return [
        Row(f"{what}: work done again", f"{len(again)} tasks", among, len(again), "{:.0f}", "<=", 0, samples),
        Row(f"{what}: done work looked at again", f"{looked.total()} times", among, looked.total(), "{:.0f}"),
        Row(f"{what}: work lost", f"{lost} tasks and runs", among, lost, "{:.0f}", "<=", 0),
        Row(f"{what}: orphans", f"{len(left)} containers", among, len(left), "{:.0f}", "<=", 0),
    ]


def _states(airflow: Airflow, runs: list[str]) -> dict[str, str]:
    return {run: airflow.run_state("struck", run) for run in runs}


def _await_process(service: str) -> None:
    """The engine starts a service again that was killed, later each time if it does not run for ten seconds."""
    while stack.compose("ps", "--status=running", "--quiet", service).stdout.strip() == "":
        time.sleep(0.2)


def _await_end(airflow: Airflow, runs: list[str]) -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE_S
    while not set((states := _states(airflow, runs)).values()) <= FINAL_STATES and time.monotonic() < deadline:
        time.sleep(1)
    for run in (run for run, state in states.items() if state != "success"):
        try:
            print(run, {task["task_id"]: task["state"] for task in airflow.tasks("struck", run)}, flush=True)
        except AirflowMlError as error:
            print(error, flush=True)
    return states


def _left() -> list[str]:
    """Containers whose tasks have ended; one that is being removed has a few seconds."""
    deadline = time.monotonic() + 10
    while (left := containers(running=False)) and time.monotonic() < deadline:
        time.sleep(1)
    return left
