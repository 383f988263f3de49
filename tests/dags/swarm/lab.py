"""A swarm of three hosts on this machine: each has a network namespace, an engine, and its own mount of one JuiceFS.

The hosts are joined by a bridge in a fourth namespace, where an image registry listens too. Nothing of it is on this
machine's network. Needs root rights on Linux, as `make reproduce` does.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from airflow_ml import nodes
from airflow_ml.data import Data

from tests.harness import PATIENCE_S, ROOT, docker, images

JUICEFS = ROOT / ".venv/bin/juicefs"
NO_CACHE = ("--attr-cache", "0", "--entry-cache", "0", "--dir-entry-cache", "0")
NODES = 3
NET = "10.77.0"
# The engine's name of the network that the probes may join.
NETWORK = "probes_mlflow"
PROXY_USER = 10001
REGISTRY = f"{NET}.1:5000"
# The manager takes a node for lost after three heartbeats that did not come; the default is 5 s.
HEARTBEAT = "1s"
REGISTRY_CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{address}"}}
"""
# In the host's own mount namespace: JuiceFS at the path that all hosts have, then the engine.
START = """
hostname "$1"
"$2" mount --background --no-usage-report --no-syslog --heartbeat=2s --log="$5/juicefs.log" --cache-dir="$5/cache" \
  {no_cache} "$3" "$4"
shift 5
exec "$@"
"""


def call(*command: str | Path, check: bool = True) -> str:
    """What a command printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert not (check and done.returncode), f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout.strip()


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@dataclass
class Node:
    """A host: its number from 1, and what is its own."""

    lab: "Lab"
    number: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def namespace(self) -> str:
        return f"{self.lab.name}n{self.number}"

    @property
    def folder(self) -> Path:
        return self.lab.folder / self.name

    @property
    def address(self) -> str:
        return f"{NET}.1{self.number}"

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/engine.sock"

    @property
    def root(self) -> Path:
        """The host's files, as its own processes see them."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root")

    def docker(self, *arguments: str | Path, check: bool = True) -> str:
        return call("docker", "--host", self.host, *arguments, check=check)

    def connect(self) -> None:
        """Give the host its place in the network."""
        link = f"{self.lab.name}l{self.number}"
        call("ip", "netns", "add", self.namespace)
        call("ip", "-n", self.lab.switch, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns",
             self.namespace)  # fmt: skip
        call("ip", "-n", self.lab.switch, "link", "set", link, "master", "br0", "up")
        call("ip", "-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            call("ip", "-n", self.namespace, "link", "set", device, "up")

    def set_link(self, state: str) -> None:
        """Cut the host off (`down`), or connect it again (`up`): it works on meanwhile."""
        call("ip", "-n", self.lab.switch, "link", "set", f"{self.lab.name}l{self.number}", state)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        # --containerd-*: an engine of this machine may use the same containerd.
        engine = ["dockerd", f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec",
                  f"--pidfile={self.folder}/pid", f"--host={self.host}", f"--bip=172.30.{self.number}.1/24",
                  f"--default-address-pool=base=10.20{self.number}.0.0/16,size=24",
                  f"--insecure-registry={REGISTRY}", f"--containerd-namespace={self.namespace}",
                  f"--containerd-plugins-namespace={self.namespace}p"]  # fmt: skip
        code = START.format(no_cache=" ".join(NO_CACHE))
        inside = ["sh", "-ec", code, "sh", self.name, JUICEFS, self.lab.meta, self.lab.data, self.folder, *engine]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--uts", "--mount", *inside],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def await_start(self) -> None:
        assert self.process is not None
        running = self.process

        def answers() -> bool:
            assert running.poll() is None, (self.folder / "log").read_text()[-2000:]
            return not call("docker", "--host", self.host, "version", "--format", "ok", check=False).rpartition("ok")[2]

        wait_until(answers, f"{self.name} does not answer: {(self.folder / 'log').read_text()[-2000:]}")

    def restart(self) -> None:
        """As `systemctl restart docker`: the engine stops its containers, and starts those again that are services."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=PATIENCE_S)
        self.start()
        self.await_start()

    def kill(self) -> None:
        """End everything on the host immediately, as a power cut does."""
        ids = self.docker("ps", "--quiet").split()
        pids = [int(self.docker("inspect", "--format", "{{.State.Pid}}", one)) for one in ids]
        for process in [*self._processes(), *pids]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(timeout=PATIENCE_S)

    def _processes(self) -> list[int]:
        """Engine, containerd, its shims and the mount: all of them name the host's folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if f"{self.folder}/".encode() in path.read_bytes() + b"/":
                    found.append(int(path.parent.name))
        return found

    def ask_to_stop(self) -> None:
        """Ask the engine to end, once its containers are gone."""
        if self.process is not None and self.process.poll() is None:
            if ids := self.docker("ps", "--all", "--quiet", check=False).split():
                self.docker("rm", "--force", *ids, check=False)
            self.process.terminate()

    def stop(self) -> None:
        """End the host, and what is left on it."""
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=60)
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@dataclass
class Lab:
    """The three hosts, the registry, and what they share."""

    folder: Path
    name: str = field(default_factory=lambda: f"ml{uuid4().hex[:5]}")
    nodes: list[Node] = field(default_factory=list)
    registry: "subprocess.Popen[bytes] | None" = None
    images: dict[str, dict[str, str]] = field(default_factory=dict)
    proxy_container: str = ""

    def __post_init__(self) -> None:
        self.nodes = [Node(self, number) for number in range(1, NODES + 1)]

    @property
    def switch(self) -> str:
        return f"{self.name}sw"

    @property
    def data(self) -> Path:
        """Where every host mounts the shared file system; on this machine the folder is empty."""
        return self.folder / "shared"

    @property
    def meta(self) -> str:
        return f"sqlite3://{self.folder}/meta.db"

    @property
    def manager(self) -> Node:
        return self.nodes[0]

    def start(self) -> None:
        self.data.mkdir()
        self.lock.parent.mkdir()
        call("ip", "netns", "add", self.switch)
        call("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        call("ip", "-n", self.switch, "address", "add", f"{NET}.1/24", "dev", "br0")
        for device in ("lo", "br0"):
            call("ip", "-n", self.switch, "link", "set", device, "up")
        self._start_registry()
        call(JUICEFS, "format", "--no-update", "--storage=file", f"--bucket={self.folder}/blocks/", "--trash-days=0",
             self.meta, "lab")  # fmt: skip
        for node in self.nodes:
            node.connect()
            node.start()
        for node in self.nodes:
            node.await_start()
        self._join()
        self._start_proxy()

    def _start_registry(self) -> None:
        program = call(ROOT / "setup/ensure_image_registry.sh").splitlines()[-1]
        config = self.folder / "registry.yml"
        config.write_text(REGISTRY_CONFIG.format(folder=self.folder / "registry", address=REGISTRY))
        with (self.folder / "registry.log").open("a") as log:
            self.registry = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.switch}", program, "serve", config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _join(self) -> None:
        manager, *workers = self.nodes
        manager.docker("swarm", "init", "--advertise-addr", manager.address, "--listen-addr",
                       f"{manager.address}:2377", "--dispatcher-heartbeat", HEARTBEAT)  # fmt: skip
        token = manager.docker("swarm", "join-token", "--quiet", "worker")
        for node in workers:
            # The command waits 20 s; what a busy machine has not done then goes on.
            join = ("swarm", "join", "--token", token, "--advertise-addr", node.address, f"{manager.address}:2377")
            said = node.docker(*join, check=False)
            assert "This node joined a swarm" in said or "continue in the background" in said, said
        wait_until(lambda: self.states() == ["Ready"] * NODES, "three ready nodes")

    def states(self) -> list[str]:
        return self.manager.docker("node", "ls", "--format", "{{.Status}}").split()

    def push(self, images: Mapping[str, str]) -> None:
        """Put images of this machine's engine into the registry, and into the image lock under their stages' names.

        As files: an engine that pushes compresses each layer, which takes longer than a day of the pipeline.
        """
        saved = self.folder / "saved"
        saved.mkdir()
        save = subprocess.Popen(["docker", "save", *images.values()], stdout=subprocess.PIPE)
        subprocess.run(["tar", "--extract", f"--directory={saved}"], stdin=save.stdout, check=True)
        assert save.wait() == 0
        content = self.folder / "registry/docker/registry/v2"
        blobs = [path.name for path in (saved / "blobs/sha256").iterdir()]
        for blob in blobs:
            place = content / "blobs/sha256" / blob[:2] / blob / "data"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(saved / "blobs/sha256" / blob, place)
        digests = {
            manifest["annotations"]["io.containerd.image.name"].removeprefix("docker.io/library/"): manifest["digest"]
            for manifest in json.loads((saved / "index.json").read_text())["manifests"]
        }
        for stage, image in images.items():
            name = image.partition(":")[0]
            for blob in blobs:  # a link allows a repository to hand out a blob
                for kind in ("_layers", "_manifests/revisions"):
                    link = content / "repositories" / name / kind / "sha256" / blob / "link"
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.write_text(f"sha256:{blob}")
            pushed = f"{REGISTRY}/{name}@{digests[image]}"
            self.manager.docker("pull", "--quiet", pushed)
            self.manager.docker("tag", pushed, image)
            identity = self.manager.docker("inspect", "--format", "{{.Id}}", image)
            self.images[stage] = {"image": image, "id": identity, "pushed": pushed}
        shutil.rmtree(saved)
        self.lock.write_text(json.dumps({"version": 1, "images": self.images}))

    def check_nodes(self) -> list[str]:
        """Let stages run on each node, as `./airflow-ml up` does; what is wrong with the others."""
        with self.as_host_tool():
            return list(nodes.check_new_nodes(self.data_of(self.data)))

    def data_of(self, folder: Path) -> Data:
        """A folder that all hosts have, as the host tool names it."""
        return Data(str(folder), f"{PROXY_USER}:{PROXY_USER}", "256m")

    @contextmanager
    def as_host_tool(self) -> Iterator[None]:
        """The commands of the host tool are about this swarm, and its images."""
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("DOCKER_HOST", self.manager.host)
            monkeypatch.setattr(nodes, "image_lock", lambda: self.images)
            yield

    def _start_proxy(self) -> None:
        """The engine proxy before the manager, as the stack has it; its socket is `proxy`."""
        folder = self.folder / "proxy"
        folder.mkdir()
        os.chown(folder, PROXY_USER, PROXY_USER)
        socket = Path(self.manager.host.removeprefix("unix://"))
        self.proxy_container = docker(
            "run", "--detach", "--network=none", "--read-only", "--cap-drop=ALL", f"--group-add={socket.stat().st_gid}",
            "--security-opt=no-new-privileges", f"--volume={socket}:/var/run/docker.sock",
            f"--volume={folder}:/run/engine-proxy", f"--volume={self.lock.parent}:/lock:ro", "--env=ML_ENGINE=swarm",
            f"--env=ML_DATA={self.data}", "--env=ML_STAGE_MEMORY=2g", f"--env=ML_INSTALLATION={self.name}",
            f"--env=ML_STAGE_NETWORKS=probe={NETWORK}", "--env=ML_IMAGE_LOCK=/lock/images.lock.json",
            images()["engine-proxy"], "serve",
        ).stdout.strip()  # fmt: skip
        wait_until((folder / "engine.sock").exists, "the engine proxy listens")

    @property
    def proxy(self) -> str:
        return f"unix://{self.folder}/proxy/engine.sock"

    @property
    def lock(self) -> Path:
        """The image lock of the images that were pushed."""
        return self.folder / "lock" / "images.lock.json"

    def stop(self) -> None:
        if self.proxy_container:
            docker("rm", "--force", self.proxy_container, check=False)
        for node in self.nodes:
            node.ask_to_stop()
        for node in self.nodes:
            node.stop()
        if self.registry is not None:
            self.registry.terminate()
            self.registry.wait(timeout=PATIENCE_S)
        for namespace in [self.switch, *(node.namespace for node in self.nodes)]:
            call("ip", "netns", "delete", namespace, check=False)
        call("umount", "--recursive", "--lazy", self.data, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def swarm_of_three() -> Iterator[Lab]:
    """The lab, ready for work; nothing of it is left at the end."""
    missing = [program for program in ("dockerd", "ip", "nsenter", "unshare") if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        raise pytest.UsageError(
            f"three engines need root rights on Linux, dockerd, ip, nsenter and unshare; found: user {os.geteuid()}"
            f"{', without ' + ', '.join(missing) if missing else ''}"
        )
    made = Lab(Path(tempfile.mkdtemp(prefix="airflow-ml-swarm-")))
    try:
        made.start()
        yield made
    finally:
        made.stop()
