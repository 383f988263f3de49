"""Two hosts that share nothing but a file system: two containers, each with its own mount of one JuiceFS volume.

JuiceFS keeps names and locks in a Postgres container and blocks in a Docker volume. A host that is killed takes its
mount and its processes with it.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.harness import PATIENCE_S, ROOT, Finished, docker, images

JUICEFS = ROOT / ".venv/bin/juicefs"
POSTGRES = re.findall(r"image: (postgres:\S+)", (ROOT / "docker-compose.yml").read_text())[0]
META = "postgres://postgres:lab@meta:5432/postgres?sslmode=disable"
NO_CACHE = ("--attr-cache", "0", "--entry-cache", "0", "--dir-entry-cache", "0")
# The lab's database may lose its last transactions: the power does not fail here.
FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off")
# Nobody else needs the rights to mount; a stage sees a mounted folder only.
MAY_MOUNT = ("--user=0", "--device=/dev/fuse", "--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined")


@dataclass
class Host:
    """A host: a container that mounts the volume at /data. Code runs in it with the base image's stagekit."""

    lab: "Lab"
    name: str
    options: tuple[str, ...] = NO_CACHE

    def start(self) -> None:
        """Start the host, and wait for its mount; JuiceFS gives up after ten seconds, which a busy machine may need."""
        mount = ["mount", "--no-usage-report", "--no-syslog", "--heartbeat=2s", "--cache-dir=/tmp/cache", *self.options]
        docker("run", "--detach", "--restart=on-failure", f"--name={self.container}", *self.lab.options(),
               images()["base"], "-c", "import os, sys; os.makedirs('/data', exist_ok=True); "
               "os.execv('/juicefs', ['/juicefs', *sys.argv[1:]])", *mount, META, "/data")  # fmt: skip
        end = time.monotonic() + PATIENCE_S
        while self.python("import os; print(os.path.ismount('/data'))", check=False).stdout != "True\n":
            logs = docker("logs", self.container, check=False)
            assert time.monotonic() < end, f"{logs.stdout}{logs.stderr}"
            time.sleep(0.2)

    @property
    def container(self) -> str:
        return f"{self.lab.name}-{self.name}"

    def kill(self) -> None:
        """End everything on the host at once, as a power cut does."""
        docker("rm", "--force", self.container)

    def command(self, code: str, *arguments: str) -> list[str]:
        return ["docker", "exec", self.container, "python", "-c", code, *arguments]

    def python(self, code: str, *arguments: str, check: bool = True) -> Finished:
        """Run code to its end."""
        return docker(*self.command(code, *arguments)[1:], check=check)

    def begin(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        """Start code that goes on."""
        command = self.command(code, *arguments)
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def check_storage(self, *arguments: str) -> list[str]:
        return ["docker", "exec", self.container, "python", "-m", "stagekit.check_storage", *arguments]


@dataclass
class Lab:
    """What the hosts share."""

    name: str

    def options(self) -> list[str]:
        return [
            *MAY_MOUNT,
            f"--network={self.name}",
            f"--volume={JUICEFS}:/juicefs:ro",
            f"--volume={self.name}:/blocks",
        ]

    def juicefs(self, *arguments: str, check: bool = True) -> Finished:
        run = ["run", "--rm", *self.options(), "--entrypoint=/juicefs", images()["base"]]
        return docker(*run, *arguments, check=check)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The database, the blocks and a formatted volume."""
    made = Lab(f"shared-{uuid4().hex[:8]}")
    docker("network", "create", "--internal", made.name)
    docker("run", "--detach", f"--name={made.name}-meta", f"--network={made.name}", "--network-alias=meta",
           "--env=POSTGRES_PASSWORD=lab", POSTGRES, "postgres", *FAST)  # fmt: skip
    try:
        formatting = ["format", "--no-update", "--storage=file", "--bucket=/blocks/", "--trash-days=0", META, "lab"]
        end = time.monotonic() + PATIENCE_S
        while (done := made.juicefs(*formatting, check=False)).returncode:
            assert time.monotonic() < end, done.stderr
            time.sleep(1)
        yield made
    finally:
        docker("rm", "--force", "--volumes", f"{made.name}-meta", check=False)
        docker("network", "rm", made.name, check=False)
        docker("volume", "rm", "--force", made.name, check=False)


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Iterator[tuple[Host, Host]]:
    """Two hosts that are up."""
    pair = (Host(lab, "a"), Host(lab, "b"))
    try:
        for host in pair:
            host.start()
        yield pair
    finally:
        for host in pair:
            docker("rm", "--force", host.container, check=False)
