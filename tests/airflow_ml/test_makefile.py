"""The Makefile: its targets call the tool, and a variable that no target knows is refused."""

import re
import subprocess

import pytest
from airflow_ml.common import ROOT

from tests.harness import outside_of_make


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=outside_of_make(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("variable", ["ds=2026-11-21", "Ds=2026-11-21", "DAY=2026-11-21"])
def test_variable_that_no_target_knows_is_refused(variable: str) -> None:
    done = make("run", variable, "--dry-run")
    assert done.returncode == 2
    assert f"unknown variable {variable.partition('=')[0]}" in done.stderr
    assert "make run DS=2026-11-21" in done.stderr


@pytest.mark.parametrize("target", ["run DS=", "own DATA= TARGET=x", "rerun FILE=raw/2026-11-21 DEPTH="])
def test_empty_variable_is_refused(target: str) -> None:
    """`make run DS=$DAY` ran today where DAY was not set."""
    done = make(*target.split(), "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search("(DS|DATA|DEPTH) is empty; expected: a value", done.stderr)


def test_wrong_day_is_refused_before_anything_starts() -> None:
    done = make("run", "DS=2026-13-01")
    assert done.returncode == 2
    assert "'2026-13-01' is no date of the form YYYY-MM-DD" in done.stderr
    assert "==>" not in done.stderr


def test_day_reaches_the_tool() -> None:
    assert './airflow-ml run --ds "2026-11-21"' in make("run", "DS=2026-11-21", "--dry-run").stdout


@pytest.mark.parametrize("target", ["run", "up", "down", "clean", "test", "test-fast", "status", "doctor", "models"])
def test_target_is_in_the_help(target: str) -> None:
    assert f"  make {target} " in make("help").stdout
