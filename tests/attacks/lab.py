"""An engine of its own for attacks: before it the engine proxy twice, on it what belongs to others, all of it watched.

Whatever an attack does, it does to this engine and in this engine's network namespace, which leads nowhere. Needs root
rights on Linux, as the lab of a swarm does.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest

from tests.attacks import bodies
from tests.harness import docker, images, wait_until
from tests.images.proxy_lab import PROBE, PROBE_DOCKERFILE, Proxy

START = 'ip link set lo up; exec dockerd "$@"'
# How long to wait for an answer, for more of one, and how much of one to read. The proxy gives a client half a second.
# An engine on a busy machine takes seconds, and what it does later would count for the next attack. A whole image is
# read: the order of its files is that of their hashes, so a secret may come first or last.
ANSWER_S, SILENCE_S, MOST = 10.0, 1.0, 1 << 28
CONTAINER_ID = 64
State = dict[tuple[str, str], Any]


class Lab:
    """The engine, what is on it, and the two proxies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Whoever reads this has read what belongs to others; it is in every place that the engine shows.
        self.secret = f"secret-{secrets.token_hex(12)}"
        self.socket = str(folder / "engine.sock")
        self.address = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        self.proxies: dict[bool, Proxy] = {}
        self.ids: dict[str, str] = {}

    # --- its life ---

    def start(self) -> None:
        name = f"attack-{secrets.token_hex(4)}"
        engine = [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid",
                  f"--host={self.address}", "--bip=172.30.1.1/24", f"--containerd-namespace={name}",
                  f"--containerd-plugins-namespace={name}p"]  # fmt: skip
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", "--mount", "--uts", "sh", "-ec", START, "dockerd", *engine],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.client = docker_py.APIClient(self.address, version="1.45")
        wait_until(self._answers, "the engine answers")
        self.engine_id = self.client.info()["ID"]
        self._load()
        self.set_up()
        lock = self.folder / "lock"
        lock.mkdir()
        entries = {
            "generator": {"image": bodies.IMAGE, "pushed": bodies.PUSHED},
            "exchange": {"image": bodies.EXCHANGE_IMAGE, "pushed": bodies.PUSHED_EXCHANGE},
            "training": {"image": bodies.TRAINING_IMAGE, "pushed": bodies.PUSHED_TRAINING},
            "base": {"image": "airflow-ml-base:1"},
        }
        (lock / "images.lock.json").write_text(json.dumps({"images": entries}))
        options = (
            "--env=ML_STAGE_MEMORY=4g", "--env=ML_STAGE_NETWORKS=exchange=shop", "--env=ML_CONNECTIONS_VOLUME=secrets",
            "--env=ML_PROXY_REQUEST_SECONDS=0.5", f"--volume={lock}:/lock:ro",
            "--env=ML_IMAGE_LOCK=/lock/images.lock.json",
        )  # fmt: skip
        self.proxies[False] = Proxy(*options, "--env=ML_DATA=data", engine=self.socket)
        self.proxies[True] = Proxy(*options, "--env=ML_DATA=/srv/ml", "--env=ML_ENGINE=swarm", engine=self.socket)
        self._make_ours()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        with suppress(docker_py.errors.DockerException, OSError):
            return bool(self.client.ping())
        return False

    def _load(self) -> None:
        """The image of a stage, under the names that the bodies have."""
        context = self.folder / "probe"
        context.mkdir()
        (context / "probe.py").write_text(PROBE)
        (context / "Dockerfile").write_text(PROBE_DOCKERFILE.format(base=images()["base"]))
        docker("build", "--quiet", "--tag", bodies.IMAGE, str(context))
        with subprocess.Popen(["docker", "save", bodies.IMAGE, images()["base"]], stdout=subprocess.PIPE) as save:
            subprocess.run(["docker", "--host", self.address, "load", "--quiet"], stdin=save.stdout, check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
        docker("image", "rm", bodies.IMAGE)
        for image in (bodies.EXCHANGE_IMAGE, bodies.TRAINING_IMAGE):
            self.client.tag(bodies.IMAGE, *image.split(":"))
        self.client.tag(images()["base"], "airflow-ml-base", "1")
        self.ids[bodies.IMAGE_ID] = self.client.inspect_image(bodies.IMAGE)["Id"].removeprefix("sha256:")

    def stop(self) -> None:
        for proxy in self.proxies.values():
            proxy.__exit__()
        with suppress(docker_py.errors.DockerException, OSError):
            for one in self.client.containers(all=True):
                self.client.remove_container(one["Id"], force=True)
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if f"{self.folder}/".encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what is on it ---

    def set_up(self) -> None:
        """What belongs to others: a container with a process, a volume, networks, an image, things of a swarm."""
        labels = {"secret": self.secret}
        self.client.init_swarm(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
        for volume in ("data", "other", "secrets"):
            self.client.create_volume(volume, labels={} if volume == "data" else labels)
        for network in ("other", "shop"):
            made = self.client.create_network(network, labels=labels)
        self.ids[bodies.OTHER_BRIDGE] = made["Id"]
        overlay = self.client.create_network("other-overlay", driver="overlay", internal=True, labels=labels)
        host = self.client.create_host_config(mounts=[docker_py.types.Mount("/data", "other")], network_mode="other")
        container = self.client.create_container(
            bodies.IMAGE, [f"say={self.secret}", f"write={self.secret}", "sleep=3600"], name="other", host_config=host,
            labels={**labels, "airflow-ml.dag": "looks like ours", bodies.LABEL: "another"}, user="10001:10001",
            environment=[f"SECRET={self.secret}"],
        )["Id"]  # fmt: skip
        self.client.start(container)
        wait_until(lambda: self.secret.encode() in self.client.logs(container), "the other container works")
        self.client.commit(container, "other", "1", changes=[f"LABEL secret={self.secret}"], pause=False)
        exec_id = self.client.exec_create(container, ["/usr/local/bin/python", "-c", f"print('{self.secret}')"])["Id"]
        self.client.create_secret("other", b"x", labels)
        self.client.create_config("other", b"x", labels)
        template = docker_py.types.TaskTemplate(docker_py.types.ContainerSpec(bodies.PUSHED))
        mode = docker_py.types.ServiceMode("replicated", replicas=0)
        service = self.client.create_service(template, "other", labels, mode)["ID"]
        self.ids |= {bodies.OTHER: container, bodies.EXEC: exec_id, bodies.OTHER_SERVICE: service,
                     bodies.OTHER_NETWORK: overlay["Id"]}  # fmt: skip

    def _make_ours(self) -> None:
        """What was created through the proxies; the container is what every other one is compared with."""
        with docker_py.APIClient(self.proxies[False].url, version="1.45") as through:
            container = through.create_container_from_config({**bodies.GOOD, "Cmd": ["say=ours", "sleep=3600"]})["Id"]
            through.start(container)
            answer = through._post_json(through._url("/networks/create"), data=bodies.BRIDGE_NET)
            self.ids[bodies.BRIDGE] = through._result(answer, json=True)["Id"]
            # A rank as it may be: what follows shows that it may not be otherwise.
            body = {**json.loads(self.fill(json.dumps(bodies.RANK).encode())), "Cmd": ["sleep=3600"]}
            rank = through.create_container_from_config(body)["Id"]
            through.start(rank)
            joined = self.client.inspect_container(rank)["NetworkSettings"]["Networks"]
            assert {one["NetworkID"] for one in joined.values()} == {self.ids[bodies.BRIDGE]}
            through.remove_container(rank, force=True)
        with docker_py.APIClient(self.proxies[True].url, version="1.45") as through:
            answer = through._post_json(through._url("/networks/create"), data=bodies.NET)
            self.ids[bodies.NETWORK] = through._result(answer, json=True)["Id"]
            body = {**json.loads(self.fill(json.dumps(bodies.SERVICE).encode())), "Name": "airflow-ml-ours"}
            answer = through._post_json(through._url("/services/create"), data=body)
            self.ids[bodies.SERVICE_ID] = through._result(answer, json=True)["ID"]
        self.ids[bodies.OURS] = container
        service = self.client.inspect_service(self.ids[bodies.SERVICE_ID])
        self.models = {"container": self.client.inspect_container(container), "service": service["Spec"]}

    def fill(self, content: bytes) -> bytes:
        """Put the real ids into a request; each is as long as what stands for it."""
        for stands_for, real in self.ids.items():
            assert len(real) == len(stands_for)
            content = content.replace(stands_for.encode(), real.encode())
            content = content.replace(stands_for.upper().encode(), real.upper().encode())
            if len(real) == CONTAINER_ID:
                content = content.replace(stands_for[:12].encode(), real[:12].encode())
        return content

    def remove(self, things: Iterable[tuple[str, str]]) -> bool:
        """Remove what an attack created; whether everything could be removed."""
        remove = {
            "container": lambda name: self.client.remove_container(name, force=True, v=True),
            "service": self.client.remove_service,
            "network": self.client.remove_network,
            "volume": self.client.remove_volume,
        }
        for kind, name in sorted(things, key=lambda thing: [*remove, thing[0]].index(thing[0])):
            if kind not in remove:
                return False
            with suppress(docker_py.errors.NotFound):
                remove[kind](name)
        return True

    def reset(self) -> None:
        """Everything on the engine as at the beginning, after an attack that hit it directly."""
        client = self.client
        for one in client.containers(all=True):
            client.remove_container(one["Id"], force=True)
        with suppress(docker_py.errors.APIError):
            client.leave_swarm(force=True)
        for one in client.networks():
            if one["Name"] not in ("bridge", "host", "none", "docker_gwbridge"):
                with suppress(docker_py.errors.APIError):
                    client.remove_network(one["Id"])
        for one in client.volumes()["Volumes"] or ():
            client.remove_volume(one["Name"], force=True)
        for image in client.images():
            for tag in image["RepoTags"] or [image["Id"]]:
                if not tag.startswith("airflow-ml-"):
                    client.remove_image(tag, force=True)
        for tag in (bodies.IMAGE, bodies.EXCHANGE_IMAGE, bodies.TRAINING_IMAGE):
            client.tag(f"sha256:{self.ids[bodies.IMAGE_ID]}", *tag.split(":"))
        self.set_up()
        self._make_ours()

    # --- attacks, and what they did ---

    def send(self, target: str, parts: Sequence[bytes]) -> bytes:
        """All that comes back from a socket for these bytes, until the other side ends the connection or is silent."""
        received = bytearray()
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.connect(target)
            for number, part in enumerate(parts):
                connection.settimeout(SILENCE_S)
                if number:  # the other side has read, and perhaps answered, what came before
                    with suppress(TimeoutError):
                        received += connection.recv(1 << 16)
                connection.sendall(self.fill(part))
            connection.settimeout(SILENCE_S if received else ANSWER_S)
            while len(received) < MOST and (data := connection.recv(1 << 16)):
                received += data
                connection.settimeout(SILENCE_S)
        return bytes(received)

    def look(self) -> State:
        """Everything that the engine has, by kind and name."""
        client = self.client
        state: State = {}
        for one in client.containers(all=True):
            with suppress(docker_py.errors.NotFound):
                state["container", one["Id"]] = client.inspect_container(one["Id"]) | {"Files": client.diff(one["Id"])}
        for one in client.images(all=True):
            state["image", one["Id"]] = sorted(one["RepoTags"] or ())
        for one in client.volumes()["Volumes"] or ():
            state["volume", one["Name"]] = one["Labels"]
        for one in client.networks():
            found = client.inspect_network(one["Id"])
            state["network", one["Id"]] = {key: found[key] for key in ("Name", "Driver", "Labels", "Containers")}
        swarm = client.info()["Swarm"]
        state["swarm", swarm["LocalNodeState"]] = None
        if swarm["LocalNodeState"] == "active":
            state["swarm", "its tokens"] = client.inspect_swarm()["JoinTokens"]
            for one in client.services():
                state["service", one["ID"]] = one["Spec"]
            for kind in ("secrets", "configs"):
                for one in getattr(client, kind)():
                    state[kind[:-1], one["ID"]] = one["Spec"]
            for one in client.nodes():
                state["node", one["ID"]] = one["Spec"]
        return state

    def effects(self, before: State, after: State, answer: bytes) -> list[str]:
        """What an attack did, in words: what is new, gone or changed at the engine, and what it read."""
        done = [f"{kind} {self._name(kind, name, before)} removed" for kind, name in before.keys() - after.keys()]
        for kind, name in sorted(after.keys() - before.keys()):
            done.append(f"{kind} created{self._difference(kind, after[kind, name])}")
        for key in before.keys() & after.keys():
            if before[key] != after[key]:
                what = ""
                if isinstance(before[key], dict):
                    what = ": " + ", ".join(sorted(n for n in after[key] if before[key].get(n) != after[key][n]))
                done.append(f"{key[0]} {self._name(*key, before)} changed{what}")
        if self.secret.encode() in answer:
            done.append("another's secret read")
        if any(secret in answer for secret in (self.engine_id.encode(), b"SWMTKN-")):
            done.append("the engine's own facts read")
        return sorted(done)

    def _name(self, kind: str, name: str, state: State) -> str:
        for stands_for, real in self.ids.items():
            if name == real:
                return "of ours" if stands_for in (bodies.OURS, bodies.SERVICE_ID, bodies.NETWORK) else "of another"
        found = state[kind, name]
        return found.get("Name", name) if isinstance(found, dict) else name

    def _difference(self, kind: str, found: Any) -> str:
        """How something new differs from what a stage gets."""
        if kind in ("container", "service"):
            names = _facts(found).items() - _facts(self.models[kind]).items()
            return f", other than a stage's: {', '.join(sorted(dict(names)))}" if names else ", as a stage's"
        if kind == "network":
            return f": {found['Driver']}"
        return ""


# What a request of a stage may choose, or the engine does.
FREE = ("Config.Hostname", "Config.Cmd", "Config.Labels", "Config.Env", "Name", "Labels", "ContainerSpec.Labels")


def _facts(found: dict[str, Any]) -> dict[str, str]:
    """What the engine says of a container or a service, by dotted names, without what differs from stage to stage."""
    if "HostConfig" in found:
        facts = {f"{part}.{key}": value for part in ("HostConfig", "Config") for key, value in found[part].items()}
        mounts = [
            (one["Type"], one.get("Name"), one["Source"], one["Destination"], one["RW"]) for one in found["Mounts"]
        ]
        facts |= {"Mounts": mounts, "network": sorted(found["NetworkSettings"]["Networks"])}
        labels, variables = found["Config"]["Labels"], found["Config"]["Env"]
    else:
        facts = dict(found)
        task = dict(facts.pop("TaskTemplate"))
        facts |= {f"ContainerSpec.{key}": value for key, value in task.pop("ContainerSpec").items()}
        facts |= {f"TaskTemplate.{key}": value for key, value in task.items()}
        labels, variables = found["Labels"], found["TaskTemplate"]["ContainerSpec"].get("Env", [])
    facts = {name: value for name, value in facts.items() if name not in FREE}
    facts["labels of others"] = sorted(name for name in labels if not name.startswith("airflow-ml."))
    facts["variables"] = sorted(one for one in variables if not one.startswith("ML_"))
    return {name: json.dumps(value, sort_keys=True) for name, value in facts.items()}


@contextmanager
def attack_lab() -> Iterator[Lab]:
    """The lab, ready for attacks; nothing of it is left at the end."""
    missing = [program for program in ("dockerd", "ip", "unshare") if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        raise pytest.UsageError(
            f"an engine for attacks needs root rights on Linux, dockerd, ip and unshare; found: user {os.geteuid()}"
            f"{', without ' + ', '.join(missing) if missing else ''}"
        )
    made = Lab(Path(tempfile.mkdtemp(prefix="airflow-ml-attack-")))
    try:
        made.start()
        yield made
    finally:
        made.stop()
