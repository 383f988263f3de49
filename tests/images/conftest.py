"""The images under test: every one that the image lock names, run on the real engine."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# As the Dags start every stage.
CONFINED = [
    "--rm",
    "--read-only",
    "--network=none",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp",
]


def images() -> dict[str, str]:
    """Image references by name; empty where nothing has been built (the tests then fail, they do not skip)."""
    lock = ROOT / "dags" / "images.lock.json"
    if not lock.exists():
        raise pytest.UsageError("dags/images.lock.json is missing: run ./build_images.sh first")
    return {name: entry["image"] for name, entry in json.loads(lock.read_text())["images"].items()}


def docker(*arguments: str, check: bool = True, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
    """Run a docker command; with `check`, a failure shows what it printed."""
    done = subprocess.run(["docker", *arguments], text=True, capture_output=True, timeout=timeout, check=False)
    if check:
        assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done


def python(image: str, code: str, *options: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run Python code inside an image, confined as a stage is."""
    return docker("run", *CONFINED, *options, "--entrypoint=python", image, "-c", code, check=check)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`image` runs a test once for every image, `stage` once for every stage."""
    if "image" in metafunc.fixturenames:
        found = images()
        metafunc.parametrize("image", list(found.values()), ids=list(found))
    if "stage" in metafunc.fixturenames:
        metafunc.parametrize("stage", sorted(p.parent.name for p in ROOT.glob("stages/*/Dockerfile")))
