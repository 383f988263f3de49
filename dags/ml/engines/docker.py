"""The Docker engine. The one place in `dags/` that knows its API."""

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from uuid import uuid4

from docker import APIClient
from docker.errors import APIError, DockerException
from docker.types import Mount

from ml import connections, container_labels
from ml import network as networks
from ml.engines import ContainerGone, Engine, EngineError, NotRun, Output, State, Work
from ml.outcome import KILLED
from ml.settings import setting

DATA_FOLDER = "/data"
# tini and Python need a handful, the libraries' thread pools a few per core.
PIDS_LIMIT = 512
# A stage ends immediately when it is asked to; this bounds one that does not. Airflow kills a task 5 s after it asks
# the task to stop.
STOP_SECONDS = 2
# Seconds between two looks at a container that has closed its output: most end a moment later, so the first come soon.
LOOK_S, LONGEST_LOOK_S = 0.02, 0.1
# The engine learns that a container was out of memory by another event than its end: one that may come later, and never
# if the container ended before the engine listened.
OUT_OF_MEMORY_LOOKS, OUT_OF_MEMORY_LOOK_S = 10, 0.2
# A network that was left behind is removed if it is older than this: a younger one may wait for its containers.
LEFT_NETWORK_S = 120
# How the engine says that somebody else has removed a container or a service, or removes it now.
GONE = re.compile(r"No such (container|service|network)|is already in progress|^(service|network) \S+ not found")


# How it says that a container cannot start for lack of its network.
NO_NETWORK = re.compile(r"network \S+ not found")


class DockerEngine(Engine):
    """The engine, or the proxy in front of it, at ML_DOCKER_HOST."""

    # A network without an address of the host: code in a container cannot reach what listens there.
    nowhere: Mapping[str, Any] = {"driver": "bridge", "options": {"com.docker.network.bridge.inhibit_ipv4": "true"}}
    advice = "see whether it and its proxy are up (`docker compose ps engine-proxy`)"

    def __init__(self, address: str, patience_s: float) -> None:
        self.address, self._patience_s = address, patience_s

    @cached_property
    def _client(self) -> APIClient:
        return APIClient(base_url=self.address, timeout=self._patience_s)

    def close(self) -> None:
        if "_client" in vars(self):
            self._client.close()

    def require_image(self, work: Work) -> None:
        """Never pull: a name that the engine does not know could be anybody's image elsewhere."""
        with trouble():
            found = next((str(image["Id"]) for image in self._client.images(name=work.image)), None)
        if found != work.image_id:
            what = f"is {found} there, not {work.image_id}" if found else "is not there"
            where = f"(engine {self.address})"
            do = "run ./build_images.sh"
            raise NotRun(f"image {work.image} of the image lock {what} {where}; do: {do}", hopeless=True)

    def by_hand(self, work: Work) -> str:
        options = (
            f"--rm --user {work.user} --network {work.network} --read-only --tmpfs /tmp --cap-drop ALL"
            f" --security-opt no-new-privileges --pids-limit {PIDS_LIMIT}"
            f" --memory {work.memory} --memory-swap {work.memory}"
        )
        variables = [word for name, value in work.environment.items() for word in ("--env", f"{name}={value}")]
        file = f"{work.connection}.json"
        files = ["--volume", f"./{file}:{connections.TARGET}/{file}:ro"] if work.connection else []
        volume = f"{work.data}:{DATA_FOLDER}{':ro' if work.read_only else ''}"
        all_options = [*options.split(), *variables, "--volume", volume, *files]
        return shlex.join(["docker", "run", *all_options, work.image, *work.command])

    def start(self, work: Work) -> str:
        with trouble(), network_of(work):
            made = self._client.create_container(
                work.image,
                list(work.command),
                user=work.user,
                environment=dict(work.environment),
                labels=dict(work.labels),
                host_config=self._client.create_host_config(**host_config(work)),
                networking_config=self._endpoint(work),
            )
            container: str = made["Id"]
            try:
                self._client.start(container)
            except BaseException:
                self.remove(container)
                raise
            return container

    def find(self, labels: Mapping[str, str], *, running: bool = False) -> dict[str, dict[str, str]]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        with trouble():
            found = self._client.containers(all=not running, filters={"label": wanted})
            return {str(one["Id"]): dict(one["Labels"]) for one in found}

    def does(self, container: str, work: Work) -> bool:
        with trouble():
            found = self._client.inspect_container(container)
            return (
                found["State"]["Status"] != "created"
                and found["Image"] == work.image_id
                and list(found["Config"]["Cmd"] or ()) == list(work.command)
                and work.labels.items() <= found["Config"]["Labels"].items()
            )

    def state(self, container: str) -> State:
        for _ in range(OUT_OF_MEMORY_LOOKS):
            with trouble():
                found = self._client.inspect_container(container)["State"]
            ended = found["Status"] in ("exited", "dead")
            exit_code, out_of_memory = found["ExitCode"] if ended else None, bool(found["OOMKilled"])
            if exit_code != KILLED or out_of_memory:
                return State(exit_code, out_of_memory)
            time.sleep(OUT_OF_MEMORY_LOOK_S)
        return State(KILLED, out_of_memory=None)

    def last_line(self, container: str) -> str:
        with trouble():
            written: bytes = self._client.logs(container, stdout=False, stderr=True, tail=1)
            return written.decode("utf-8", errors="replace").strip()

    def follow(self, container: str, seconds: float) -> Iterator[Output]:
        end = time.monotonic() + seconds
        with trouble():
            client = self._client
        chunks: SimpleQueue[Output | Exception | None] = SimpleQueue()
        for stream in ("stdout", "stderr"):
            Thread(target=_pump, args=(client, container, stream, chunks), daemon=True).start()
        open_streams = 2
        while open_streams and (left := end - time.monotonic()) > 0:
            try:
                chunk = chunks.get(timeout=left)
            except Empty:
                return
            if isinstance(chunk, Exception):
                with trouble():
                    raise chunk
            if chunk is None:
                open_streams -= 1
            else:
                yield chunk
        pause = LOOK_S
        while time.monotonic() < end and self.state(container).exit_code is None:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK_S)

    def remove(self, container: str) -> None:
        with suppress(ContainerGone), trouble():
            self._client.stop(container, timeout=STOP_SECONDS)
            self._client.remove_container(container, v=True, force=True)

    def make_network(self, work: Work) -> str:
        with trouble():
            return self._make_network(f"airflow-ml-{uuid4().hex[:16]}", work)

    def remove_network(self, network: str) -> None:
        self._try_to_remove(network)
        with trouble():
            ours = self._client.networks(filters={"label": [container_labels.DATA]})
        for one in ours:
            if age_s(one["Created"]) > LEFT_NETWORK_S:
                self._try_to_remove(str(one["Id"]))  # the engine refuses where a container is on it

    def _make_network(self, name: str, work: Work) -> str:
        labels = {container_labels.DATA: work.labels[container_labels.DATA]}
        made = self._client.create_network(name, internal=True, labels=labels, **self.nowhere)
        return str(made["Id"])

    def _try_to_remove(self, network: str) -> bool:
        try:
            with trouble():
                self._client.remove_network(network)
        except ContainerGone:
            return True
        except EngineError:
            return False
        return True

    def _endpoint(self, work: Work) -> dict[str, Any] | None:
        """The name that other containers on its network know a container by."""
        if not work.alias:
            return None
        endpoint = self._client.create_endpoint_config(aliases=[work.alias])
        return dict(self._client.create_networking_config({work.network: endpoint}))


def connect(patience_s: float) -> DockerEngine:
    """The engine at ML_DOCKER_HOST. Errors: SettingError."""
    return DockerEngine(setting("ML_DOCKER_HOST"), patience_s)


def host_config(work: Work) -> dict[str, Any]:
    """How a container is confined, as arguments of `create_host_config`."""
    kind = "bind" if work.data.startswith("/") else "volume"
    mounts = [Mount(DATA_FOLDER, work.data, type=kind, read_only=work.read_only)]
    if work.connection:
        mounts.append(Mount(connections.TARGET, connections.volume(), type="volume", read_only=True))
    return {
        "mounts": mounts,
        "network_mode": work.network,
        "mem_limit": work.memory,
        "memswap_limit": work.memory,  # the same: no swap on top
        "pids_limit": PIDS_LIMIT,
        "read_only": True,
        "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev"},  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }


def _pump(client: APIClient, container: str, stream: str, chunks: "SimpleQueue[Output | Exception | None]") -> None:
    is_stdout = stream == "stdout"
    try:
        for chunk in client.logs(container, stdout=is_stdout, stderr=not is_stdout, stream=True, follow=True):
            chunks.put((chunk, None) if is_stdout else (None, chunk))
        chunks.put(None)
    except Exception as error:  # the reader of the queue raises it
        chunks.put(error)


def age_s(moment: str) -> float:
    """Seconds since a time of the engine, which has nanoseconds."""
    then = datetime.fromisoformat(re.sub(r"([.][0-9]+)?(Z|[+-][0-9:]+)$", r"\2", moment))
    return (datetime.now(UTC) - then).total_seconds()


@contextmanager
def network_of(work: Work) -> Iterator[None]:
    """A refusal for lack of the work's network becomes NotRun, which names it."""
    try:
        yield
    except APIError as error:
        if work.network == networks.NONE or not NO_NETWORK.search(str(error.explanation)):
            raise
        setting = networks.setting_of(work.network)
        named = f", which {setting} names" if setting else ""
        raise NotRun(
            f"the engine has no network {work.network}{named}; expected one that `docker network ls` shows; do: run "
            "`make up`, or correct the setting"
        ) from error


@contextmanager
def trouble() -> Iterator[None]:
    """Errors of the SDK become EngineError, ContainerGone if there is no such container."""
    try:
        yield
    except APIError as error:
        if GONE.search(str(error.explanation)):
            raise ContainerGone("does not have the container any more") from error
        raise EngineError(f"refuses ({error.explanation or error})") from error
    except (DockerException, OSError) as error:  # requests' errors are OSErrors
        raise EngineError(f"does not answer ({error})") from error
