"""The builder image, which has Debian's whole Python and uv, runs what the images that ship have no modules for."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from airflow_ml.common import ROOT, AirflowMlError, inspect_images, locked_image

PYTHON = "/usr/bin/python3.13"


def builder_image() -> str:
    """The image that the base of the image lock was built with.

    Errors: AirflowMlError if the lock names no base, or the engine does not have the builder any more.
    """
    image = locked_image("base").replace("airflow-ml-base:", "airflow-ml-builder:")
    if not inspect_images([image]):
        raise AirflowMlError(f"the engine has no image {image}", do="./airflow-ml build --stage debug")
    return image


def ensure_packages(image: str, lock: Path, name: str) -> Path:
    """The packages of a lock in .cache/NAME, from which a container of the builder can load them.

    Installs them if they are not there, or not those of the lock.
    """
    folder = ROOT / ".cache" / name
    stamp, wanted = folder / ".stamp", hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    packages = lock.read_text(encoding="utf-8").count("==")
    text = f"{packages} packages of {lock.relative_to(ROOT)} into .cache/{name}; once, a minute or two"
    print(f"==> Installing {text}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install = ["pip", "install", "--quiet", "--no-cache", "--compile-bytecode", "--python", PYTHON, "--target"]
    install += ["/packages", "--require-hashes", "--only-binary", ":all:", "-r", "/requirements.txt"]
    mounts = [f"--volume={lock}:/requirements.txt:ro", f"--volume={folder}:/packages"]
    command = ["docker", "run", "--rm", *own_user(), *mounts, "--entrypoint=uv", image, *install]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        raise AirflowMlError(f"{lock.relative_to(ROOT)} could not be installed, see above")
    stamp.write_text(wanted)
    return folder


def own_user() -> list[str]:
    """The options that run a container as the user who started this program."""
    return [f"--user={os.getuid()}:{os.getgid()}", "--env=HOME=/tmp"]


def confined() -> list[str]:
    """The options of a container that may write to /tmp alone."""
    return [
        "--rm",
        "--init",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--tmpfs=/tmp:size=1g",
        *own_user(),
    ]


def become(*command: str) -> int:
    """Replace this program by another one: its signals and its exit code are those of the command."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(command[0], command)
