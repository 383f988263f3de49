"""A small checkout of our shape: a base, two stages, a service; its images hold no program and build fast."""

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from tests.harness import PATIENCE_S, copy_tool

ROOT = Path(__file__).parents[1]
BASE = """\
FROM scratch AS builder
COPY tool /tool
FROM scratch AS base
COPY big /big
WORKDIR /work
"""
LEAF = """\
ARG BUILDER=airflow-ml-builder
ARG BASE=airflow-ml-base
FROM ${BUILDER} AS builder
FROM ${BASE}
COPY --from=builder /tool /tool
COPY . /all/
CMD ["/all/run"]
ARG ML_IMAGE
ENV ML_IMAGE=${ML_IMAGE}
"""
LEAVES = {"one": "stages/one", "two": "stages/two", "three": "services/three"}
BIG = 1_000_000


def make_tree(root: Path) -> Path:
    """The folders of the images only: what tags are made of."""
    for folder in ("base-image", *LEAVES.values()):
        (root / folder).mkdir(parents=True)
    (root / "base-image/Dockerfile").write_text(BASE)
    (root / "base-image/tool").write_text("tool\n")
    (root / "base-image/big").write_bytes(bytes(BIG))
    for name, folder in LEAVES.items():
        (root / folder / "Dockerfile").write_text(LEAF)
        (root / folder / "requirements.txt").write_text("a==1\n")
        (root / folder / f"{name}.py").write_text(f"print('{name}', 1)\n")
    return root


def make_checkout(root: Path) -> Path:
    """The folders, and the host tool: `build_images.sh` runs there as it runs here."""
    make_tree(root)
    # Tests run side by side: an engine that removes an image while it writes the same bytes again may lose them.
    for name in ("tool", "big"):
        with (root / "base-image" / name).open("r+b") as file:
            file.write(secrets.token_hex(2).encode())
    (root / "dags").mkdir()
    copy_tool(root)
    shutil.copy(ROOT / "build_images.sh", root)
    (root / "docker-compose.three.yml").write_text("services: {three: {image: '${ML_THREE_IMAGE}'}}\n")
    return root


def build_images(root: Path, prefix: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a checkout's `build_images.sh`, under names that nobody else uses."""
    environment = {**os.environ, "ML_IMAGE_PREFIX": prefix, **more}
    command = [str(root / "build_images.sh"), *arguments]
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=PATIENCE_S, check=False)
