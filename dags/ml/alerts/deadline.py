"""Alerts when a day is not scored in time.

Reads: ML_DEADLINE, a time of day in UTC such as 06:00, or `none`; and whether the day's mark is below /data.
Airflow's scheduler finds that a run's deadline has passed and has the executor call `missed`, which sees the Dags'
folder and the data as a task does.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from ml.alerts.delivery import deliver
from ml.alerts.message import Message, Severity
from ml.day import day_of_run
from ml.links import run_page
from ml.sensor import DATA_FOLDER, MARK
from ml.settings import SettingError, setting

A_DAY = timedelta(days=1)


def scored_by(cron: str, folder: str = "predictions") -> DeadlineAlert | None:
    """The deadline of a Dag that runs daily: each scheduled run must have published its day by then.

    :param cron: when the Dag runs, as its schedule says: minute and hour are plain numbers
    :param folder: the folder of partitions below /data where the day must be complete

    None if ML_DEADLINE is `none`. Errors: SettingError if ML_DEADLINE is no time of day, ValueError if the schedule
    has none.
    """
    due = setting("ML_DEADLINE")
    if due == "none":
        return None
    minute, hour, *_ = cron.split()
    starts, ends = _time(f"{hour.zfill(2)}:{minute.zfill(2)}"), _time(due)
    if starts is None:
        raise ValueError(f"the schedule is {cron!r}, expected a minute and an hour as plain numbers, such as 0 3 * * *")
    if ends is None:
        raise SettingError("ML_DEADLINE", f"is {due!r}")
    return DeadlineAlert(
        name=f"{folder} by {due} UTC",
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        # A deadline before the hour of the run is one of the next day.
        interval=(ends - starts) % A_DAY or A_DAY,
        callback=SyncCallback(missed, kwargs={"folder": folder, "due": due}),
    )


def _time(text: str) -> timedelta | None:
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    return timedelta(hours=int(found[1]), minutes=int(found[2])) if found else None


def missed(context: Mapping[str, Any], folder: str, due: str) -> None:
    """Send an alert if a scheduled run has not published its day in time.

    A backfill and a run by hand have deadlines too, mostly of days long past: nobody waits for these. And a day that
    was published by another run, or by hand, is not late.
    """
    run, day = context["dag_run"], day_of_run(context)
    if run["run_type"] != "scheduled" or (DATA_FOLDER / folder / day / MARK).is_file():
        return
    dag_id, run_id = str(run["dag_id"]), str(run["dag_run_id"])
    facts = {
        "Dag": dag_id,
        "Day": day,
        "Run": f"{run_id}, {run['state']}",
        "Expected": f"{folder}/{day} complete by {due} UTC",
        "Found": f"no {DATA_FOLDER / folder / day / MARK}",
        "Do": "look on the page which task waits, fails or runs long",
    }
    title = f"{dag_id}: {folder} of {day} missed the deadline, {due} UTC"
    page = run_page(dag_id, run_id)
    deliver("deadline", (dag_id, run_id, "deadline"), lambda: Message(Severity.CRITICAL, title, facts, page))
