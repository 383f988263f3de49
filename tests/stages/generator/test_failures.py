"""What can go wrong: the exit code, a message that helps, and nothing half-published."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from feed import DS, STAGE, arguments, generate, run, run_in_process

from tests.harness import PATIENCE_S

LONG = ("--rows", "3000000")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--rows", "0"), "'0' is not a whole number from 1 to 500000000"),
        (("--rows", "-5"), "'-5' is not a whole number from 1"),
        (("--rows", "many"), "'many'"),
        (("--rows", "1e5"), "'1e5'"),
        (("--rows", "600000000"), "500000000"),
        (("--dirty", "1.5"), "'1.5' is not a number from 0 to 1"),
        (("--dirty", "nan"), "'nan'"),
        (("--seed", "x"), "--seed"),
        (("--processes", "0"), "--processes"),
        (("--colour", "red"), "--colour"),
    ],
)
def test_wrong_usage_is_named(tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    done = run(tmp_path, *options)
    assert done.code == 2
    assert named in done.log
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ds", ["yesterday", "2026-02-30", "20261121", "2026-1-1", ""])
def test_ds_that_is_no_date_is_refused(tmp_path: Path, ds: str) -> None:
    done = run(tmp_path, ds=ds)
    assert (done.code, "YYYY-MM-DD" in done.log) == (2, True)


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    done = run(tmp_path, "--rows", "10")
    assert done.code == 1
    assert f"user {os.getuid()}" in done.log
    assert "do: mount" in done.log
    assert "Traceback" not in done.log


def files_below(root: Path) -> list[Path]:
    """Every file but locks, which stay."""
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


@pytest.fixture
def small() -> Iterator[Path]:
    """A disk of 1 MB, empty before and after."""
    yield Path("/small")
    shutil.rmtree("/small/raw", ignore_errors=True)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_full_disk_publishes_nothing(small: Path, processes: str) -> None:
    done = run_in_process(small, "--rows", "40000", "--processes", processes)
    assert done.code == 1
    assert "no space left" in done.log
    assert "Traceback" not in done.log
    assert files_below(small) == []
    assert list(small.rglob("*.tmp")) == []


def test_full_disk_leaves_the_old_day_as_it_was(small: Path) -> None:
    before = generate(small, "--rows", "500")
    assert run(small, "--rows", "40000").code == 1
    folder = small / "raw" / DS
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "_meta.json"} == before.files


def start(root: Path, *options: str) -> "subprocess.Popen[str]":
    """Start a long run and return once it has begun to write the data."""
    command = [*STAGE, *arguments(root, *LONG, *options)]
    stage = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(path.stat().st_size > 1_000_000 for path in root.rglob("data.csv")))
    return stage


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers(stage: "subprocess.Popen[str]") -> list[int]:
    children = Path(f"/proc/{stage.pid}/task/{stage.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_stage_and_leaves_nothing(tmp_path: Path, number: signal.Signals, processes: str) -> None:
    stage = start(tmp_path, "--processes", processes)
    children = workers(stage)
    stage.send_signal(number)
    assert stage.wait(timeout=PATIENCE_S) == 128 + number
    assert number.name in stage.communicate()[1]
    assert files_below(tmp_path) == []
    wait_until(lambda: not any(is_alive(child) for child in children))


def is_alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


def test_kill_publishes_nothing_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    stage = start(tmp_path, "--processes", "2")
    children = workers(stage)
    assert len(children) == 2
    stage.kill()
    stage.communicate()
    folder = tmp_path / "raw" / DS
    assert all(path.name.startswith(".") for path in folder.iterdir())
    wait_until(lambda: not any(is_alive(child) for child in children))
    generate(tmp_path, "--rows", "20")
    assert {path.name for path in folder.iterdir()} == {"data.csv", "target.csv", "schema.json", "_meta.json"}


def test_death_of_a_worker_fails_the_stage(tmp_path: Path) -> None:
    stage = start(tmp_path, "--processes", "2")
    os.kill(workers(stage)[0], signal.SIGKILL)
    log = stage.communicate(timeout=PATIENCE_S)[1]
    assert stage.returncode == 1
    assert "a worker process died" in log
    assert "--processes 1" in log
    assert files_below(tmp_path) == []


def peak_memory(root: Path, rows: int) -> int:
    """The most memory that a run of one process held, in KiB."""
    command = [*STAGE, *arguments(root, "--rows", str(rows), "--processes", "1")]
    stage = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(stage.pid, 0)
    stage.returncode = os.waitstatus_to_exitcode(status)
    assert stage.returncode == 0
    assert isinstance(usage, resource.struct_rusage)
    return usage.ru_maxrss


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    assert peak_memory(tmp_path, 400_000) < 1.2 * peak_memory(tmp_path, 40_000)
