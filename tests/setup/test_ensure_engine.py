"""Where the set-up cannot go on, it says what is missing and what to do."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness import PATIENCE_S

ROOT = Path(__file__).parents[2]


def ensure_engine(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "setup" / "ensure_engine.sh"],
        env={**os.environ, **environment}, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
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
    assert "Install Docker Engine 25 or newer with buildx and Compose v2" in done.stderr


@pytest.mark.parametrize(
    ("version", "code"), [("v0.12.1 30feaa1a", 1), ("0.13.1+ds1 0.13.1+ds1-3", 0), ("v0.9.0 x", 1), ("v0.30.2 x", 0)]
)
def test_buildx_that_cannot_report_its_progress_is_refused(tmp_path: Path, version: str, code: int) -> None:
    answer = f"case \"$*\" in 'buildx version') echo 'docker/buildx {version}' ;; *) echo 26.1 ;; esac"
    (tmp_path / "docker").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "docker").chmod(0o755)
    done = ensure_engine(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == code, done.stderr
    assert ("is too old, 0.13 or newer is needed" in done.stderr) == (code == 1)
