"""A model that is there already, as the same call would make it, is found without LightGBM."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DAY, MODEL, World
from stagekit import read_partition

FEW = ("--param", "num_iterations=5")
Done = subprocess.CompletedProcess[str]


def run(world: World, *options: str, cpus: set[int] | None = None) -> Done:
    """The stage as a process of its own, which reports on stderr what it imports."""
    command = [sys.executable, "-X", "importtime", "/opt/stage/training.py", "--ds", DAY, "--data-dir", str(world.root)]
    # The process is started from here, and has as many CPUs as its parent.
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or mine)
    try:
        return subprocess.run([*command, *options], text=True, capture_output=True, check=True)
    finally:
        os.sched_setaffinity(0, mine)


def is_cached(done: Done) -> bool:
    return bool(json.loads(done.stdout.splitlines()[-1]).get("cached", False))


def test_same_call_again_loads_no_lightgbm_and_says_the_same(day: World) -> None:
    first, again = run(day, *FEW), run(day, *FEW)
    assert (is_cached(first), "lightgbm" in first.stderr, "numpy" in first.stderr) == (False, True, True)
    assert (is_cached(again), "lightgbm" in again.stderr, "numpy" in again.stderr) == (True, False, False)
    lines = [json.loads(done.stdout.splitlines()[-1]) for done in (first, again)]
    for line in lines:
        line.pop("seconds")
    assert lines[1] == {**lines[0], "cached": True}


def test_number_of_cpus_makes_no_difference(day: World) -> None:
    run(day, *FEW)
    assert is_cached(run(day, *FEW, cpus={min(os.sched_getaffinity(0))}))
    assert read_partition(day.root, MODEL, []).meta["steps"]["train"]["parameters"]["num_threads"] >= 1


def test_content_of_a_parameters_file_decides(day: World, tmp_path: Path) -> None:
    own = tmp_path / "params.json"
    own.write_text('{"num_iterations": 5}')
    first = run(day, "--params", str(own))
    assert not is_cached(first)
    assert is_cached(run(day, "--params", str(own)))
    own.write_text('{"num_iterations": 6}')
    changed = run(day, "--params", str(own))
    assert not is_cached(changed)
    assert f"doing it again: --params {own} (" in changed.stderr
    assert day.params()["best_iteration"] == 6


def test_split_done_again_otherwise_trains_again(day: World) -> None:
    run(day, *FEW)
    path = day.root / f"processed/{DAY}/val.csv"
    table = path.read_text().splitlines(keepends=True)
    encoder = (day.root / f"processed/{DAY}/encoder.json").read_text()
    day.publish((day.root / f"processed/{DAY}/train.csv").read_text(), "".join(table[:-1]), encoder)
    again = run(day, *FEW)
    assert not is_cached(again)
    assert f"doing it again: input processed/{DAY}/val.csv has changed (" in again.stderr


@pytest.mark.parametrize("name", ["model.txt", "reference_scores.csv"])
def test_edited_output_is_made_again(day: World, name: str) -> None:
    run(day, *FEW)
    before = day.outputs()
    path = day.root / MODEL / name
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    again = run(day, *FEW)
    assert not is_cached(again)
    assert f"doing it again: output {name} has sha256 " in again.stderr
    assert day.outputs() == before


def test_parameter_that_is_refused_leaves_the_model_and_its_record(day: World) -> None:
    run(day, *FEW)
    assert day.run("--param", "num_iterations=0").code == 2
    assert is_cached(run(day, *FEW))
