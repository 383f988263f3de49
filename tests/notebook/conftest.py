"""The notebook under test: run for real, on days that the stages' own images made, as ./airflow-ml notebook runs it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import PATIENCE_S, ROOT, Data, data_volume

SCORED, NEWEST = "2026-11-20", "2026-11-21"


def notebook(data: Path | str, *arguments: str, ds: str = "", option: str = "--") -> "subprocess.CompletedProcess[str]":
    """`./airflow-ml notebook` on this data; the arguments are Python's."""
    settings = {**os.environ, "ML_DATA": str(data), "ML_DS": ds}
    command = [str(ROOT / "airflow-ml"), "notebook", option, *arguments]
    return subprocess.run(command, env=settings, text=True, capture_output=True, timeout=PATIENCE_S, check=False)


def our_data(folder: Path) -> Data:
    """A folder as data that belongs to us."""
    return Data(str(folder), (f"--user={os.getuid()}:{os.getgid()}",))


def run_notebook(data: Path | str, *looks: tuple[dict[str, str], str], ds: str = "") -> list[dict[str, Any]]:
    """What the notebook showed in each look, and what the probe found in its kernel at the end; see execute.py."""
    done = notebook(data, "/project/tests/notebook/execute.py", *map(json.dumps, looks), ds=ds)
    assert done.returncode == 0, done.stderr
    return [dict(json.loads(line)) for line in done.stdout.splitlines()[-len(looks) :]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host folder with a day that a model has scored, and a newer one that has only just arrived."""
    folder = tmp_path_factory.mktemp("all") / "days"
    folder.mkdir()
    days = our_data(folder)
    days.make_model(SCORED, rows=6000)
    days.generate(NEWEST, "--rows=2000")
    days.score(SCORED, f"models/{SCORED}")
    return folder


@pytest.fixture
def volume() -> Iterator[str]:
    """A named volume with two days in it."""
    with data_volume("notebook") as one:
        one.generate(SCORED, "--rows=500")
        one.generate(NEWEST, "--rows=300")
        yield one.source
