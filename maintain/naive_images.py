"""Builds what most people would write instead of our images, only to weigh it; the images are removed immediately.

For each stage and service: python:3.13-slim and `pip install` of the same lock. If a lock leaves packages out, pip
installs what requirements.in asks for. And one fat image with the libraries of all stages. See tests/benchmarks/naive.
"""

import hashlib
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_ml.common import ROOT, AirflowMlError, docker, try_docker
from airflow_ml.images.context import read_context, write_context
from airflow_ml.images.tags import FOUNDATIONS, image_folders

FOLDER = ROOT / "tests" / "benchmarks" / "naive"
PUBLISHED = "python:3.13-slim"
ALL_STAGES = "all stages"
# What wheels expect of the system and the published image does not have.
PACKAGES = {"explanation": "libgomp1", "training": "libgomp1", "tuning": "libgomp1"}
Naive = dict[str, Any]


def folders_of(name: str) -> list[Path]:
    """The folders whose locks a naive image installs."""
    if name == ALL_STAGES:
        return sorted(path.parent for path in ROOT.glob("stages/*/Dockerfile"))
    return [image_folders()[name]]


def naive_names() -> list[str]:
    """Every image that has a naive counterpart."""
    return [*sorted(name for name in image_folders() if name not in FOUNDATIONS), ALL_STAGES]


def fingerprint(name: str) -> str:
    """What an image's figure depends on and can change here: its locks."""
    locks = [folder / "requirements.txt" for folder in folders_of(name)]
    return hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]


def weigh(names: Sequence[str], base: str) -> Naive:
    """Build the naive images of these; returns the base that they stand on, and the bytes of each.

    Errors: AirflowMlError if the engine fails, or if an image cannot load its library.
    """
    prefix = f"naive-{secrets.token_hex(4)}"
    try:
        name, label = _base(base, prefix)
        sizes = {"base": _size(name)}
        for number, image in enumerate(names):
            print(f"==> {image}, the naive way", file=sys.stderr, flush=True)
            sizes[image] = _build(image, name, f"{prefix}-{number}")
        return {"base": label, "sizes": sizes, "locks": {image: fingerprint(image) for image in names}}
    finally:
        ours = docker("image", "ls", "--format={{.Repository}}", f"--filter=reference={prefix}-*").split()
        if ours:
            docker("image", "rm", "--force", *ours)


def _base(wanted: str, prefix: str) -> tuple[str, str]:
    """The image that naive images start from: the wanted one or, if it cannot be pulled, a stand-in."""
    if try_docker("image", "inspect", wanted).returncode == 0 or try_docker("pull", "--quiet", wanted).returncode == 0:
        return wanted, wanted
    if wanted != PUBLISHED:
        raise AirflowMlError(f"{wanted} is not on the engine and cannot be pulled", do="name another --naive-base")
    match = re.search(r"^ARG DEBIAN_IMAGE=(\S+)", (FOLDER / "debian.Dockerfile").read_text(), re.MULTILINE)
    assert match
    print(f"==> {wanted} cannot be pulled: {match[1]} with Python instead", file=sys.stderr, flush=True)
    name = f"{prefix}-base"
    docker("build", "--quiet", f"--tag={name}", f"--file={FOLDER / 'debian.Dockerfile'}", str(FOLDER))
    return name, f"{match[1]} with Debian's python3 and pip, standing in for {wanted}, which could not be pulled"


def _build(image: str, base: str, tag: str) -> int:
    with _context(image) as context:
        packages = " ".join(PACKAGES[folder.name] for folder in folders_of(image) if folder.name in PACKAGES)
        arguments = [f"--build-arg=NAIVE_BASE={base}", f"--build-arg=PACKAGES={packages}"]
        docker("build", "--quiet", f"--tag={tag}", *arguments, f"--file={FOLDER / 'Dockerfile'}", str(context))
    for folder in folders_of(image):
        match = re.search(r"""--loads (["'])(.*)\1""", (folder / "Dockerfile").read_text())
        assert match, f"{folder} does not say what it loads"
        done = try_docker("run", "--rm", "--network=none", tag, "python", "-c", match[2])
        if done.returncode:
            raise AirflowMlError(f"the naive image of {image} does not work: {match[2]} failed\n{done.stderr}")
    return _size(tag)


@contextmanager
def _context(image: str) -> Iterator[Path]:
    """A folder with the locks, and the code that our image has too."""
    with tempfile.TemporaryDirectory(prefix="naive-") as scratch:
        context = Path(scratch)
        (context / "locks").mkdir()
        write_context(read_context(ROOT / "base-image" / "stagekit"), context / "code" / "stagekit")
        for folder in folders_of(image):
            # pip takes no lock that leaves out what a package asks for: there, the names that were asked for.
            asked = folder / "requirements.in"
            file = asked if "\n# without: " in asked.read_text() else folder / "requirements.txt"
            shutil.copy(file, context / "locks" / f"{folder.name}.txt")
            code = [file for file in read_context(folder) if file.path not in ("Dockerfile", "requirements.txt")]
            write_context(code, context / "code" / folder.name)
        yield context


def _size(image: str) -> int:
    return int(docker("image", "inspect", "--format={{.Size}}", image))


def all_together(naive: Naive) -> int:
    """The bytes of all naive images without the fat one; they share the base and nothing else."""
    sizes, base = naive["sizes"], naive["sizes"]["base"]
    return int(base + sum(size - base for name, size in sizes.items() if name not in ("base", ALL_STAGES)))
