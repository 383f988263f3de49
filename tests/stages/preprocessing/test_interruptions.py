"""Wrong usage, full or locked disks, and signals: the exit code shows them, and nothing half-done is published."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, flock, graded, sheep, to_csv

import preprocessing
from tests.harness import PATIENCE_S

SMALL = Path("/small")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["prepare", "--ds", "yesterday"], id="no date"),
        pytest.param(["prepare", "--ds", "2026-02-30"], id="no day"),
        pytest.param(["prepare", "--ds", "20261121"], id="other form"),
        pytest.param(["prepare"], id="no ds"),
        pytest.param(["split", "--ds", DS, "--val-fraction", "0"], id="nothing to validate"),
        pytest.param(["split", "--ds", DS, "--val-fraction", "1"], id="nothing to train"),
        pytest.param(["split", "--ds", DS, "--val-fraction", "nan"], id="no fraction"),
        pytest.param(["split", "--ds", DS, "--max-categories", "256"], id="too many categories"),
        pytest.param(["prepare", "--ds", DS, "--max-rejected", "1.5"], id="more than all"),
        pytest.param(["infer-schema", "--ds", DS], id="ds where there is none"),
        pytest.param([], id="no command"),
    ],
)
def test_wrong_usage_ends_with_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        preprocessing.main(options)
    assert end.value.code == 2
    assert "usage: airflow-ml-preprocessing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--help"], "usage: airflow-ml-preprocessing"),
        (["prepare", "--help"], "usage: airflow-ml-preprocessing"),
        (["split", "--help"], "usage: airflow-ml-preprocessing"),
        (["encode-validation", "--ds", DS], '{"stage": "preprocessing", "command": "encode-validation"'),
    ],
)
def test_what_needs_no_polars_does_not_load_it(options: list[str], says: str) -> None:
    code = "import atexit, sys, preprocessing; atexit.register(lambda: print('polars' in sys.modules)); "
    code += f"preprocessing.main({options})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(says)
    assert done.stdout.endswith("False\n")


def test_model_outside_of_the_data_folder_is_wrong_usage(day: Day) -> None:
    day.publish(*flock(5))
    assert day.run("features", "--model", "/etc/passwd").code == 2
    assert day.run("features", "--model", "../elsewhere").code == 2


@pytest.mark.parametrize("command", ["prepare", "split"])
def test_data_folder_that_is_not_writable_is_named(day: Day, command: str) -> None:
    day.publish(*flock(20))
    if command == "split":
        assert day.run("prepare").code == 0
    locked = day.root if command == "prepare" else day.file(f"processed/{DS}")
    locked.chmod(0o555)
    try:
        run = day.run(command)
    finally:
        locked.chmod(0o755)
    assert run.code == 1
    assert f"cannot be written or read by user {os.getuid()}" in run.log
    assert "do: mount" in run.log


@pytest.fixture
def small_day(capsys: pytest.CaptureFixture[str]) -> Iterator[Day]:
    yield Day(SMALL, capsys)
    for path in SMALL.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def fill_disk(leave: int) -> None:
    """Leave so many bytes, in steps of a page."""
    free = os.statvfs(SMALL).f_bavail * os.statvfs(SMALL).f_frsize
    (SMALL / "filler").write_bytes(b"x" * (free - leave))


@pytest.mark.parametrize("leave", [16 << 10, 80 << 10])
@pytest.mark.parametrize("command", ["prepare", "split", "features", "encode-validation", "import"])
def test_full_disk_is_named_and_publishes_nothing(small_day: Day, tmp_path: Path, command: str, leave: int) -> None:
    data, target = flock(2500)
    options: list[str] = []
    small_day.publish(*flock(300))
    assert small_day.run("prepare").code == 0
    assert small_day.run("split").code == 0
    small_day.publish_model()
    if command == "import":
        (tmp_path / "data.csv").write_text(data * 2)
        raw = small_day.file(f"raw/{DS}")
        options = [
            "--data",
            str(tmp_path / "data.csv"),
            "--target",
            f"{raw}/target.csv",
            "--schema",
            f"{raw}/schema.json",
        ]
    elif command == "features":
        small_day.publish(data)
        options = ["--model", "models/2026-11-01"]
    else:
        small_day.publish(data, target)
    if command == "encode-validation":
        assert [small_day.run(earlier).code for earlier in ("prepare", "split")] == [0, 0]
        options = ["--model", "models/2026-11-01"]
        leave = 8 << 10  # the rows to validate take more
    if command == "split":
        assert small_day.run("prepare").code == 0
        leave = min(leave, 64 << 10)
    fill_disk(leave)
    before = {path: path.read_bytes() for path in SMALL.rglob("*") if path.is_file() and path.name != ".lock"}
    run = small_day.run(command, *options)
    assert run.code == 1
    assert "no space left on the device that holds /small" in run.log
    assert "nothing was published" in run.log
    assert {path: path.read_bytes() for path in SMALL.rglob("*") if path.is_file() and path.name != ".lock"} == before


def wait_until_it_writes(day: Day, folder: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not list(day.file(folder).glob(".*.tmp/*")):
        assert time.monotonic() < deadline, "the stage does not begin"
        time.sleep(0.002)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize(
    ("command", "folder", "before", "made"),
    [
        ("prepare", "processed", set(), "train_data.csv"),
        ("split", "processed", {"train_data.csv", "rejected.csv"}, "train.csv"),
        ("encode-validation", "comparisons", set(), "val.csv"),
    ],
)
def test_killed_stage_publishes_nothing_and_the_next_run_clears_up(
    day: Day, number: signal.Signals, command: str, folder: str, before: set[str], made: str
) -> None:
    day.publish(*flock(100_000))
    for earlier in ("prepare", "split")[: ["prepare", "split", "encode-validation"].index(command)]:
        assert day.run(earlier).code == 0
    options = ["--model", "models/2026-11-01"] if command == "encode-validation" else []
    if options:
        day.publish_model()
    process = day.start(command, *options)
    wait_until_it_writes(day, f"{folder}/{DS}")
    process.send_signal(number)
    out, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number)
    assert out == ""
    assert ("ended by SIGTERM; nothing was published" in log) == (number == signal.SIGTERM)
    mark = day.file(f"{folder}/{DS}/_meta.json")
    assert set(json.loads(mark.read_text())["outputs"] if mark.exists() else {}) == before
    assert not day.file(f"{folder}/{DS}/{made}").exists()
    assert day.run(command, *options).code == 0
    assert day.file(f"{folder}/{DS}/{made}").exists()
    assert not list(day.root.rglob("*.tmp"))
    assert day.leftovers() == []


def test_failed_run_leaves_what_was_published_before(day: Day) -> None:
    day.publish(*flock(50))
    assert day.run("prepare").code == 0
    before = day.file(f"processed/{DS}/train_data.csv").read_bytes()
    rows = [[*sheep(n)[:3], "?", *sheep(n)[4:]] for n in range(50)]
    day.publish(to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], map(graded, range(50))), SCHEMA)
    assert day.run("prepare").code == 3
    assert day.file(f"processed/{DS}/train_data.csv").read_bytes() == before
    assert day.leftovers() == []


def test_result_line_is_one_json_object_and_the_last_on_stdout(day: Day) -> None:
    day.publish(*flock(50))
    process = day.start("prepare")
    out, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    found = json.loads(out)
    assert (found["stage"], found["command"], found["ds"], found["rows_out"]) == ("preprocessing", "prepare", DS, 50)
    assert "checked 50 rows of raw/2026-11-21/data.csv" in log
