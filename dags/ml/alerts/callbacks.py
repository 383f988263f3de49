"""What a Dag calls if a task or a run failed, found a breach or asks a person. Each event becomes one alert.

Reads: the task's outcome, or its log where the outcome is lost. Writes what `delivery` writes.

A task that fails calls in its own process. If that process was killed, the scheduler notices it, and the Dag processor
calls instead; it calls for a run that failed as well. Whoever claims the failure first sends the alert.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from ml.alerts import sink
from ml.alerts.delivery import Key, deliver
from ml.alerts.message import Message, Severity
from ml.alerts.task_log import TaskLog
from ml.day import day_of_run
from ml.links import run_page
from ml.outcome import LINES_KEPT, WRONG_USAGE, Outcome

# A task is marked as failed a moment before it calls. It alone knows what its container printed, so it goes first.
GRACE_S = 5
# Errors of ours end with it; in an alert it is a fact of its own.
BY_HAND = " By hand: "
LOST = (
    "the task's own process ended without a message: killed, out of memory, marked as failed by a person, or its "
    "worker was lost"
)


def task_failed(context: Mapping[str, Any]) -> None:
    """A task failed for good: no retry follows."""
    deliver("task failure", _key(context["ti"]), lambda: _task_message(context))


def run_failed(context: Mapping[str, Any]) -> None:
    """A run failed: alerts unless the task whose failure ended the run has sent its alert."""
    ti = context.get("ti")
    if ti is not None and context.get("reason") == "task_failure":
        _wait_for_claim(_key(ti))
        task_failed(context)
        return
    start = str(getattr(context.get("dag_run"), "start_date", ""))
    key = (context["dag"].dag_id, context["run_id"], "run", start)
    deliver("run failure", key, lambda: _run_message(context))


def task_done(context: Mapping[str, Any]) -> None:
    """A task is done: alerts if its result lists breaches, such as drift beyond its limit.

    A task that only repeats how many there are, such as the report's page, names a number: that is no second alert.
    """
    ti = context["ti"]
    outcome: Outcome | None = getattr(ti.task, "outcome", None)
    breaches = outcome.result.get("breaches") if outcome else None
    if isinstance(breaches, list) and breaches:
        deliver("breach", (*_key(ti), "breach"), lambda: _breach_message(context, breaches))


def person_asked(context: Mapping[str, Any], question: str, reasons: Sequence[str], until: str, page: str) -> None:
    """A task waits for a person: sends the question, what is known, and the page with the buttons."""
    ti = context["ti"]
    found = {f"Reason {number}": reason for number, reason in enumerate(reasons, start=1)}
    facts = {**_run_facts(context), **found, "Answer by": until}
    title = f"{ti.dag_id}: {question}"
    deliver("question", (*_key(ti), "question"), lambda: Message(Severity.QUESTION, title, facts, page))


def _wait_for_claim(key: Key) -> None:
    for _ in range(GRACE_S * 2):
        if sink.is_claimed(*key):
            return
        time.sleep(0.5)


def _key(ti: Any) -> Key:
    """The try of a task: a cleared task that fails again is another failure."""
    return ti.dag_id, ti.run_id, ti.task_id, ti.map_index if ti.map_index is not None else -1, ti.try_number


def _task_message(context: Mapping[str, Any]) -> Message:
    ti, error = context["ti"], context.get("exception")
    outcome: Outcome = getattr(ti.task, "outcome", None) or Outcome("")
    log_file = TaskLog(Path(conf.get("logging", "base_log_folder")), ti)
    facts = {
        **_run_facts(context),
        "Try": _tries(ti, error),
        "Image": outcome.image,
        "Exit code": f"{outcome.exit_code}: {outcome.meaning}" if outcome.exit_code else "",
        "Error": outcome.complaint if outcome.exit_code else str(error or LOST).partition(BY_HAND)[0],
        "By hand": outcome.by_hand or log_file.after(BY_HAND.strip()),
    }
    lines = tuple(outcome.lines) or (() if error else log_file.last(LINES_KEPT))
    why = outcome.complaint or outcome.meaning or facts["Error"]
    title = f"{ti.dag_id}: {ti.task_id} failed for {day_of_run(context)}: {why}"
    return Message(_severity(context, outcome), title, facts, ti.log_url, lines)


def _run_message(context: Mapping[str, Any]) -> Message:
    dag_id, reason = context["dag"].dag_id, str(context.get("reason") or "unknown").replace("_", " ")
    facts = {**_run_facts(context), "Reason": reason}
    title = f"{dag_id}: the run failed for {day_of_run(context)}: {reason}"
    return Message(_severity(context, Outcome("")), title, facts, run_page(dag_id, context["run_id"]))


def _breach_message(context: Mapping[str, Any], breaches: list[Any]) -> Message:
    ti = context["ti"]
    texts = [str(breach.get("text", breach)) if isinstance(breach, Mapping) else str(breach) for breach in breaches]
    numbered = {f"Breach {number}": text for number, text in enumerate(texts, start=1)}
    facts = {**_run_facts(context), **numbered, "By hand": ti.task.outcome.by_hand}
    number = f"{len(texts)} breach{'es' if len(texts) > 1 else ''}"
    title = f"{ti.dag_id}: {ti.task_id} found {number} for {day_of_run(context)}: {texts[0]}"
    return Message(Severity.WARNING, title, facts, ti.log_url)


def _severity(context: Mapping[str, Any], outcome: Outcome) -> Severity:
    """A run that failed and that nobody waits for leaves a hole in the days; a run by hand has a person who waits."""
    task = getattr(context.get("ti"), "task", None)
    if getattr(task, "only_if", "") or getattr(task, "only_with", None):
        return Severity.WARNING  # a task that does not always run comes after the day's own work, which is published
    # A backfill, too, is what a person waits for.
    by_itself = ("scheduled", "asset_triggered", "operator_triggered")
    if getattr(context.get("dag_run"), "run_type", None) in by_itself:
        return Severity.CRITICAL
    return Severity.WARNING if outcome.exit_code == WRONG_USAGE else Severity.ERROR


def _run_facts(context: Mapping[str, Any]) -> dict[str, str]:
    ti = context.get("ti")
    mapped = f" (map index {ti.map_index})" if ti is not None and (ti.map_index or 0) > 0 else ""
    task = f"{ti.task_id}{mapped}" if ti is not None else ""
    return {"Dag": context["dag"].dag_id, "Task": task, "Day": day_of_run(context), "Run": context["run_id"]}


def _tries(ti: Any, error: Any) -> str:
    if isinstance(error, (AirflowFailException, AirflowSensorTimeout)):
        return f"{ti.try_number}; there is no retry, as it cannot help"
    most = (getattr(ti, "max_tries", None) or 0) + 1
    # Where the Dag processor calls for a run, it does not know how many tries there were to be.
    return f"{ti.try_number} of {most}" if most >= ti.try_number else str(ti.try_number)
