"""How far work is, and its result: for people on a terminal, for programs and logs in a pipe."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stagekit import progress, shards, track
from stagekit.progress import Meter, amount, bar, duration, line, show_progress
from stagekit.summary import summarize

from tests.harness import wait_until

BASE_IMAGE = Path(__file__).parents[2] / "base-image"


@pytest.mark.parametrize(
    ("done", "total", "unit", "expected"),
    [
        (0, 100, "rows", "0 rows"),
        (25, 100, "rows", "25% of 100 rows, 2.5 rows/s, 30 s left"),
        (100, 100, "rows", "100% of 100 rows, 10 rows/s, 0 s left"),
        (120, 100, "rows", "100% of 100 rows, 12 rows/s, 0 s left"),
        (3_000_000, 90_000_000, "bytes", "3% of 90.0 MB, 0.3 MB/s, 4 min 50 s left"),
        (1000, 1_000_000, "rows", "0% of 1,000,000 rows, 100 rows/s, 2 h 46 min left"),
        (50, None, "rows", "50 rows, 5 rows/s"),
        (0, 0, "rows", "0 rows"),
    ],
)
def test_figures_are_share_rate_and_time_that_is_left(done: int, total: int | None, unit: str, expected: str) -> None:
    assert Meter("reading", total, unit, done, started=100.0).figures(now=110.0) == expected


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3600, "1 h 0 min")])
def test_duration_has_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_amount_of_bytes_is_in_megabytes() -> None:
    assert amount(12_345_678, "bytes") == "12.3 MB"


def test_innermost_work_is_shown() -> None:
    assert line("prepare", 0.0, 61.0) == "still running prepare after 61 s"
    with progress("reading", 10, "rows"), progress("writing", 10, "rows") as advance:
        advance(5)
        assert "after 60 s: writing: 50% of 10 rows" in line("prepare", time.monotonic() - 60, time.monotonic())
        shown = bar("prepare", time.monotonic() - 60, time.monotonic())
        assert shown.startswith("prepare  [############............]  writing  50% of 10 rows")
    assert bar("prepare", 0.0, 61.0) == "prepare  1 min 1 s"


def test_work_that_fails_is_no_longer_shown() -> None:
    with pytest.raises(ValueError, match="bad"), progress("reading", 10, "rows"):
        raise ValueError("bad")
    assert line("prepare", 0.0, 1.0) == "still running prepare after 1 s"


def test_tracked_items_are_those_that_were_given() -> None:
    seen = []
    for item in track([[1, 2], [3]], "adding", 3, "rows", len):
        seen.append((item, line("sum", 0.0, time.monotonic() + 1).partition(": ")[2]))
    assert [item for item, _ in seen] == [[1, 2], [3]]
    assert seen[0][1] == "adding: 0 rows"
    assert seen[1][1].startswith("adding: 67% of")


def test_merge_of_shards_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "WINDOW", 2)
    tables = []
    for name, numbers in (("a", (2, 3, 6)), ("b", (4, 5))):
        tables.append((tmp_path / name, tmp_path / f"{name}.lines"))
        for path, header, text in zip(tables[-1], ("x", "line"), ("row {}", "{}"), strict=True):
            path.write_text("".join(f"{row}\n" for row in (header, *map(text.format, numbers))))
    seen: list[Any] = []

    @contextmanager
    def recorded(*work: Any) -> Iterator[Any]:
        seen.append(work)
        yield seen.append

    monkeypatch.setattr(shards, "progress", recorded)
    assert shards.merge_tables(tables, tmp_path / "day.csv") == 5
    (what, whole, unit), *done = seen
    assert (what, unit, len(done) > 1) == ("merging day.csv", "bytes", True)
    assert sum(done) == whole


def test_log_gets_a_line_while_work_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), show_progress("training", seconds=0.01, screen=io.StringIO()):
        wait_until(lambda: caplog.messages, "there is a line")
    assert re.fullmatch(r"still running training after \d+ s", caplog.messages[0])


RESULT: dict[str, Any] = {
    "stage": "preprocessing",
    "command": "prepare",
    "ds": "2026-11-21",
    "partition": "processed/2026-11-21",
    "rows_in": 20_000,
    "rejected": {"data.csv": 45, "target.csv": 0},
    "metrics": None,
    "score": 0.123456789,
    "passed": True,
    "reasons": [],
    "files": list("abcdefghij"),
    "columns": ["a\nb"],
    "warnings": ["logged before"],
    "seconds": 3.21,
}


def test_summary_has_a_line_for_each_member_of_the_result() -> None:
    assert summarize(RESULT).splitlines() == [
        "prepare of 2026-11-21: done (3 s)",
        "  partition  processed/2026-11-21",
        "  rows in    20,000",
        "  rejected   data.csv 45, target.csv 0",
        "  metrics    none",
        "  score      0.123457",
        "  passed     yes",
        "  reasons    none",
        "  files      a, b, c, d, e, f, g, h, and 2 more",
        r"  columns    a\nb",
    ]


def test_summary_says_that_nothing_had_to_be_done() -> None:
    said = summarize({"command": "train", "cached": True, "seconds": 0.2})
    assert said == "train: was done before, and its files are intact (0 s)"


STAGE = """
import logging, sys, time
from stagekit import Command, run_stage, track

module = sys.modules["stagekit.progress"]
drawn, draw = [], module.draw
module.draw = lambda screen, text: (draw(screen, text), drawn.append(text))

def act(args):
    for number in track(range(4), "counting", 4, "numbers"):
        while number == 1 and sys.stderr.isatty() and not any("25%" in text for text in drawn):
            time.sleep(0.05)
    logging.getLogger("demo").info("counted")
    return {"rows": 4}

sys.exit(run_stage("demo", "Demonstrates.", [Command("act", "Act.", "__main__:act")]))
"""


def on_terminal(*arguments: str) -> tuple[int, str]:
    """The exit code of the stage, and what a terminal got from it."""
    ours, theirs = pty.openpty()
    environment = {"PYTHONPATH": str(BASE_IMAGE)}
    command = [sys.executable, "-c", STAGE, *arguments]
    with subprocess.Popen(command, env=environment, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(ours)
    return process.returncode, shown.decode()


def test_terminal_shows_a_bar_and_ends_with_a_summary(tmp_path: Path) -> None:
    code, shown = on_terminal("--ds=2026-11-21", f"--data-dir={tmp_path}")
    assert code == 0
    assert "act  [######..................]  counting  25% of 4 numbers" in shown
    # What is left on the screen: no part of the bar, the log's line, the summary.
    lines = [text.rpartition("\x1b[K")[2] for text in shown.replace("\r\n", "\n").strip().split("\n")]
    assert [text for text in lines if "[#" in text] == []
    assert lines[0].endswith("INFO demo act: counted")
    assert re.fullmatch(r"act of 2026-11-21: done \(\d+ s\)", lines[-2])
    assert lines[-1] == "  rows  4"


def test_pipe_gets_neither(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STAGE, "--ds=2026-11-21", f"--data-dir={tmp_path}"]
    environment = {"PYTHONPATH": str(BASE_IMAGE)}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    assert json.loads(done.stdout)["rows"] == 4
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
