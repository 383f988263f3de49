"""The notebook under test: run for real, on days that the stages' own images made, as ./airflow-ml notebook runs it."""

import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCORED, NEWEST = "2026-11-20", "2026-11-21"
VOLUME = f"airflow-ml-test-notebook-{os.getpid()}"


def stage(data: Path | str, name: str, *arguments: str) -> None:
    """Run a stage on a folder, which belongs to us, or on a volume, which belongs to the images' user."""
    lock = json.loads((ROOT / "dags" / "images.lock.json").read_text())
    user = ["--user", f"{os.getuid()}:{os.getgid()}"] if isinstance(data, Path) else []
    command = ["docker", "run", "--rm", "--network=none", *user, f"--volume={data}:/data"]
    done = subprocess.run(
        [*command, lock["images"][name]["image"], *arguments], text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def notebook(data: Path | str, *arguments: str, ds: str = "", option: str = "--") -> "subprocess.CompletedProcess[str]":
    """`./airflow-ml notebook` on this data; the arguments are Python's."""
    settings = {**os.environ, "ML_DATA": str(data), "ML_DS": ds}
    command = [str(ROOT / "airflow-ml"), "notebook", option, *arguments]
    return subprocess.run(command, env=settings, text=True, capture_output=True, timeout=300, check=False)


@cache
def run_notebook(data: Path | str, probe: str = "None", ds: str = "") -> dict[str, Any]:
    """What the notebook showed, and what a probe found in its kernel at the end; see execute.py."""
    done = notebook(data, "/project/tests/notebook/execute.py", probe, ds=ds)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host folder with a day that a model has scored, and a newer one that has only just arrived."""
    folder = tmp_path_factory.mktemp("data")
    stage(folder, "generator", "--ds", SCORED, "--rows", "6000")
    stage(folder, "generator", "--ds", NEWEST, "--rows", "2000")
    for name, *arguments in (
        ("preprocessing", "prepare"),
        ("preprocessing", "split"),
        ("training",),
        ("prediction", "validate"),
        ("preprocessing", "prepare", "--model", f"models/{SCORED}"),
        ("prediction", "predict", "--model", f"models/{SCORED}"),
    ):
        stage(folder, name, *arguments, "--ds", SCORED)
    return folder


@pytest.fixture
def volume() -> Iterator[str]:
    """A named volume with a day in it."""
    try:
        stage(VOLUME, "generator", "--ds", NEWEST, "--rows", "500")
        yield VOLUME
    finally:
        subprocess.run(["docker", "volume", "rm", "--force", VOLUME], capture_output=True, check=False)
