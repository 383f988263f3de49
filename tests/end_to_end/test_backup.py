"""A backup taken while the stack works is restored beside it; both score another day, with the same bytes."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_ml.airflow_api import Airflow

from tests.harness import ROOT, Data, Finished, docker

from .conftest import (
    COMMAND_TIMEOUT_S,
    DAY,
    PORT,
    PROJECT,
    RUN_TIMEOUT_S,
    SMALL,
    Mlflow,
    Results,
    Stack,
    compose_stack,
    data,
)

# Older than every day that other tests look at.
ANOTHER = "2026-01-05"
OTHER = f"{PROJECT}-other"
OTHER_DATA = Data(f"{OTHER}-data")
PORTS = {f"ML_{name}_PORT": str(PORT + 100 + number) for number, name in enumerate(("AIRFLOW", "MLFLOW", "REPORTS"))}
ELSEWHERE = {**os.environ, "COMPOSE_PROJECT_NAME": OTHER, "ML_DATA": OTHER_DATA.source, **PORTS}


def tool(*arguments: "str | Path", elsewhere: bool = False, checkout: Path = ROOT) -> Finished:
    command = [checkout / "airflow-ml", *arguments]
    environment = ELSEWHERE if elsewhere else os.environ
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )


@pytest.fixture(scope="module")
def backup(stack: Stack, day: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Taken while a Dag publishes another day."""
    folder = tmp_path_factory.mktemp("backups") / "now"
    run = stack.airflow.trigger("generate_data", {"ds": ANOTHER, **SMALL})
    done = tool("backup", folder)
    assert done.returncode == 0, done.stderr
    assert f"restore it with: ./airflow-ml restore {folder}" in done.stdout
    assert stack.airflow.wait("generate_data", run, RUN_TIMEOUT_S) == "success"
    return folder


@pytest.fixture(scope="module")
def other(backup: Path) -> Iterator[Airflow]:
    """The Airflow of the restored stack."""
    try:
        done = tool("restore", backup, elsewhere=True)
        assert done.returncode == 0, done.stderr
        yield Airflow(f"http://localhost:{PORTS['ML_AIRFLOW_PORT']}", compose_stack.settings()["ML_ADMIN_PASSWORD"])
    finally:
        down = ["docker", "compose", "down", "--volumes", "--remove-orphans"]
        subprocess.run(down, cwd=ROOT, env=ELSEWHERE, capture_output=True, check=False)
        subprocess.run(["docker", "volume", "rm", "--force", OTHER_DATA.source], capture_output=True, check=False)


def things_of_the_other_stack() -> list[str]:
    """Every container, volume and network of the stack beside ours."""
    kinds = (
        ("ps", "--all", "--format={{.Names}}"),
        ("volume", "ls", "--quiet"),
        ("network", "ls", "--format={{.Name}}"),
    )
    names = [name for kind in kinds for name in docker(*kind).stdout.split()]
    return sorted(name for name in names if name.startswith(OTHER))


def test_restore_that_fails_half_way_leaves_what_was_there_before(backup: Path, tmp_path: Path) -> None:
    """The files are in their volumes and Postgres runs when the last database turns out to be damaged.

    Comes before the restore that the next tests look at, which then shows that the way is free again.
    """
    damaged, checkout = tmp_path / "damaged", tmp_path / "checkout"
    shutil.copytree(backup, damaged)
    (damaged / "mlflow.dump").write_bytes(b"damaged")
    index = json.loads((damaged / "backup.json").read_text())
    index["files"]["mlflow.dump"]["sha256"] = hashlib.sha256(b"damaged").hexdigest()
    (damaged / "backup.json").write_text(json.dumps(index))
    # A checkout without an `.env`, which takes that of the backup.
    left = shutil.ignore_patterns(".git", ".venv", ".cache", ".env", ".secrets", "backups", "pictures")
    shutil.copytree(ROOT, checkout, ignore=left)
    assert things_of_the_other_stack() == []
    done = tool("restore", damaged, elsewhere=True, checkout=checkout)
    assert done.returncode == 1
    assert "  database mlflow" in done.stderr
    assert "input file does not appear to be a valid archive" in done.stderr
    assert "do: restore another backup; what this one has made is removed" in done.stderr
    assert things_of_the_other_stack() == []
    assert not (checkout / ".env").exists()


def test_restored_stack_has_the_runs_the_files_and_the_champion(other: Airflow) -> None:
    assert other.request("GET", "/dags/train_model/dagRuns?limit=100")["total_entries"] >= 1
    ours = {path: sha for path, sha in data.files().items() if DAY in path}
    theirs = OTHER_DATA.files()
    assert ours
    assert {path: theirs.get(path) for path in ours} == ours
    there, here = Mlflow(f"http://localhost:{PORTS['ML_MLFLOW_PORT']}"), Mlflow(compose_stack.pages()["mlflow"])
    assert there.champion() == here.champion() is not None
    assert there.events() == here.events()


def test_restored_stack_gives_another_day_the_same_bytes(stack: Stack, other: Airflow) -> None:
    """The day that was being published is published by a run here, if the backup came first; then both score it."""
    run = other.trigger("generate_data", {"ds": ANOTHER, **SMALL})
    assert other.wait("generate_data", run, RUN_TIMEOUT_S) == "success"
    run = other.trigger("predict", {"ds": ANOTHER})
    stack.run("predict", {"ds": ANOTHER})
    assert other.wait("predict", run, RUN_TIMEOUT_S) == "success"
    path = f"predictions/{ANOTHER}/predictions.csv"
    assert OTHER_DATA.hash(path) == data.hash(path)


def test_restore_overwrites_nothing(backup: Path, stack: Stack) -> None:
    done = tool("restore", backup)
    assert done.returncode == 1
    assert (
        f"error: this installation is not empty, it has {PROJECT}-data, {PROJECT}_mlflow, {PROJECT}_postgres"
        in done.stderr
    )


def test_refused_restore_leaves_nothing_behind(backup: Path, stack: Stack, tmp_path: Path) -> None:
    """The settings of the backup once stayed as `.env` on a machine that had none."""
    for part in ("airflow-ml", "airflow_ml", "setup", ".env.example"):
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, tmp_path / part)
    before = sorted(tmp_path.iterdir())
    command = [tmp_path / "airflow-ml", "restore", backup]
    done = subprocess.run(
        command, env=os.environ, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    assert done.returncode == 1
    assert "error: this installation is not empty" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_damaged_backup_is_refused_before_anything_is_made(backup: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(backup, damaged)
    (damaged / "mlflow.dump").write_bytes(b"damaged")
    done = tool("restore", damaged, elsewhere=True)
    assert done.returncode == 1
    assert f"error: {damaged}/mlflow.dump has other bytes than its index says" in done.stderr
    (damaged / "mlflow.dump").unlink()
    assert "mlflow.dump is missing" in tool("restore", damaged, elsewhere=True).stderr


def test_backup_is_for_its_owner_alone_and_names_what_it_holds(backup: Path) -> None:
    assert backup.stat().st_mode & 0o77 == 0
    index = json.loads((backup / "backup.json").read_text())
    assert sorted(index["files"]) == ["airflow.dump", "data.tar.gz", "env", "mlflow.dump", "mlflow.tar.gz"]
    assert index["torn"] == []
    assert tool("backup", backup).returncode == 2
