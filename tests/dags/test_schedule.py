"""When the Dags run by themselves: on their next time, never on the past ones."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from airflow.timetables.base import DagRunInfo

from tests.dags.runs import Dags

NextRun = Callable[..., DagRunInfo]
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def next_run(dags: Dags, monkeypatch: pytest.MonkeyPatch) -> NextRun:
    """What the scheduler decides on the Dag as it is stored, at a time, after a last run or none."""
    from airflow.serialization.serialized_objects import DagSerialization

    def decide(dag_id: str, now: datetime, last: datetime | None = None) -> DagRunInfo:
        monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: now)
        dag = DagSerialization.from_dict(DagSerialization.to_dict(dags[dag_id]))
        last_run = DagRunInfo.interval(last, last) if last else None
        info = dag.next_dagrun_info(last_automated_run_info=last_run)
        assert info is not None
        return info

    return decide


@pytest.mark.parametrize(
    ("dag_id", "now", "expected"),
    [
        ("generate_data", NOON, "2026-11-19T01:00"),
        ("generate_data", at("2026-11-18T00:59:59"), "2026-11-18T01:00"),
        ("generate_data", at("2026-11-18T01:05"), "2026-11-19T01:00"),
        ("train_model", NOON, "2026-11-22T02:00"),
        ("train_model", at("2026-11-22T03:00"), "2026-11-29T02:00"),
        ("predict", NOON, "2026-11-19T03:00"),
    ],
)
def test_new_dag_waits_for_its_next_time(next_run: NextRun, dag_id: str, now: datetime, expected: str) -> None:
    info = next_run(dag_id, now)
    assert info.run_after == at(expected)
    assert info.run_after > now


def test_new_dag_read_just_after_its_time_does_not_miss_it(next_run: NextRun) -> None:
    """At each parse Airflow computes a new Dag's next time: without the minute of grace, it skipped a day."""
    assert next_run("generate_data", at("2026-11-18T01:00:20")).run_after == at("2026-11-18T01:00")


@pytest.mark.parametrize("dag_id", ["generate_data", "train_model", "predict"])
def test_time_after_a_run_is_the_next_one(next_run: NextRun, dag_id: str) -> None:
    first = next_run(dag_id, NOON).run_after
    second = next_run(dag_id, first + timedelta(seconds=5), last=first).run_after
    assert second - first == (timedelta(days=7) if dag_id == "train_model" else timedelta(days=1))


@pytest.mark.parametrize(("dag_id", "latest"), [("generate_data", "2026-11-18T01:00"), ("predict", "2026-11-18T03:00")])
def test_after_days_of_standstill_only_the_latest_time_runs(next_run: NextRun, dag_id: str, latest: str) -> None:
    info = next_run(dag_id, NOON, last=at(latest) - timedelta(days=30))
    assert info.run_after == at(latest)
    assert next_run(dag_id, NOON, last=info.run_after).run_after > NOON


@pytest.mark.parametrize("dag_id", ["generate_data", "train_model", "predict"])
def test_scheduled_run_is_named_after_the_day_on_which_it_starts(next_run: NextRun, dag_id: str) -> None:
    info = next_run(dag_id, NOON)
    assert info.logical_date == info.run_after
    assert info.data_interval.start == info.data_interval.end == info.run_after


def test_a_day_and_a_week_run_in_the_order_of_the_data(next_run: NextRun) -> None:
    saturday_night = at("2026-11-21T23:00")
    times = {
        dag_id: next_run(dag_id, saturday_night).run_after for dag_id in ("predict", "train_model", "generate_data")
    }
    assert sorted(times, key=times.__getitem__) == ["generate_data", "train_model", "predict"]
    assert {time.date() for time in times.values()} == {at("2026-11-22").date()}


def test_backfill_covers_the_days_asked_for(dags: Dags) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = DagSerialization.from_dict(DagSerialization.to_dict(dags["generate_data"]))
    infos = list(dag.iter_dagrun_infos_between(at("2026-11-02"), at("2026-11-05")))
    assert [f"{info.logical_date:%m-%d}" for info in infos] == ["11-02", "11-03", "11-04"]


def test_day_must_be_scored_within_three_hours_of_its_run(dags: Dags) -> None:
    """06:00 UTC is the setting of these tests; no other Dag has a deadline."""
    (deadline,) = dags["predict"].deadline
    assert deadline.interval == timedelta(hours=3)
    assert {dag_id for dag_id, dag in dags.items() if dag.deadline} == {"predict"}
