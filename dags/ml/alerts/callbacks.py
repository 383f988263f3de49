"""Tells somebody of each failure, once: what every Dag calls when a task or a run failed, or a task found a breach.

Reads: the task's outcome or its log; the alert URLs (channels.py). Writes: the sink (sink.py). Raises nothing:
an alert that cannot be sent must not change the failure that it tells of; that it was not sent is logged and kept.

A task that fails calls in its own process. One whose process was killed is found by the scheduler, and the Dag
processor calls in its place; for a run that failed it calls as well. Who claims the failure first tells of it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.sdk.configuration import conf

from ml.alerts import channels, sink
from ml.alerts.message import Message
from ml.alerts.task_log import TaskLog
from ml.outcome import LINES_KEPT, Outcome

log = logging.getLogger(__name__)

# A task is marked as failed a moment before it calls: what is known to it is known nowhere else, so it goes first.
GRACE_S = 5
# Errors of ours end with it; in an alert it is a fact of its own.
BY_HAND = " By hand: "
LOST = (
    "the task's own process ended without a word: killed, out of memory, marked as failed by a person, or its worker "
    "was lost"
)


def task_failed(context: Mapping[str, Any]) -> None:
    """A task failed for good: once it is not tried again."""
    _tell_of_task(context)


def run_failed(context: Mapping[str, Any]) -> None:
    """A run failed: tells of it unless the task whose failure ended it has told."""
    ti = context.get("ti")
    if ti is not None and context.get("reason") == "task_failure":
        for _ in range(GRACE_S * 2):
            if sink.is_claimed(*_key(ti)):
                break
            time.sleep(0.5)
        _tell_of_task(context)
        return
    dag_run = context.get("dag_run")
    key = (context["dag"].dag_id, context["run_id"], "run", str(getattr(dag_run, "start_date", "")))
    tell(lambda: _run_message(context), *key)


def task_done(context: Mapping[str, Any]) -> None:
    """A task is done: tells of it if its result names breaches, such as drift beyond its limit."""
    ti = context["ti"]
    outcome: Outcome | None = getattr(ti.task, "outcome", None)
    if outcome is not None and (breaches := outcome.result.get("breaches")):
        tell(lambda: _breach_message(context, list(breaches)), *_key(ti), "breach")


def tell(compose: Callable[[], Message], *key: str | int) -> None:
    """Send an alert to all services and keep it in the sink, unless this was done for the key before."""
    try:
        if not sink.claim(*key):
            log.info("An alert of %s was sent before", key)
            return
    except OSError as error:
        log.error("The sink %s cannot be written (%s): this alert may be sent twice", sink.folder(), error)
    message = _composed(compose, key)
    problems = channels.send(message)
    for problem in problems:
        log.error("Alert not sent: %s", problem)
    try:
        sink.keep(message, problems)
        log.info("Alert %r: kept in %s", message.subject, sink.folder() / "alerts.log")
    except OSError as error:
        log.error("Alert %r could not be kept in %s: %s", message.subject, sink.folder(), error)


def _composed(compose: Callable[[], Message], key: tuple[str | int, ...]) -> Message:
    try:
        return compose()
    except Exception as error:
        log.exception("The alert of %s could not be composed", key)
        return Message(f"Failed: {' '.join(map(str, key))}", {"Alert": f"could not be composed: {error!r}"})


def _tell_of_task(context: Mapping[str, Any]) -> None:
    ti = context["ti"]
    tell(lambda: _task_message(context), *_key(ti))


def _key(ti: Any) -> tuple[str | int, ...]:
    """The try of a task: a cleared task that fails again is another failure."""
    return ti.dag_id, ti.run_id, ti.task_id, ti.map_index if ti.map_index is not None else -1, ti.try_number


def _task_message(context: Mapping[str, Any]) -> Message:
    ti = context["ti"]
    outcome: Outcome = getattr(ti.task, "outcome", None) or Outcome("")
    log_file = TaskLog(Path(conf.get("logging", "base_log_folder")), ti)
    error = str(context.get("exception") or "") or LOST
    killed = not context.get("exception")
    facts = {
        **_run_facts(context),
        "Try": _tries(ti),
        "Image": outcome.image,
        "Exit code": f"{outcome.exit_code}: {outcome.meaning}" if outcome.exit_code else "",
        "Error": "" if outcome.exit_code else error.partition(BY_HAND)[0],
        "Log": ti.log_url,
        "By hand": outcome.by_hand or log_file.after(BY_HAND.strip()),
    }
    lines = tuple(outcome.lines) or (log_file.last(LINES_KEPT) if killed else ())
    why = f" ({outcome.meaning})" if outcome.exit_code else ""
    return Message(f"{ti.dag_id}: {ti.task_id} failed for {day_of(context)}{why}", facts, lines)


def _run_message(context: Mapping[str, Any]) -> Message:
    dag_id, reason = context["dag"].dag_id, str(context.get("reason") or "unknown")
    facts = {**_run_facts(context), "Reason": reason.replace("_", " "), "Page": run_page(dag_id, context["run_id"])}
    return Message(f"{dag_id}: the run failed for {day_of(context)}", facts)


def _breach_message(context: Mapping[str, Any], breaches: list[Any]) -> Message:
    ti = context["ti"]
    texts = [str(breach.get("text", breach)) if isinstance(breach, Mapping) else str(breach) for breach in breaches]
    numbered = {f"Breach {number}": text for number, text in enumerate(texts, start=1)}
    number = f"{len(texts)} breach{'es' if len(texts) > 1 else ''}"
    facts = {**_run_facts(context), **numbered, "Log": ti.log_url, "By hand": ti.task.outcome.by_hand}
    return Message(f"{ti.dag_id}: {ti.task_id} found {number} for {day_of(context)}", facts)


def _run_facts(context: Mapping[str, Any]) -> dict[str, str]:
    ti = context.get("ti")
    mapped = f" (map index {ti.map_index})" if ti is not None and (ti.map_index or 0) > 0 else ""
    task = f"{ti.task_id}{mapped}" if ti is not None else ""
    return {"Dag": context["dag"].dag_id, "Task": task, "Day": day_of(context), "Run": context["run_id"]}


def _tries(ti: Any) -> str:
    most = (getattr(ti, "max_tries", None) or 0) + 1
    # Where the Dag processor tells of a run, it does not know how many tries there were to be.
    return f"{ti.try_number} of {most}" if most >= ti.try_number else str(ti.try_number)


def day_of(context: Mapping[str, Any]) -> str:
    """The day whose data the run works on: what the task was told, else the run's own date."""
    task, dag_run = context.get("task"), context.get("dag_run")
    told = [word.partition("=")[2] for word in getattr(task, "command", None) or () if word.startswith("--ds=")]
    told.append(str(getattr(task, "day", "")))
    rendered = [text for text in told if text and "{" not in text]
    conf_ds = (getattr(dag_run, "conf", None) or {}).get("ds")
    date = getattr(dag_run, "logical_date", None) or getattr(dag_run, "run_after", None)
    found = [*rendered, conf_ds, getattr(dag_run, "partition_key", None), date.date().isoformat() if date else None]
    return str(next((text for text in found if text), "an unknown day"))


def run_page(dag_id: str, run_id: str) -> str:
    """The run's page in Airflow."""
    return f"{conf.get('api', 'base_url', fallback='http://localhost:8080').rstrip('/')}/dags/{dag_id}/runs/{quote(run_id)}"
