"""Small disks in memory and a clock that jumps, so that a test fills no real disk and sets no real clock."""

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from airflow_ml.common import AirflowMlError

from tests.harness import ROOT, docker, images

# A disk: its volume, its size, the user that it belongs to.
Disk = tuple[str, str, int]


def make_disks(keeper: str, disks: Mapping[str, Disk]) -> None:
    """Make volumes of a fixed size, and a container that has each as /disks/NAME.

    A disk is there as long as a container has it, whatever is killed.
    """
    for volume, size, user in disks.values():
        options = ("type=tmpfs", "device=tmpfs", f"o=size={size},uid={user},gid={user},mode=0755")
        docker("volume", "create", "--driver=local", *(f"--opt={one}" for one in options), volume)
    mounts = [f"--volume={volume}:/disks/{name}:nocopy" for name, (volume, *_) in disks.items()]
    root = ("--user=0:0", "--network=none", "--entrypoint=python")
    sleep = "import time; time.sleep(10**6)"
    docker("run", "--detach", f"--name={keeper}", *mounts, *root, images()["base"], "-c", sleep)


def remove_disks(keeper: str, disks: Mapping[str, Disk]) -> None:
    """Remove what `make_disks` made, also what is left of a process that was killed."""
    docker("rm", "--force", keeper, check=False)
    for volume, *_ in disks.values():
        docker("volume", "rm", "--force", volume, check=False)


def build_clock(folder: Path) -> None:
    """Compile the library, and let its clock be that of the machine. Errors: AirflowMlError without a C compiler."""
    if not (compiler := shutil.which("cc")):
        raise AirflowMlError(
            "there is no C compiler `cc`", expected="one, for the clock that jumps", do="apt-get install gcc libc6-dev"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ahead").write_bytes(struct.pack("q", 0))
    options = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror")
    subprocess.run([compiler, *options, "-o", folder / "clock.so", ROOT / "tests" / "chaos" / "clock.c"], check=True)


def set_clock(folder: Path, ahead_s: int) -> None:
    """Let the clock be so many seconds ahead of that of the machine."""
    with (folder / "ahead").open("r+b") as file:
        file.write(struct.pack("q", ahead_s))
