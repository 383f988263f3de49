"""A day that is not scored in time is one alert; a day that nobody waits for is none."""

from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from airflow.models import DagRun
from airflow.models.deadline import Deadline
from airflow.sdk.execution_time.callback_supervisor import execute_callback
from airflow.utils.session import create_session
from sqlalchemy import select

from ml import sensor
from ml.alerts import deadline
from ml.settings import SettingError
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, day


def deadline_of(run: DagRun) -> Deadline:
    with create_session() as session:
        return session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).one()


def let_pass(run: DagRun) -> None:
    """What scheduler and executor do once the deadline of a run has passed."""
    with create_session() as session:
        found = session.merge(deadline_of(run))
        found.handle_miss(session)
        data = found.callback.data
    done = execute_callback(data["path"], data["kwargs"], DAGS, DAGS, structlog.get_logger())
    assert done == (True, None)


def test_missed_deadline_is_one_alert(failing: Airflow, kept: Path) -> None:
    run = failing.scheduled("failing", "2026-11-20", "2026-11-22")
    assert run.logical_date is not None
    assert deadline_of(run).deadline_time - run.logical_date == timedelta(hours=3)
    let_pass(run)
    let_pass(run)
    text = kept.read_text()
    assert text.count("[critical] failing: predictions of 2026-11-20 missed the deadline, 06:00 UTC") == 1
    assert "Expected: predictions/2026-11-20 complete by 06:00 UTC" in text
    assert text.splitlines()[-2].endswith(f"/dags/failing/runs/{run.run_id}")


def test_deadlines_of_a_backfill_and_of_a_run_by_hand_are_no_alerts(failing: Airflow, kept: Path) -> None:
    for run in [
        *failing.backfilled("failing", "2026-10-01", "2026-10-04"),
        failing.manual("failing", day("2026-11-21"), logical_date=day("2026-09-01")),
    ]:
        let_pass(run)
    assert not kept.exists()


def test_day_that_was_scored_by_another_run_is_not_late(
    failing: Airflow, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failing.scheduled("failing", "2026-11-23", "2026-11-25")
    mark = tmp_path / "predictions" / "2026-11-23" / sensor.MARK
    mark.parent.mkdir(parents=True)
    mark.touch()
    monkeypatch.setattr(deadline, "DATA_FOLDER", tmp_path)
    let_pass(run)
    assert not kept.exists()


@pytest.mark.parametrize(
    ("due", "cron", "hours"), [("06:00", "0 3 * * *", 3), ("05:30", "0 3 * * *", 2.5), ("02:00", "0 3 * * *", 23)]
)
def test_deadline_is_the_next_such_time_of_day(
    monkeypatch: pytest.MonkeyPatch, due: str, cron: str, hours: float
) -> None:
    monkeypatch.setenv("ML_DEADLINE", due)
    found = deadline.scored_by(cron)
    assert found is not None
    assert found.interval == timedelta(hours=hours)


def test_deadline_may_be_none_and_must_be_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DEADLINE", "none")
    assert deadline.scored_by("0 3 * * *") is None
    monkeypatch.setenv("ML_DEADLINE", "6 am")
    with pytest.raises(SettingError, match=r"ML_DEADLINE is '6 am', expected a time of day in UTC such as 06:00"):
        deadline.scored_by("0 3 * * *")


def test_deadline_that_is_not_set_is_an_error_and_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ML_DEADLINE")
    with pytest.raises(SettingError, match=r"ML_DEADLINE is unset or empty, expected a time of day"):
        deadline.scored_by("0 3 * * *")


def test_schedule_without_a_time_of_day_has_no_deadline() -> None:
    with pytest.raises(ValueError, match=r"the schedule is '\* \* \* \* \*', expected a minute and an hour"):
        deadline.scored_by("* * * * *")
