"""The day of a run, from each kind of context that Airflow gives. test_rendering.py has the templates."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ml.day import day_of_run, time_of_run

NIGHT = datetime(2026, 11, 16, 23, tzinfo=UTC)
FIELDS: dict[str, Any] = {"conf": None, "partition_key": None, "logical_date": None, "run_after": NIGHT}


def context(of_events: list[Any] | None = None, params: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    events = {"raw": [SimpleNamespace(extra=extra) for extra in of_events or []]}
    return {"dag_run": SimpleNamespace(**FIELDS | fields), "params": params, "triggering_asset_events": events}


@pytest.mark.parametrize(
    ("found", "day", "time"),
    [
        (context(), "2026-11-16", "2026-11-16T23:00:00+00:00"),
        (context(logical_date=datetime(2026, 11, 3, 3, tzinfo=UTC)), "2026-11-03", "2026-11-03T03:00:00+00:00"),
        (context([{"ds": "2026-11-11"}, {}, None, {"ds": "2026-11-10"}]), "2026-11-11", "2026-11-11"),
        (context([{"ds": "2026-11-11"}], partition_key="2026-11-12"), "2026-11-12", "2026-11-12"),
        (context(params={"ds": "2026-10-30"}, partition_key="2026-11-12"), "2026-10-30", "2026-10-30"),
        (context(params={"ds": None}, conf={"rows": 3}), "2026-11-16", "2026-11-16T23:00:00+00:00"),
        (context(conf={"ds": "2026-10-30"}), "2026-10-30", "2026-10-30"),
        ({"dag_run": {"logical_date": "2026-11-03T03:00:00Z", "conf": {}}}, "2026-11-03", "2026-11-03T03:00:00Z"),
    ],
)
def test_day_is_found_in_this_order(found: dict[str, Any], day: str, time: str) -> None:
    """Picked, partition, events, logical date, time of the request; the last context is a deadline's."""
    assert (day_of_run(found), time_of_run(found)) == (day, time)
