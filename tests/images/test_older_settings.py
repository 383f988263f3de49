"""Commands in a checkout whose `.env` an earlier version wrote."""

import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

from tests.harness import PATIENCE_S, ROOT


def test_stack_is_stopped_although_a_setting_is_missing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "airflow_ml", tmp_path / "airflow_ml", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("airflow-ml", ".env.example", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "setup", tmp_path / "setup")
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
