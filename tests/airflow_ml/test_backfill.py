"""Filling in past days: one backfill of a Dag at a time, waited for, with what failed at the end."""

import argparse
from collections.abc import Callable
from typing import Any

import pytest
from airflow_ml import backfill
from airflow_ml.common import AirflowMlError

from .conftest import Script, Server

FIRST, LAST = "2026-10-01", "2026-10-03"
NOW = {"wait_hours": 0}


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    backfill.configure(parser)
    return parser.parse_args(arguments)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "LOOK_S", 0)


def airflow_with(states: list[list[str]], busy: int = 0) -> Script:
    """Airflow whose runs have these states, one list for each look; it refuses `busy` times before."""

    def script(method: str, path: str, number: int) -> tuple[int, Any]:
        if path == "/api/v2/backfills":
            return (409, {"detail": "already running"}) if number < busy else (200, {"id": 1})
        if path.endswith(backfill.DAILY):
            return 200, {"is_paused": False}
        found = states[min(number, len(states) - 1)]
        runs = [{"logical_date": f"2026-10-0{day}T03:00:00Z", "state": state} for day, state in enumerate(found, 1)]
        return 200, {"dag_runs": runs, "total_entries": len(runs)}

    return script


def test_days_are_waited_for_and_counted(
    serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(airflow_with([["running", "queued", "queued"], ["success"] * 3]))
    monkeypatch.setattr(backfill, "connect", lambda: server.airflow)
    assert backfill.run(parse(FIRST, LAST, "--dag=predict", "--as-of")) == 0
    printed = capsys.readouterr()
    assert printed.out == "predict: 3 of 3 runs ended well\n"
    assert "==> predict: 3 of 3 days done" in printed.err
    (asked,) = [body for method, _, body in server.seen if method == "POST"]
    assert asked == {
        "dag_id": "predict", "from_date": f"{FIRST}T00:00:00Z", "to_date": f"{LAST}T23:59:59Z", "max_active_runs": 2,
        "reprocess_behavior": "failed", "dag_run_conf": {"as_of": True, "wait_hours": 0},
    }  # fmt: skip


@pytest.mark.parametrize(("dag", "conf"), [("generate_data", {}), ("train_model", NOW), ("monitor", NOW)])
def test_past_day_is_not_waited_for(
    serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch, dag: str, conf: dict[str, int]
) -> None:
    """`monitor` waited 12 hours for each day that `predict` could not score."""
    server = serve(airflow_with([["success"] * 3]))
    monkeypatch.setattr(backfill, "connect", lambda: server.airflow)
    assert backfill.run(parse(FIRST, LAST, f"--dag={dag}", "--as-of")) == 0
    assert [body["dag_run_conf"] for method, _, body in server.seen if method == "POST"] == [conf]


def test_day_that_failed_is_named(
    serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(airflow_with([["success", "failed", "success"]]))
    monkeypatch.setattr(backfill, "connect", lambda: server.airflow)
    assert backfill.run(parse(FIRST, LAST, "--dag=monitor", "--again")) == 1
    assert "monitor failed for 2026-10-02; see http" in capsys.readouterr().out


def test_backfill_begins_when_the_one_before_is_complete(serve: Callable[[Script], Server]) -> None:
    server = serve(airflow_with([], busy=3))
    backfill.begin(server.airflow, {"dag_id": "predict"})
    assert len(server.seen) == 4


def test_backfill_that_airflow_refuses_is_one_sentence(
    serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda *_: (422, {"detail": "Backfill cannot be executed for future dates."}))
    with pytest.raises(AirflowMlError, match="future dates"):
        backfill.begin(server.airflow, {"dag_id": "predict"})
    busy = serve(lambda *_: (409, {"detail": "already running"}))
    monkeypatch.setattr(backfill, "PATIENCE_S", 0)
    with pytest.raises(AirflowMlError, match="already running"):
        backfill.begin(busy.airflow, {"dag_id": "predict"})


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(AirflowMlError, match="2026-10-01 is before 2026-10-03") as error:
        backfill.run(parse(LAST, FIRST))
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([], "==> predict: 0 of 0 days done"),
        (["success", "running", "queued", "queued"], "==> predict: 1 of 4 days done, 1 running, 2 queued"),
        (["failed", "success"], "==> predict: 2 of 2 days done, 1 failed"),
    ],
)
def test_progress_counts_the_days(states: list[str], text: str) -> None:
    assert backfill.progress("predict", [{"state": state} for state in states]) == text
