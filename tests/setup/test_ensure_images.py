"""Where no registry answers, the stand-in of Postgres has the version that the name of the image says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import PATIENCE_S

ROOT = Path(__file__).parents[2]
# An engine that has only Debian, and reaches no registry.
DOCKER = """#!/bin/sh
case "$1 $2 $3" in
  "image inspect debian:"*) exit 0 ;;
  "image inspect --format") echo postgres-2 ;;
  "build "*) echo "build $*" >&2 ;;
  *) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        ("postgres:18.1-trixie", 0, "MAJOR=18 --tag postgres:18.1-trixie"),
        ("postgres:trixie", 1, "its name does not say of which version its stand-in has to be"),
    ],
)
def test_standin_of_postgres_has_the_version_of_its_name(tmp_path: Path, image: str, code: int, words: str) -> None:
    """A name without a number once ended the script without a message."""
    shutil.copytree(ROOT / "setup", tmp_path / "setup")
    (tmp_path / "base-image").mkdir()
    (tmp_path / "base-image" / "Dockerfile").write_text("ARG DEBIAN_IMAGE=debian:trixie-slim\n")
    (tmp_path / "docker-compose.yml").write_text(f"services:\n  postgres:\n    image: {image}\n")
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "setup" / "ensure_images.sh"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, text=True, capture_output=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert words in done.stderr
