"""The commands of the README do what it says."""

import json
import re
import shlex
import subprocess

import pytest

from tests.harness import ROOT

from .conftest import data

README = (ROOT / "README.md").read_text()
COMMANDS = [
    block.removeprefix("$ ").replace("\\\n", " ")
    for block in re.findall(r"^\$ docker run (?:.*\\\n)*.*$", README, re.MULTILINE)
]


def test_readme_shows_a_stage_by_hand() -> None:
    assert COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("stack")
def test_stage_by_hand_works_as_written(command: str) -> None:
    """Only the volume is another: the test's own instead of the reader's."""
    words = [word.replace("data:/data", f"{data.source}:/data") for word in shlex.split(command)]
    done = subprocess.run(words, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["stage"]
