"""Alerts when a day is not scored in time.

Reads: ML_DEADLINE, a time of day in UTC such as 06:00, or `none`; and whether the day's mark is below /data.
Airflow's scheduler finds that a run's deadline has passed and has the executor call `missed`, which sees the Dags'
folder and the data as a task does.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from ml.alerts import callbacks
from ml.alerts.message import Message
from ml.sensor import DATA_FOLDER, MARK

VARIABLE, DEFAULT = "ML_DEADLINE", "06:00"
DAY = timedelta(days=1)


def scored_by(cron: str, folder: str = "predictions") -> DeadlineAlert | None:
    """The deadline of a Dag that runs daily: each scheduled run must have published its day by then.

    :param cron: when the Dag runs, as its schedule says: minute and hour are plain numbers
    :param folder: the folder of partitions below /data where the day must be complete

    None where ML_DEADLINE is `none`. Errors: ValueError for a time or a schedule that is none.
    """
    due = (os.environ.get(VARIABLE) or DEFAULT).strip()
    if due == "none":
        return None
    minute, hour, *_ = cron.split()
    starts = _time(f"{hour.zfill(2)}:{minute.zfill(2)}", "the schedule")
    # A deadline before the hour of the run is one of the next day.
    interval = (_time(due, VARIABLE) - starts) % DAY or DAY
    return DeadlineAlert(
        name=f"{folder} by {due} UTC",
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=interval,
        callback=SyncCallback(missed, kwargs={"folder": folder, "due": due}),
    )


def _time(text: str, what: str) -> timedelta:
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    if not found:
        raise ValueError(f"{what} is {text!r}, expected a time of day in UTC such as {DEFAULT}, or `none`")
    return timedelta(hours=int(found[1]), minutes=int(found[2]))


def missed(context: Mapping[str, Any], folder: str, due: str) -> None:
    """Tell that a scheduled run has not published its day in time.

    A backfill and a run by hand have deadlines too, mostly of days long past: nobody waits for these. And a day that
    was published by another run, or by hand, is not late.
    """
    run = context["dag_run"]
    day = str(run.get("partition_key") or run["logical_date"])[:10]
    if run["run_type"] != "scheduled" or (DATA_FOLDER / folder / day / MARK).is_file():
        return
    page = callbacks.run_page(run["dag_id"], run["dag_run_id"])
    facts = {
        "Dag": str(run["dag_id"]),
        "Day": day,
        "Run": f"{run['dag_run_id']}, {run['state']}",
        "Expected": f"{folder}/{day} complete by {due} UTC",
        "Found": f"no {DATA_FOLDER / folder / day / MARK}",
        "Do": "see on the page which task waits, fails or runs long",
        "Page": page,
    }
    callbacks.tell(
        lambda: Message(f"{run['dag_id']}: {folder} of {day} missed the deadline, {due} UTC", facts),
        *(str(run["dag_id"]), str(run["dag_run_id"]), "deadline"),
    )
