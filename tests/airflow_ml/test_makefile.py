"""The Makefile: its targets call the tool, and each takes its own variables alone."""

import re
import subprocess

import pytest
from airflow_ml.common import ROOT

from tests.harness import outside_of_make


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=outside_of_make(), capture_output=True, text=True, check=False
    )


def recipes() -> dict[str, set[str]]:
    """Each target with the variables that its recipe uses, without those of make and of the Makefile."""
    text = (ROOT / "Makefile").read_text()
    own = set(re.findall(r"^(\w+) :?=", text, re.MULTILINE))
    rules = re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", text, re.MULTILINE)
    return {target: set(re.findall(r"\$\((?!MAKE)([A-Z_]+)\)", recipe)) - own for target, recipe in rules}


RECIPES = recipes()
VARIABLES = sorted(set().union(*RECIPES.values()))


@pytest.mark.parametrize("target", RECIPES)
def test_target_takes_what_its_recipe_uses_and_refuses_the_rest(target: str) -> None:
    """`make run DATA=my.csv` ran the demo, `make own FILE=my.csv` did not read the file."""
    used = sorted(RECIPES[target])
    assert make(target, "--dry-run", *(f"{name}=x" for name in used)).returncode == 0
    done = make(target, "--dry-run", *(f"{name}=x" for name in VARIABLES))
    assert (done.returncode, done.stdout) == (2, "")
    refused, _, expected = done.stderr.partition("; expected: ")
    assert set(refused.partition(f"make {target} takes no ")[2].split()) == {*VARIABLES} - {*used}
    assert sorted(expected.partition(".  Stop")[0].split()) == (used or ["no", "variable"])


@pytest.mark.parametrize("words", ["run ds=2026-11-21", "run DAY=2026-11-21", "help DS=2026-11-21", "DS=2026-11-21"])
def test_variable_that_the_target_does_not_know_is_refused(words: str) -> None:
    done = make(*words.split(), "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert " takes no " in done.stderr


def test_several_targets_take_what_one_of_them_uses() -> None:
    assert make("down", "run", "DS=2026-11-21", "--dry-run").returncode == 0
    assert "make down run takes no FILE; expected: DS" in make("down", "run", "FILE=x", "--dry-run").stderr


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
