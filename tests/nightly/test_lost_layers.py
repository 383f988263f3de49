"""An engine that was killed may keep a build cache whose layers it has lost: a build on it still succeeds."""

import json
import shutil
import subprocess
from pathlib import Path

from maintain.reproduce import engine_folder, engine_on, layers

from tests.image_tree import build_images, make_checkout

PREFIX = "ml-test-lost-"


def build(root: Path, host: str) -> str:
    done = build_images(root, PREFIX, DOCKER_HOST=host)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def test_build_succeeds_after_the_engine_lost_a_layer_of_its_cache(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "checkout")
    with engine_folder() as folder:
        with engine_on(folder) as host:
            build(root, host)
            base = json.loads((root / "dags/images.lock.json").read_text())["images"]["base"]["image"]
            (lost, *_) = layers(base, host)
            images = subprocess.run(
                ["docker", "--host", host, "image", "ls", "--quiet"], capture_output=True, text=True, check=True
            ).stdout.split()
            subprocess.run(
                ["docker", "--host", host, "image", "rm", "--force", *images], check=True, stdout=subprocess.DEVNULL
            )
        shutil.rmtree(folder / "data/image/overlay2/layerdb/sha256" / lost.removeprefix("sha256:"))
        with engine_on(folder) as host:
            assert "lost layers of its build cache: building again without it\n" in build(root, host)
            (root / "stages/one/one.py").write_text("changed\n")
            assert "lost layers" not in build(root, host)
