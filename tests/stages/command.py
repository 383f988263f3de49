"""Runs a command of the stage in the process of the test, as its container does."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass
class Result:
    """How a command ended: its exit code, what it logged, and its result line; no line if it failed."""

    code: int
    log: str
    line: dict[str, Any]


def run_command(main: Callable[[Sequence[str]], int], capture: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """Run the `main` of a stage with these arguments."""
    capture.readouterr()
    code = main(arguments)
    out, log = capture.readouterr()
    return Result(code, log, json.loads(out.splitlines()[-1]) if code == 0 else {})
