"""How far long work of the host tool is: on a terminal a bar, in a pipe a line a minute."""

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from airflow_ml import backup, data
from airflow_ml.common import ROOT
from airflow_ml.progress import reading, say, show

from tests.harness import PATIENCE_S

ON_TERMINAL = """
import sys, time
from pathlib import Path
from airflow_ml import progress
from airflow_ml.progress import reading, say, show
drawn, draw = [], progress._module.draw
progress._module.draw = lambda screen, text: (draw(screen, text), drawn.append(text))
with show("backup"), reading(Path(sys.argv[1]), "hashing data.tar.gz") as file:
    say("  data: volume")
    file.read(250)
    while not any("25%" in text for text in drawn):
        time.sleep(0.05)
assert "stagekit" not in sys.modules
"""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "data.tar.gz"
    path.write_bytes(b"x" * 1000)
    return path


def test_pipe_gets_lines_that_say_how_far_the_work_is(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with show("backup", seconds=0.05), reading(large, "hashing data.tar.gz") as file:
        file.read(250)
        shown, end = "", time.monotonic() + PATIENCE_S
        while not re.search(r"still running backup after \d+ s: hashing data\.tar\.gz: 25% of 0\.0 MB, ", shown):
            assert time.monotonic() < end, shown
            time.sleep(0.05)
            shown += capsys.readouterr().err
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_short_work_says_nothing_of_itself_in_a_pipe(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with show("backup"):
        assert backup.file_digest(large) == hashlib.sha256(b"x" * 1000).hexdigest()
        say("  data: volume")
    assert capsys.readouterr().err == "  data: volume\n"


def test_terminal_gets_a_bar_that_goes_away_for_lines_and_at_the_end(large: Path) -> None:
    """The tool loads the part that draws it without stagekit, which needs a newer Python than the tool."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ON_TERMINAL, str(large)]
    done = subprocess.run(command, stderr=theirs, env=environment, timeout=PATIENCE_S, check=False)
    os.close(theirs)
    shown = b""
    while not shown.endswith(b"\x1b[K") or b"25%" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    assert done.returncode == 0
    assert "backup  [######..................]  hashing data.tar.gz  25% of 0.0 MB" in shown.decode()
    assert "\x1b[K  data: volume\r\n" in shown.decode()


@pytest.mark.parametrize("before", [[], [{"total": 100}, {"done": 60}, {"done": 40}], [{"total": 0}]])
def test_answer_of_long_work_is_its_last_line(before: list[dict[str, int]]) -> None:
    lines = [json.dumps(line) for line in [*before, {"targets": []}]]
    assert data._answer(iter(lines), "hashing files") == {"targets": []}
