"""An image takes the files of its lock or none: other hashes, missing hashes and source archives stop its build."""

import hashlib
import io
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import docker
from tests.image_tree import ROOT, build_images, make_checkout
from tests.locks_checkout import make_wheel


class RealCheckout:
    """A checkout with the real base and one small real stage; its images have names of its own."""

    def __init__(self, root: Path) -> None:
        self.root = make_checkout(root)
        self.prefix = f"ml-test-{secrets.token_hex(4)}-"
        for folder in ("base-image", "stages", "services"):
            shutil.rmtree(self.root / folder)
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        for folder in ("base-image", "stages/generator"):
            shutil.copytree(ROOT / folder, self.root / folder, ignore=ignored)
        self.lock = self.root / "stages/generator/requirements.txt"

    def images(self) -> dict[str, str]:
        """What the engine has, by name."""
        listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={self.prefix}*")
        references = [line for line in listed.stdout.split() if not line.endswith(":latest")]
        return {line.removeprefix(self.prefix).partition(":")[0]: line for line in references}

    def remove(self) -> None:
        listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={self.prefix}*")
        if names := listed.stdout.split():
            docker("image", "rm", "--force", *names)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCheckout]:
    """With its base and builder; what a test builds beyond these is removed with them."""
    one = RealCheckout(tmp_path_factory.mktemp("real") / "checkout")
    try:
        done = build_images(one.root, one.prefix, "--stage", "base")
        assert done.returncode == 0, done.stderr
        yield one
    finally:
        one.remove()


def test_tampered_hash_stops_the_build_and_leaves_no_image(checkout: RealCheckout) -> None:
    good, image_lock = checkout.lock.read_text(), checkout.root / "dags/images.lock.json"
    before = (image_lock.read_bytes(), checkout.images())
    version = re.findall(r"^faker==(\S+)", good, re.MULTILINE)[0]
    checkout.lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", good))
    done = build_images(checkout.root, checkout.prefix, "--stage", "generator")
    assert done.returncode == 1
    assert "error: the image generator was not built" in done.stderr
    assert f"Hash mismatch for `faker=={version}`" in done.stderr
    assert f"sha256:{'0' * 64}" in done.stderr
    assert (image_lock.read_bytes(), checkout.images()) == before
    assert "generator" not in before[1]
    # It was the hash alone: with the lock as it is in the repository, the same checkout builds.
    checkout.lock.write_text(good)
    done = build_images(checkout.root, checkout.prefix, "--stage", "generator")
    assert done.returncode == 0, done.stderr
    assert "generator" in checkout.images()


def install(checkout: RealCheckout, index: Path, lock: str) -> str:
    """Install a lock as every Dockerfile does, from a folder; returns what the failure says."""
    (index / "requirements.txt").write_text(lock)
    done = docker(
        "run", "--rm", "--network=none", f"--volume={index}:/index:ro", "--env=UV_OFFLINE=1", "--env=UV_NO_CACHE=1",
        "--env=UV_FIND_LINKS=/index", checkout.images()["builder"],
        "python3", "/opt/build/layers.py", "wheels", "/index/requirements.txt", check=False,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_entry_without_hash_is_refused(checkout: RealCheckout, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "alpha", "1.0", [])
    assert install(checkout, tmp_path, f"alpha==1.0 --hash=sha256:{digest(wheel)}\n") == ""
    said = install(checkout, tmp_path, "alpha==1.0\n")
    assert "alpha==1.0" in said
    assert "hash" in said


def test_source_archive_is_refused(checkout: RealCheckout, tmp_path: Path) -> None:
    """Installing one would run its setup.py while the image is built."""
    path = tmp_path / "alpha-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (("setup.py", "raise SystemExit('it ran')\n"), ("PKG-INFO", "Name: alpha\nVersion: 1.0\n")):
            member = tarfile.TarInfo(f"alpha-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    said = install(checkout, tmp_path, f"alpha==1.0 --hash=sha256:{digest(path)}\n")
    assert "alpha==1.0 has no usable wheels" in said
    assert "it ran" not in said
