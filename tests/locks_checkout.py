"""A small checkout with locks of its own, and a package index in a folder: the real uv compiles it, offline."""

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from airflow_ml.lock import lock, read_locks

from tests.harness import ROOT

# What the index offers: the versions of each package, and what they need.
WHEELS = {
    "alpha": {"1.0": ["beta"], "1.1": ["beta"], "2.0": ["beta>=2", "delta"]},
    "beta": {"1.0": [], "1.1": [], "2.0": []},
    "gamma": {"1.0": ["beta<1.1"], "1.1": ["beta<2"]},
    "delta": {"1.0": []},
}
REQUIREMENTS = {"stages/one": "alpha<2\n", "stages/two": "# two names\ngamma\nbeta\n", "services/three": "delta\n"}


def make_wheel(index: Path, name: str, version: str, needs: list[str], tag: str = "py3-none-any") -> Path:
    """A wheel of a package with one module."""
    path, info = index / f"{name}-{version}-{tag}.whl", f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = f"{info}/RECORD"
    files[record] = "".join(f"{file},,\n" for file in (*files, record))
    index.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return path


class LocksCheckout:
    """requirements.in files, constraints, an index in a folder; or a copy of another one."""

    def __init__(self, root: Path, like: "LocksCheckout | None" = None) -> None:
        self.root, self.index = root / "checkout", root / "index"
        if like:
            shutil.copytree(like.root, self.root)
            shutil.copytree(like.index, self.index)
            return
        for name, versions in WHEELS.items():
            for version, needs in versions.items():
                make_wheel(self.index, name, version, needs)
        for folder, text in REQUIREMENTS.items():
            (self.root / folder).mkdir(parents=True)
            (self.root / folder / "requirements.in").write_text(text)
        (self.root / "maintain").mkdir()
        (self.root / "maintain/constraints.txt").write_text("# one version\nbeta==1.0\n")

    def compile(self, *packages: str, folders: Sequence[str] = ()) -> list[str]:
        """What changes, with the real uv."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UV_OFFLINE", "1")
            patch.setenv("UV_FIND_LINKS", str(self.index))
            return lock(self.root, packages, folders)

    def files(self) -> dict[str, str]:
        """Every file of the checkout, by its path."""
        paths = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_text() for path in paths}


def copy_of_locks(root: Path) -> Path:
    """The project's own locks, and what they are made of."""
    for name in read_locks(ROOT):
        (root / name).mkdir(parents=True, exist_ok=True)
        for file in ("requirements.in", "requirements.txt"):
            shutil.copy(ROOT / name / file, root / name)
    (root / "maintain").mkdir()
    shutil.copy(ROOT / "maintain/constraints.txt", root / "maintain")
    return root
