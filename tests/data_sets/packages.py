"""The files of packages from the package index: installed into .cache/data_sets by the lock beside this file."""

import fcntl
import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.harness import ROOT

LOCK = Path(__file__).with_name("requirements.txt")
FOLDER = ROOT / ".cache" / "data_sets"


@cache
def package_folder() -> Path:
    """The folder with the packages, without what their code needs."""
    FOLDER.parent.mkdir(exist_ok=True)
    stamp, wanted = FOLDER / ".stamp", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the tests may be about to install them too
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(FOLDER, ignore_errors=True)
            uv = [str(ROOT / ".venv/bin/uv"), "pip", "install", "--quiet", "--python", str(ROOT / ".venv/bin/python")]
            subprocess.run([*uv, "--target", FOLDER, "--no-deps", "--require-hashes", "-r", LOCK], check=True)
            stamp.write_text(wanted)
    return FOLDER


def package_file(path: str) -> Path:
    """A file of a package."""
    return package_folder() / path
