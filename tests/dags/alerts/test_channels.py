"""Which channels get an alert, and what is shown of their URLs: nothing."""

import logging
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins.custom_json import NotifyJSON

from ml.alerts import channels
from ml.alerts.delivery import deliver
from ml.alerts.message import Message, Severity
from tests.dags.alerts.conftest import PAGE, SECRET


def test_service_that_is_down_and_url_that_is_none_are_named_without_their_secrets(
    received: list[dict[str, Any]], kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    urls = (tmp_path / "alert_urls").read_text()
    bad = [f"nowhere://{SECRET}", SECRET, f"jsons://user:{SECRET}@127.0.0.1:1/{SECRET}"]
    (tmp_path / "alert_urls").write_text("\n".join(bad) + "\n" + urls)
    with caplog.at_level(logging.DEBUG):
        deliver("any", ("any", "one"), lambda: Message(Severity.ERROR, "title", {"Dag": "any"}, PAGE))
    not_sent = [line for line in kept.read_text().splitlines() if line.startswith("NOT SENT: ")]
    assert [line.split(" is ")[0].split(": the")[0] for line in not_sent] == [
        "NOT SENT: alert URL 1 (nowhere://)",
        "NOT SENT: alert URL 2",
        "NOT SENT: alert URL 3 (jsons://)",
    ]
    assert sorted(one["by"] for one in received) == ["http", "smtp", "smtp"]
    assert SECRET not in kept.read_text() + caplog.text
    assert "Dag: any" in kept.read_text()


@pytest.mark.parametrize("severity", Severity)
def test_severity_reaches_the_channel(received: list[dict[str, Any]], severity: Severity) -> None:
    assert channels.send(Message(severity, "title", {"Dag": "any"}, PAGE)) == []
    assert {one["title"] for one in received} == {f"[{severity}] title"}


def test_service_that_takes_short_messages_gets_the_page(
    received: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long for a service lost its end."""
    monkeypatch.setattr(NotifyJSON, "body_maxlen", 400)
    assert channels.send(Message(Severity.ERROR, "title", {"Error": "x" * 1000}, PAGE, ("line",) * 15)) == []
    [hook] = [one for one in received if one["by"] == "http"]
    assert len(hook["text"]) <= 400
    assert hook["text"].splitlines()[-1] == f"Page: {PAGE}"


def test_service_without_titles_that_takes_short_messages_gets_the_page(
    received: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SMS: the title took all the room, and the address was cut off."""
    monkeypatch.setattr(NotifyJSON, "body_maxlen", 160)
    monkeypatch.setattr(NotifyJSON, "title_maxlen", 0)
    assert channels.send(Message(Severity.ERROR, "t" * 200, {"Error": "x" * 1000}, PAGE, ("line",) * 15)) == []
    [hook] = [one for one in received if one["by"] == "http"]
    assert len(hook["text"]) <= 160
    assert hook["text"].startswith("[error] ttt")
    assert hook["text"].splitlines()[-1] == f"Page: {PAGE}"


def test_logging_is_as_before_after_a_service_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "alert_urls").write_text("json://127.0.0.1:1/")
    assert channels.send(Message(Severity.ERROR, "title", {}, PAGE))
    with caplog.at_level(logging.INFO):
        logging.getLogger("any").info("logged")
    assert "logged" in caplog.text


@pytest.mark.parametrize(
    ("content", "urls"),
    [
        ("", []),
        ("# json://comment\n  # another\n", []),
        ("json://a", ["json://a"]),
        ("json://a, json://b,mailto://c?to=x@y.z,u@v.w\n\tjson://d,", [
            "json://a", "json://b", "mailto://c?to=x@y.z,u@v.w", "json://d"]),
        ("slack://T/B/C/#channel", ["slack://T/B/C/#channel"]),
    ],
)  # fmt: skip
def test_urls_are_separated_by_blanks_line_ends_and_commas(tmp_path: Path, content: str, urls: list[str]) -> None:
    (tmp_path / "alert_urls").write_text(content)
    assert channels.alert_urls() == urls


def test_file_of_urls_that_cannot_be_read_is_reported(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "alert_urls").mkdir()
    deliver("any", ("any", "one"), lambda: Message(Severity.ERROR, "title", {"Dag": "any"}, PAGE))
    assert "NOT SENT: the file with the alert URLs cannot be read (IsADirectoryError)" in kept.read_text()
