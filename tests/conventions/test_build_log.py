"""What a failed build shows of its log: the cause, not the way through our own script."""

import pytest
from images.build import cause

SAID = ["  x Failed to download `faker`", "  Hash mismatch for `faker==40.54.0`"]
TRACEBACK = ["Traceback (most recent call last):", '  File "layers.py", line 51, in main', "    install(requirements)"]
COMMAND_FAILED = "subprocess.CalledProcessError: Command '['uv']' returned non-zero exit status 1."


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        pytest.param([*SAID, *TRACEBACK, COMMAND_FAILED], SAID, id="a command that failed said why"),
        pytest.param([*TRACEBACK, COMMAND_FAILED], [*TRACEBACK, COMMAND_FAILED], id="a command that said nothing"),
        pytest.param([*SAID, *TRACEBACK, "KeyError: 1"], [*SAID, *TRACEBACK, "KeyError: 1"], id="our own mistake"),
        pytest.param(SAID, SAID, id="no traceback"),
    ],
)
def test_log_of_a_failed_step_ends_with_its_cause(log: list[str], shown: list[str]) -> None:
    assert cause(log) == shown
