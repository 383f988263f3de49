"""PartitionSensor: waits for a day of data to be complete. It reads names below /data and does no work on them."""

import os
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NoReturn

from airflow.providers.standard.triggers.file import FileTrigger
from airflow.sdk import BaseSensorOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

DATA_FOLDER = Path("/data")
MARK = "_meta.json"
LOOK_EVERY = timedelta(seconds=15)
NAMES_SHOWN = 5
# How a day comes into a folder. For other folders the advice names only the day.
BROUGHT_BY = {
    "raw": "publish {day} (`generate_data`, or `preprocessing import` for data of your own)",
    "predictions": "run the Dag `predict` for {day}",
}


class PartitionSensor(BaseSensorOperator):
    """Waits for the commit mark of a day's partition: immediately if it is there, else deferred to the triggerer.

    A deferred task holds no worker slot, however long it waits. The mark shows that the day was published; the
    stage that reads the files checks whether they are still those of the mark.

    :param name: the folder of partitions below /data, such as `raw`
    :param day: the day (templated)
    :param hours: how long to wait for it (templated); 0 fails immediately if the day is not there
    :param shards: in how many shards the day is worked on (templated). The result lists their numbers, none for one
    """

    template_fields: Sequence[str] = ("day", "hours", "shards")
    ui_color = "#f3ecd8"

    def __init__(self, *, name: str, day: str, hours: str, shards: str = "1", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partitions = name
        self.day = day
        self.hours = hours
        self.shards = shards

    @property
    def mark(self) -> Path:
        return DATA_FOLDER / self.partitions / self.day / MARK

    def poke(self, context: Context) -> bool:  # noqa: ARG002 - the parent's
        """Whether the mark is there."""
        # os.path, as Path.is_file raises where a folder on the way may not be entered.
        return os.path.isfile(self.mark)  # noqa: PTH113

    def execute(self, context: Context) -> list[int]:
        """Wait, and return the shards.

        Errors: AirflowFailException if the day is not a day; AirflowSensorTimeout if there is no time to wait.
        """
        self._require_day()
        if not self.poke(context):
            self._wait()
        return self._succeed()

    def _wait(self) -> NoReturn:
        wait = timedelta(hours=float(self.hours))
        if not wait:
            self._fail()
        self.log.info("Waiting for %s, %s hours at most; now %s", self.mark, self.hours, self.found_instead()[0])
        trigger = FileTrigger(str(self.mark), poke_interval=LOOK_EVERY.total_seconds())
        self.defer(trigger=trigger, method_name="execute_complete", timeout=wait)

    def execute_complete(self, context: Context, event: bool) -> list[int]:  # noqa: ARG002 - what Airflow calls it with
        """The triggerer has found the mark; returns the shards."""
        return self._succeed()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the wait. At its end, look once more: the triggerer may have been down."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout:
            if not self.poke(context):
                self._fail()
            return self._succeed()

    def found_instead(self) -> tuple[str, str]:
        """What was found instead of the mark, and what to do about it."""
        folder = self.mark.parent
        publish = BROUGHT_BY.get(self.partitions, "run what publishes `{name}` for {day}").format(
            name=self.partitions, day=self.day
        )
        try:
            DATA_FOLDER.stat()
            names = sorted(path.name for path in folder.iterdir())
        except FileNotFoundError as error:
            if Path(error.filename) == DATA_FOLDER:
                return f"there is no {DATA_FOLDER}", "mount the data there, read-only, in scheduler and triggerer"
            return f"there is no {folder}{self._newest()}", publish
        except OSError as error:
            return f"{error.filename} cannot be read ({error.strerror})", f"let user {os.getuid()} enter and list it"
        if not names:
            return f"{folder} is empty", publish
        more = [f"{len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
        shown = ", ".join([*names[:NAMES_SHOWN], *more])
        return f"{folder} holds {shown}, without a mark: copied by hand, or not published to the end", publish

    def _newest(self) -> str:
        """The latest complete day: it shows whether the feed is late or the day is a wrong one."""
        days = sorted(path.parent.name for path in (DATA_FOLDER / self.partitions).glob(f"*/{MARK}"))
        return f"; the latest complete day is {days[-1]}" if days else "; no day is complete"

    def _require_day(self) -> None:
        """Only a day may become a path."""
        try:
            valid = date.fromisoformat(self.day).isoformat() == self.day
        except ValueError:
            valid = False
        if not valid:
            raise AirflowFailException(
                f"the run is about {self.day!r}, expected a day, YYYY-MM-DD; do: pick one, or use such partition keys"
            )

    def _succeed(self) -> list[int]:
        self.log.info("Found %s", self.mark)
        shards = int(self.shards)
        return list(range(1, shards + 1)) if shards > 1 else []

    def _fail(self) -> NoReturn:
        found, advice = self.found_instead()
        message = (
            f"waited {self.hours} hours for {self.partitions}/{self.day}: {found}; expected {self.mark}, the mark of a "
            f"published day; do: {advice}, then clear this task; or give the run more time in `wait_hours`"
        )
        self.log.error("%s", message)  # a page that shows only the log's lines leaves out the text of an exception
        raise AirflowSensorTimeout(message)
