"""Shows the log of a service, or of the tasks of the last run of a Dag.

Exit codes: 0 shown; 1 it cannot be read, the message says why; 2 wrong usage.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from airflow_ml import stack
from airflow_ml.airflow_api import Airflow
from airflow_ml.builder import become
from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError, nearest, number_from_1
from airflow_ml.run_day import connect


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", metavar="SERVICE|DAG", help="a service, such as scheduler, or a Dag, such as predict")
    parser.add_argument("--task", metavar="TASK", help="of a Dag: only this task")
    parser.add_argument(
        "--tail", type=number_from_1, default=100, metavar="N", help="the last N lines (default: %(default)s)"
    )
    parser.add_argument("--follow", action="store_true", help="of a service: also show new lines, until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Print the log."""
    known = [service.name for service in stack.services()]
    if arguments.what not in known:
        if arguments.follow and not known:
            raise AirflowMlError("nothing was started from this folder", do="make up")
        if arguments.follow:
            raise AirflowMlError(
                f"--follow shows new lines of a service, and {arguments.what!r} is none that was started",
                expected=f"one of {', '.join(known)}",
                do=f"./airflow-ml logs {arguments.what} shows the log of a Dag so far; Airflow's page shows new lines",
                exit_code=WRONG_USAGE,
            )
        return show_dag(connect(), arguments)
    if arguments.task:
        found = f"{arguments.what} is a service, which has no tasks"
        raise AirflowMlError(found, do="leave out --task", exit_code=WRONG_USAGE)
    options = [f"--tail={arguments.tail}", *(["--follow"] if arguments.follow else [])]
    return become(
        "docker",
        "compose",
        f"--file={ROOT / 'docker-compose.yml'}",
        "logs",
        "--no-log-prefix",
        *options,
        arguments.what,
    )


def show_dag(airflow: Airflow, arguments: argparse.Namespace) -> int:
    """Print the end of the log of each task of the last run of a Dag, in the order in which they began."""
    dag = arguments.what
    dags = [found["dag_id"] for found in airflow.request("GET", "/dags?limit=100")["dags"]]
    if dag not in dags:
        known = [*(service.name for service in stack.services()), *dags]
        raise AirflowMlError(
            f"there is no service and no Dag {dag!r}{nearest(dag, known)}",
            expected=f"one of {', '.join(known)}",
            exit_code=WRONG_USAGE,
        )
    runs = airflow.request("GET", f"/dags/{dag}/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
    if not runs:
        raise AirflowMlError(f"{dag} has not run yet")
    run_id = str(runs[0]["dag_run_id"])
    print(f"==> {dag}, {run_id}: {runs[0]['state']}; {airflow.page_of(dag, run_id)}")
    for task in begun(airflow.tasks(dag, run_id), arguments.task, dag):
        shard = f" [{task['map_index']}]" if task.get("map_index", -1) >= 0 else ""
        print(f"\n==> {task['task_id']}{shard}: {task['state']}")
        print("\n".join(airflow.log_of(dag, run_id, task).splitlines()[-arguments.tail :]))
    return 0


def begun(tasks: list[dict[str, Any]], wanted: str | None, dag: str) -> list[Mapping[str, Any]]:
    """The tasks that have a log, in the order in which they began. Errors: AirflowMlError for an unknown task.

    The scheduler skips a task without a try, which has no log.
    """
    names = [task["task_id"] for task in tasks]
    if wanted and wanted not in names:
        raise AirflowMlError(
            f"{dag} has no task {wanted!r}{nearest(wanted, names)}",
            expected=f"one of {', '.join(names)}",
            exit_code=WRONG_USAGE,
        )
    shown = [
        task
        for task in tasks
        if task.get("start_date") and task.get("try_number") != 0 and wanted in (None, task["task_id"])
    ]
    return sorted(shown, key=lambda task: str(task["start_date"]))
