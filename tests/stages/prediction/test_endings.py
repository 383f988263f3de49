"""How the stage ends when it is killed, or may not or cannot write: nothing half-published, and a message."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import DAY, World, fill_disk

STAGE = [sys.executable, "/opt/stage/prediction.py"]


def start_long_prediction(world: World) -> tuple[subprocess.Popen[str], str]:
    """Start a prediction of half a million rows and wait until it writes; returns the process and the model's name."""
    model = world.validated()
    world.prepare(model, world.features(2500))
    command = [*STAGE, "predict", "--ds", DAY, "--model", model, "--data-dir", str(world.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = world.root / "predictions" / DAY
    while not any(path.stat().st_size for path in folder.glob(".predict-*.tmp/predictions.csv")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process, model


def test_predict_that_is_terminated_leaves_nothing(world: World) -> None:
    process, _ = start_long_prediction(world)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "nothing was published" in errors
    assert not (world.root / "predictions" / DAY).exists()


def test_predict_that_is_killed_publishes_nothing_and_can_run_again(world: World) -> None:
    process, model = start_long_prediction(world)
    process.kill()
    process.communicate()
    folder = world.root / "predictions" / DAY
    assert [path.name[:9] for path in folder.iterdir()] == [".predict-"]
    world.prepare(model)
    again = world.run("predict", "--ds", DAY, "--model", model)
    assert again.code == 0, again.errors
    assert sorted(path.name for path in folder.iterdir()) == ["_meta.json", "predictions.csv"]


@pytest.mark.parametrize("folder", [".", "predictions"])
def test_predict_into_a_folder_that_is_not_writable_says_whose_it_is(world: World, folder: str) -> None:
    model = world.validated()
    world.prepare(model)
    path = world.root / folder
    path.mkdir(exist_ok=True)
    path.chmod(0o555)
    result = world.run("predict", "--ds", DAY, "--model", model)
    path.chmod(0o755)
    assert result.code == 1
    assert f"cannot be written or read by user {os.getuid()}" in result.errors
    assert "do: mount" in result.errors


def test_validate_into_a_folder_that_is_not_writable_says_whose_it_is(world: World) -> None:
    world.train()
    path = world.root / "models" / DAY
    path.chmod(0o555)
    result = world.run("validate", "--ds", DAY)
    path.chmod(0o755)
    assert result.code == 1
    assert "cannot be written" in result.errors


def test_predict_on_a_full_disk_publishes_nothing(small_disk: World) -> None:
    model = small_disk.validated()
    small_disk.prepare(model, small_disk.features(20))
    fill_disk(Path("/small/data"), leave=40_000)
    result = small_disk.run("predict", "--ds", DAY, "--model", model)
    assert result.code == 1
    assert "no space left" in result.errors
    assert "nothing was published" in result.errors
    assert not (small_disk.root / "predictions" / DAY).exists()


def test_validate_on_a_full_disk_publishes_nothing(small_disk: World) -> None:
    small_disk.train()
    fill_disk(Path("/small/data"), leave=0)
    before = small_disk.tree()
    result = small_disk.run("validate", "--ds", DAY)
    assert result.code == 1
    assert "no space left" in result.errors
    assert small_disk.tree() == before


def end_without_libraries(*arguments: str) -> int:
    """Run the stage in a process of its own; returns its exit code. It ends without numpy, or this fails."""
    libraries = "{'numpy', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)"
    code = f"import atexit, sys, prediction; atexit.register(lambda: print(sorted({libraries}), file=sys.stderr)); "
    code += f"sys.exit(prediction.main({list(arguments)}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "[]", ended.stderr
    return ended.returncode


def everything_done(world: World) -> list[list[str]]:
    """Run every command once; returns them."""
    model = world.validated()
    world.prepare(model)
    world.encode_validation(model)
    day = ["--ds", DAY]
    commands = [
        ["validate", *day], ["predict", *day, "--model", model], ["compare", *day, "--champion", model],
        ["evaluate", *day],
    ]  # fmt: skip
    for command in commands:
        assert world.run(*command).code == 0
    return commands


@pytest.mark.parametrize("arguments", [["--help"], ["compare", "--help"], ["predict", "--ds", "today"]])
def test_help_and_wrong_usage_do_not_wait_for_libraries(arguments: list[str]) -> None:
    assert end_without_libraries(*arguments) in (0, 2)


def test_step_that_is_done_does_not_wait_for_libraries(world: World) -> None:
    for command in everything_done(world):
        before = world.tree()
        assert end_without_libraries(*command, "--data-dir", str(world.root)) == 0
        assert world.run(*command).result["cached"] is True
        assert world.tree() == before


def test_bad_input_does_not_wait_for_libraries(world: World) -> None:
    commands = everything_done(world)
    model = world.root / "models" / DAY / "model.txt"
    model.write_text(model.read_text().replace("leaf_value=-", "leaf_value=0", 1))
    assert [end_without_libraries(*command, "--data-dir", str(world.root)) for command in commands] == [3] * 4


@pytest.mark.parametrize("changed", ["rules", "version"])
def test_compare_that_would_say_something_else_is_done_again(world: World, changed: str) -> None:
    *_, command, _ = everything_done(world)
    more = ["--rules-json", '{"tolerance": 0.02}'] if changed == "rules" else ["--champion-version", "4"]
    assert "cached" not in world.run(*command, *more).result


def test_compare_that_is_terminated_leaves_nothing(world: World) -> None:
    model = world.validated()
    world.encode_validation(model)
    before = world.tree()
    rules = json.dumps({"resamples": 100_000})
    command = [*STAGE, "compare", "--ds", DAY, "--champion", model, "--rules-json", rules]
    process = subprocess.Popen(
        [*command, "--data-dir", str(world.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr or []:
        if "scoring 200 rows" in line:
            break
    time.sleep(1)  # the resamples take minutes
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "nothing was published" in errors
    assert world.tree() == before
