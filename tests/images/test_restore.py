"""A restore that fails before it has made anything, beside another installation that is stopped."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from airflow_ml.common import restore_marker
from airflow_ml.secret_files import write_secrets

from tests.harness import PATIENCE_S, ROOT, copy_tool, docker

# No file may get a byte, as on a disk that is full; pipes are not files.
FULL_DISK = ("bash", "-c", 'ulimit -f 0; exec "$@"', "bash")


@pytest.fixture
def theirs() -> Iterator[str]:
    """The volume that `.env.example` names, with the data of somebody else."""
    name = f"airflow-ml-test-{uuid4().hex[:12]}"
    docker("volume", "create", name)
    yield name
    docker("volume", "rm", "--force", name, check=False)


def test_restore_that_cannot_write_the_settings_removes_nothing_of_others(theirs: str, tmp_path: Path) -> None:
    """It once removed the default volume, although the backup names another one."""
    checkout, backup = tmp_path / "checkout", tmp_path / "backup"
    copy_tool(checkout)
    example = (ROOT / ".env.example").read_text().replace("ML_DATA=data\n", f"ML_DATA={theirs}\n")
    (checkout / ".env.example").write_text(example)
    backup.mkdir()
    (backup / "env").write_text(example.replace(theirs, f"{theirs}-of-the-backup"))
    (backup / "backup.json").write_text(json.dumps({"version": 1, "created": "2026-11-21T00:00:00Z", "files": {}}))
    before = sorted(checkout.iterdir())
    done = subprocess.run(
        [*FULL_DISK, checkout / "airflow-ml", "restore", backup],
        env={**os.environ, "COMPOSE_PROJECT_NAME": f"{theirs}-project", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert docker("volume", "ls", "--quiet", "--filter", f"name={theirs}").stdout.split() == [theirs]
    assert sorted(checkout.iterdir()) == before


@pytest.mark.parametrize("services", [(), ("mlflow",), ("scheduler",)])
def test_compose_by_hand_starts_nothing_until_a_restore_has_ended_well(
    services: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It started everything, and what the restore had not filled yet began empty."""
    project = f"airflow-ml-test-{uuid4().hex[:12]}"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", project)
    monkeypatch.setenv("ML_DATA", f"{project}-data")
    for name in ("docker-compose.yml", ".env"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "dags").mkdir()
    restore_marker(tmp_path).parent.mkdir()
    restore_marker(tmp_path).touch()
    write_secrets(tmp_path)
    compose = ("docker", "compose", "--project-directory", tmp_path)
    try:
        up = subprocess.run([*compose, "up", "--detach", *services], capture_output=True, text=True, check=False)
        running = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={project}").stdout.split()
    finally:
        subprocess.run([*compose, "down", "--volumes"], capture_output=True, check=False)
    assert (up.returncode, running) == (1, []), up.stderr
    assert f"{tmp_path}/.secrets/{project}/airflow.cfg" in up.stderr
    restore_marker(tmp_path).unlink()
    write_secrets(tmp_path)
    assert (tmp_path / ".secrets" / project / "airflow.cfg").exists()
