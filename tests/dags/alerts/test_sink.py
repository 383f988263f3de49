"""The folder that keeps every alert: who may read it, how large it grows, and what many processes do to it."""

import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ml.alerts import message, sink
from ml.alerts.message import Message, Severity
from tests.dags.alerts.conftest import PAGE
from tests.harness import PATIENCE_S


def claim_often(folder: str, results: Any) -> None:
    os.environ["ML_ALERTS_FOLDER"] = folder
    results.put([sink.claim("dag", "run", "task", number) for number in range(200)])


def test_of_many_processes_one_alone_has_the_claim(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    processes = [context.Process(target=claim_often, args=(str(tmp_path / "alerts"), results)) for _ in range(4)]
    for process in processes:
        process.start()
    claims = [results.get(timeout=PATIENCE_S) for _ in processes]
    assert [sum(each) for each in zip(*claims, strict=True)] == [1] * 200


def test_sink_is_for_its_user_alone_and_keeps_the_newest(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "MAX_BYTES", 1000)
    for number in range(60):
        sink.keep(Message(Severity.ERROR, f"alert {number}", {"Dag": "any"}, PAGE), [])
    folder = kept.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    logs = sorted(folder.glob("alerts.log*"))
    assert [log.name for log in logs] == ["alerts.log", "alerts.log.1", "alerts.log.2", "alerts.log.3"]
    assert {stat.S_IMODE(log.stat().st_mode) for log in logs} == {0o640}
    assert all(log.stat().st_size <= 1000 for log in logs)
    text = "".join(log.read_text() for log in reversed(logs))
    numbers = [int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("=")]
    assert numbers == list(range(numbers[0], 60))


def keep_often(folder: str, writer: int) -> None:
    os.environ["ML_ALERTS_FOLDER"] = folder
    sink.MAX_BYTES = 20_000
    for number in range(50):
        sink.keep(Message(Severity.ERROR, f"alert {writer} {number}", {"Dag": "x" * 50}, PAGE), [])


def test_processes_that_write_and_rotate_together_lose_nothing_and_tear_nothing(tmp_path: Path) -> None:
    """Each opens the log by its name under one lock: none writes on into a file that another has rotated."""
    context = multiprocessing.get_context("fork")
    folder = tmp_path / "alerts"
    processes = [context.Process(target=keep_often, args=(str(folder), writer)) for writer in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_S)
    logs = sorted(folder.glob("alerts.log*"))
    assert len(logs) == 2  # of 36 kB
    text = "".join(log.read_text() for log in reversed(logs))
    lines = [line for line in text.splitlines() if line]
    assert [line[:4] for line in lines] == ["====", "Dag:", "Page"] * 200
    assert {line.partition("alert ")[2] for line in lines[::3]} == {f"{w} {n}" for w in range(4) for n in range(50)}


HOSTILE = "\x1b[31mred\x1b[0m \x00\x07 \u202eback\u202c a\tb\r\n==================== 2026 forged\nBy hand: rm -rf /"


def test_hostile_lines_stay_lines(kept: Path) -> None:
    sink.keep(Message(Severity.ERROR, f"title {HOSTILE}", {"Error": HOSTILE}, PAGE, (HOSTILE, "x" * 5000)), [])
    text = kept.read_text()
    assert not set(text) & set("\x1b\x00\x07\u202e\u202c\r\t")
    lines = text.splitlines()
    assert [line[:20] for line in lines].count("=" * 20) == 1
    assert not [line for line in lines if line.startswith("By hand: ")]
    assert max(map(len, lines)) <= max(message.MAX_FACT, message.MAX_LINE) + 20


def test_sink_that_cannot_be_written_raises(kept: Path) -> None:
    """Its caller logs that the alert is not kept; a logging handler alone would print and go on."""
    kept.mkdir(parents=True)
    with pytest.raises(OSError, match=r"alerts\.log"):
        sink.keep(Message(Severity.ERROR, "title", {}, PAGE), [])
