"""Commands in a checkout whose `.env` an earlier version wrote."""

import os
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.harness import PATIENCE_S, ROOT, copy_tool


def test_stack_is_stopped_although_a_setting_is_missing(tmp_path: Path) -> None:
    copy_tool(tmp_path)
    images = "".join(
        f"ML_{path.parent.name.upper().replace('-', '_')}_IMAGE=none:none\n"
        for path in ROOT.glob("services/*/Dockerfile")
    )
    (tmp_path / ".env").write_text(f"ML_ADMIN_PASSWORD=kept\n{images}")
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": f"airflow-ml-test-{uuid4().hex[:12]}"}
    done = subprocess.run(
        [tmp_path / "airflow-ml", "down"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / ".env").read_text().splitlines()
    assert lines[0] == "ML_ADMIN_PASSWORD=kept"
    assert "ML_STAGE_MEMORY=4g" in lines


@pytest.mark.parametrize("command", [["status"], ["logs", "scheduler"], ["doctor"]])
def test_setting_that_is_missing_is_named_by_what_shows_the_stack(tmp_path: Path, command: list[str]) -> None:
    """They said that nothing was started: as after `git pull`, and before `make up` adds what is new."""
    copy_tool(tmp_path)
    (tmp_path / ".env").write_text("ML_AIRFLOW_IMAGE=none:none\n")
    environment = {name: value for name, value in os.environ.items() if name != "COMPOSE_PROJECT_NAME"}
    done = subprocess.run(
        [tmp_path / "airflow-ml", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "required variable ML_" in done.stdout + done.stderr
    assert "do: make up" in done.stdout + done.stderr
    assert "nothing was started" not in done.stdout
