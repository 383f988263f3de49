"""Where the set-up cannot go on, it says what is missing and what to do."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def ensure_engine(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "setup" / "ensure_engine.sh"],
        env={**os.environ, **environment}, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_engine_that_was_named_but_does_not_answer_is_not_replaced() -> None:
    done = ensure_engine(DOCKER_HOST="tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert "no Docker engine answers at DOCKER_HOST=tcp://127.0.0.1:1" in done.stderr
    assert "Start it, or unset DOCKER_HOST" in done.stderr


def test_machine_where_nothing_can_be_installed_gets_one_clear_message(tmp_path: Path) -> None:
    """A PATH with the shell's own tools, but without docker, apt-get and sudo; and a user who is not root."""
    for name in ("bash", "dirname", "sed", "tail"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else f"/bin/{name}")
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = ensure_engine(PATH=str(tmp_path), DOCKER_HOST="")
    assert done.returncode == 1
    assert "no Docker engine answers, and installing one needs root rights" in done.stderr
    assert "Install Docker Engine 24 or newer with buildx and Compose v2" in done.stderr
