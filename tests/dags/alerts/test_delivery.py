"""An alert that cannot be composed, sent or kept is still an alert, and says what went wrong."""

from pathlib import Path
from typing import Any

import pytest

from ml.alerts.delivery import deliver
from ml.alerts.message import Message, Severity
from tests.dags.alerts.conftest import PAGE


def test_sink_that_cannot_be_written_stops_no_alert(
    received: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "alerts").write_text("a file in the folder's place")
    deliver("any", ("any", "one"), lambda: Message(Severity.ERROR, "title", {"Dag": "any"}, PAGE))
    assert len(received) == 3
    assert "cannot be written" in caplog.text
    assert "could not be kept" in caplog.text


def test_alert_that_cannot_be_composed_says_which_it_is(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    def compose() -> Message:
        raise KeyError("x")

    deliver("breach", ("monitor", "run 7", "evaluate", -1, 1, "breach"), compose)
    text = kept.read_text()
    assert "[error] monitor run 7 evaluate -1 1 breach: breach; the alert could not be composed" in text
    assert "Error: the alert could not be composed: KeyError('x')" in text
    assert text.splitlines()[-2] == "Page: http://localhost:8080/dags/monitor/runs/run%207"
    assert "The breach alert of ('monitor', 'run 7'" in caplog.text


def test_alert_without_a_page_is_sent_too(received: list[dict[str, Any]], kept: Path) -> None:
    """A key that names no run, or settings that Airflow cannot read, once lost the alert."""

    def compose() -> Message:
        raise KeyError("x")

    deliver("breach", ("monitor",), compose)
    assert len(received) == 3
    assert kept.read_text().splitlines()[-2].startswith("Page: not known (TypeError(")


def test_alert_is_sent_once_for_a_key(received: list[dict[str, Any]], kept: Path) -> None:
    for _ in range(2):
        deliver("any", ("any", "one"), lambda: Message(Severity.ERROR, "title", {"Dag": "any"}, PAGE))
    assert len(received) == 3  # a web hook, and a mail for each of two receivers
    assert kept.read_text().count("title") == 1
