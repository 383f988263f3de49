"""`clean` in a small checkout, in which something cannot be removed: it says so, and keeps what the next try needs."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.harness import PATIENCE_S, ROOT, copy_tool, docker, images


@dataclass
class Small:
    """A checkout with settings, secrets and a lock, and without a stack; its volume of data has its name."""

    root: Path
    name: str

    def clean(self) -> "subprocess.CompletedProcess[str]":
        """Run `clean` for a project and for images of our own."""
        return subprocess.run(
            [self.root / "airflow-ml", "clean"],
            env={**os.environ, "COMPOSE_PROJECT_NAME": self.name, "ML_IMAGE_PREFIX": f"{self.name}-"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def kept(self) -> list[bool]:
        """Whether the secrets, the lock and the volume are there."""
        volume = docker("volume", "ls", "--quiet", "--filter", f"name={self.name}").stdout.split()
        files = (self.root / ".secrets" / self.name, self.root / "dags" / "images.lock.json")
        return [*(file.exists() for file in files), volume == [self.name]]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    one = Small(tmp_path, f"airflow-ml-test-{uuid4().hex[:12]}")
    copy_tool(tmp_path)
    services = [path.parent.name for path in ROOT.glob("services/*/Dockerfile")]
    lines = [f"ML_{name.upper().replace('-', '_')}_IMAGE=none:none\n" for name in services]
    (tmp_path / ".env").write_text(f"ML_DATA={one.name}\n{''.join(lines)}")
    (tmp_path / ".secrets" / one.name).mkdir(parents=True)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "images.lock.json").write_text("{}")
    docker("volume", "create", one.name)
    yield one
    docker("volume", "rm", "--force", one.name, check=False)


def test_volume_in_use_is_named_and_nothing_is_removed(small: Small) -> None:
    """It once printed that the stack was removed, with exit code 0."""
    container = docker("create", f"--name={small.name}-user", f"--volume={small.name}:/data", images()["base"])
    try:
        done = small.clean()
        assert done.returncode == 1
        assert f"error: the volume {small.name} is in use, by {small.name}-user; nothing is removed" in done.stderr
        assert f"do: docker rm --force {small.name}-user, if nobody needs" in done.stderr
        assert small.kept() == [True, True, True]
    finally:
        docker("rm", "--force", container.stdout.strip())
    done = small.clean()
    assert (done.returncode, "removed the stack and 0 images" in done.stderr) == (0, True), done.stderr
    assert small.kept() == [False, False, False]


def test_network_in_use_is_named_and_secrets_and_lock_stay(small: Small) -> None:
    """Compose leaves it, and reports success."""
    network, container = f"{small.name}_mlflow", f"{small.name}-user"
    labels = [f"--label=com.docker.compose.{name}" for name in (f"project={small.name}", "network=mlflow")]
    docker("network", "create", *labels, network)
    sleep = ("--entrypoint=python", images()["base"], "-c", "import time; time.sleep(600)")
    docker("run", "--detach", f"--name={container}", f"--network={network}", *sleep)
    try:
        done = small.clean()
        assert done.returncode == 1
        assert "error: docker network rm failed: " in done.stderr
        assert re.search(rf"network {network} .*has active endpoints", done.stderr)
        assert "removed the stack" not in done.stderr
        assert small.kept()[:2] == [True, True]
    finally:
        docker("rm", "--force", container)
        docker("network", "rm", network, check=False)


def test_failure_of_compose_is_shown_and_nothing_is_removed(small: Small) -> None:
    with (small.root / ".env").open("a") as file:
        file.write("no setting=1\n")
    done = small.clean()
    assert done.returncode == 1
    assert "error: docker compose stop failed: " in done.stderr
    assert "key cannot contain a space" in done.stderr
    assert "removed the stack" not in done.stderr
    assert small.kept() == [True, True, True]
