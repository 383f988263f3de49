"""SIGTERM and SIGKILL while LightGBM's native code runs."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DAY, MODEL, OUTPUTS, World, make_table
from stagekit import NotReady, read_partition

from tests.harness import PATIENCE_S

# One iteration of this takes minutes: nothing returns to Python before the test is over.
ENDLESS = ("--param", "num_leaves=131072", "--param", "min_data_in_leaf=1", "--param", "min_sum_hessian_in_leaf=0",
           "--param", "num_threads=1", "--param", "max_bin=4000", "--param", "min_data_in_bin=1",
           "--log-every", "1")  # fmt: skip


@pytest.fixture
def running(world: World) -> Iterator[subprocess.Popen[str]]:
    """The stage as a process of its own, just as it begins to train."""
    world.publish_tables(make_table(60_000, 1), make_table(100, 2))
    command = [sys.executable, "/opt/stage/training.py", "--ds", DAY, "--data-dir", str(world.root), *ENDLESS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "training, objective" in line:
                break
        yield process
        process.kill()


def is_half_published(root: Path) -> bool:
    try:
        read_partition(root, MODEL, OUTPUTS)
    except NotReady:
        return False
    return True


def test_sigterm_in_native_code_ends_the_stage(world: World, running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGTERM)
    out, log = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 128 + signal.SIGTERM
    assert "ended by SIGTERM; nothing was published" in log
    assert "iteration 1 " not in log
    assert out == ""
    assert world.leftovers() == []


def test_sigkill_leaves_nothing_that_a_reader_takes(world: World, running: subprocess.Popen[str]) -> None:
    running.kill()
    running.communicate()
    assert not is_half_published(world.root)
    world.publish_tables(make_table(100, 1), make_table(100, 2))
    world.train("--param", "num_iterations=3")
    assert world.leftovers() == [MODEL, f"{MODEL}/_meta.json", *(f"{MODEL}/{name}" for name in OUTPUTS)]
