"""Commands that change `.env` do so one after the other, in processes of their own; who waits says for whom."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow_ml import make_env
from airflow_ml.common import only_change, read_env

from tests.harness import PATIENCE_S, copy_tool

NOWHERE = "unix:///nonexistent/docker.sock"
# A rotation that has written both keys and still encrypts; it goes on when its input ends.
HOLDER = """
import sys
from pathlib import Path
from airflow_ml.common import only_change
from airflow_ml.make_env import change_settings
root = Path(sys.argv.pop(1))
with only_change(root):
    change_settings(root / ".env", {"ML_FERNET_KEY": "new,old"})
    print("encrypts", flush=True)
    sys.stdin.read()
    change_settings(root / ".env", {"ML_FERNET_KEY": "new"})
"""
IMAGES = "from airflow_ml.images.lock import write_service_images as w; w(ROOT, {'airflow': 'airflow-ml-airflow:1'})"
MAKE = "from airflow_ml.make_env import make_env; make_env(ROOT)"
SIGN = "from airflow_ml.rotate import sign_what_is_older; sign_what_is_older()"
CHANGE = "from airflow_ml.make_env import change_settings as c; c(ROOT / '.env', {'ML_PARALLELISM': '2'})"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tool in a folder of its own, with settings."""
    copy_tool(tmp_path)
    make_env.make_env(tmp_path)
    return tmp_path


@contextmanager
def rotation(checkout: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLDER, str(checkout), "rotate", "fernet_key"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=checkout, text=True, **pipes) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "encrypts\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "command",
    [
        ["./airflow-ml", "rotate", "fernet_key"],
        ["./airflow-ml", "account", "admin"],
        ["./airflow-ml", "down"],
        ["./airflow-ml", "backup"],
        *([sys.executable, "-c", f"from airflow_ml.common import ROOT; {code}"] for code in (IMAGES, MAKE, CHANGE)),
    ],
    ids=["rotate", "account", "down", "backup", "images", "make_env", "change_settings"],
)
def test_command_waits_for_a_rotation_and_keeps_its_key(command: list[str], checkout: Path) -> None:
    """Two rotations at once once encrypted with a key that then was in no file."""
    environment = {**os.environ, "DOCKER_HOST": NOWHERE}
    with (
        rotation(checkout) as first,
        subprocess.Popen(command, cwd=checkout, env=environment, text=True, stderr=subprocess.PIPE) as second,
    ):
        assert second.stderr is not None
        said = second.stderr.readline()
        assert said == (
            f"waiting for another change of .env in this folder: ./airflow-ml rotate fernet_key, process {first.pid}\n"
        )
        assert read_env(checkout / ".env")["ML_FERNET_KEY"] == "new,old"
        first.communicate(timeout=PATIENCE_S)
        second.communicate(timeout=PATIENCE_S)
    assert read_env(checkout / ".env")["ML_FERNET_KEY"] == "new"
    assert second.returncode == (1 if "./airflow-ml" in command else 0), "without an engine a command fails"


def test_first_signing_that_waits_for_a_rotation_keeps_its_key(checkout: Path) -> None:
    """It once wrote the key of before into `.env`: every signature was of one that then was in no file."""
    make_env.change_settings(checkout / ".env", {"ML_REGISTRY_KEY": "old,"})
    command, environment = [sys.executable, "-c", SIGN], {**os.environ, "DOCKER_HOST": NOWHERE}
    with only_change(checkout):
        waiting = subprocess.Popen(command, cwd=checkout, env=environment, text=True, stderr=subprocess.PIPE)
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("waiting for another change of .env")
        make_env.change_settings(checkout / ".env", {"ML_REGISTRY_KEY": "new"})
    said = waiting.communicate(timeout=PATIENCE_S)[1]
    assert (waiting.returncode, read_env(checkout / ".env")["ML_REGISTRY_KEY"]) == (0, "new"), said


def test_lock_of_a_process_that_was_killed_is_free(checkout: Path) -> None:
    with rotation(checkout) as first:
        first.kill()
        first.wait()
        make_env.change_settings(checkout / ".env", {"ML_FERNET_KEY": "next"})
    assert read_env(checkout / ".env")["ML_FERNET_KEY"] == "next"
