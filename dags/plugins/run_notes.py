"""A plugin of Airflow: the note of a run names its day, and links to what its tasks made.

The scheduler calls it when a run starts and ends. Reads the run and its tasks' links. Writes the run's note. A note
that a person wrote stays, below ours. If it fails, the scheduler logs that and goes on.
"""

import re
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.models.xcom import XComModel
from airflow.plugins_manager import AirflowPlugin
from sqlalchemy import select
from sqlalchemy.orm import object_session

# Without the package `ml`, which loads the operators: every process of Airflow loads this file.
DAY_OF_RUN = runpy.run_path(str(Path(__file__).parents[1] / "ml" / "day.py"))["day_of_run"]
LINK = "_link_"
# Airflow's own, by the name of its class; it is there although the task has started nothing.
NOT_OURS = "_link_TriggerDagRunLink"
# How our line begins, and all of it that is always there.
OURS = re.compile(r"Day \d{4}-\d{2}-\d{2}( · |$)")
# Only what Markdown shows as one link.
ADDRESS = re.compile(r"https?://[^\s()<>\[\]]+")
# What the note's column holds.
LONGEST = 1000


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """Note the day."""
    write_note(dag_run)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Note the day and the links."""
    write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Note the day and the links of the tasks that ended well."""
    write_note(dag_run)


def write_note(dag_run: Any) -> None:
    """Write the first line of the note of a run of ours; a run whose form has no day gets none."""
    if dag_run.dag is None or "ds" not in dag_run.dag.params:
        return
    events = {"": dag_run.consumed_asset_events}
    day = DAY_OF_RUN({"dag_run": dag_run, "triggering_asset_events": events})
    theirs = [text for text in (dag_run.note or "").splitlines() if not OURS.match(text)]
    line = f"Day {day}"
    # Links are on the tasks' pages too; what a person wrote is here alone.
    for link in _links(dag_run):
        if len("\n".join([f"{line} · {link}", *theirs])) <= LONGEST:
            line = f"{line} · {link}"
    if len(note := "\n".join([line, *theirs])) <= LONGEST:
        dag_run.note = note


def _links(dag_run: Any) -> list[str]:
    """The links of the run's tasks, as Markdown; a name that leads to several pages also names the task."""
    query = select(XComModel.task_id, XComModel.key, XComModel.value).where(
        XComModel.dag_id == dag_run.dag_id,
        XComModel.run_id == dag_run.run_id,
        XComModel.key.startswith(LINK),
        XComModel.key != NOT_OURS,
    )
    found: dict[str, dict[str, str]] = {}
    session = object_session(dag_run)
    for task, key, value in session.execute(query.order_by(XComModel.timestamp)) if session else ():
        address = str(value).strip('"')  # JSON, once or twice
        if ADDRESS.fullmatch(address):
            found.setdefault(key.removeprefix(LINK), {}).setdefault(address, task)
    return [text for name, pages in found.items() for text in _texts(name, pages)]


def _texts(name: str, pages: Mapping[str, str]) -> Iterator[str]:
    for address, task in pages.items():
        yield f"[{name if len(pages) == 1 else f'{name} of {task}'}]({address})"


class RunNotes(AirflowPlugin):
    """Registers the functions above."""

    name = "airflow-ml run notes"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - Airflow's name
