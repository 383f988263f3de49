"""Docker Swarm: each container is the one task of a service of its own, a job that is never started twice.

Swarm has no container without a network, so each gets a network of its own that leads nowhere. Swarm says for ever that
the task of a lost node runs, and waits for ever for a node that does not exist: this module looks, and gives up.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from struct import Struct
from typing import Any
from uuid import uuid4

from docker.errors import create_api_error_from_http_exception
from docker.types import (
    ContainerSpec,
    EndpointSpec,
    Mount,
    NetworkAttachmentConfig,
    Resources,
    RestartPolicy,
    ServiceMode,
    TaskTemplate,
)
from docker.utils import parse_bytes
from requests import HTTPError

from ml import connections, container_labels, placement
from ml import network as networks
from ml.engines import ContainerGone, EngineError, NotRun, Output, State, Work
from ml.engines.docker import (
    DATA_FOLDER,
    LEFT_NETWORK_S,
    PIDS_LIMIT,
    STOP_SECONDS,
    DockerEngine,
    age_s,
    network_of,
    trouble,
)
from ml.outcome import KILLED
from ml.settings import SettingError, seconds_of, setting

SECOND_NS = 10**9
# Older engines ignore "no new privileges" for the task of a service.
OLDEST_ENGINE = 25
# A task has ended well, or badly; or it did not begin.
ENDED, NOT_BEGUN = ("complete", "failed"), ("rejected", "shutdown", "remove", "orphaned")
# How Swarm says why a task waits: for a node that does not exist, for memory and processors that others have now, or
# for a node that is down or drained.
NO_NODE, BUSY, RESTARTING = "no suitable node", "insufficient resources", "not available for new tasks"
# A task without any node that fits is given up after so many seconds: a node may only be restarting.
NO_NODE_S = 15
# How a frame of a log begins; and the kind of one that holds what the engine says of the log.
FRAME, SYSTEM_ERROR = Struct(">BxxxL"), 3
# Seconds between two looks at a task.
LOOK_S = 0.1
# A network is in use until the last task on it is gone.
NETWORK_S = 3


class SwarmEngine(DockerEngine):
    """The manager of a swarm, or the proxy in front of it, at ML_DOCKER_HOST. A container is named by its service."""

    nowhere: Mapping[str, Any] = {"driver": "overlay"}
    advice = (
        "see whether the manager's engine and its proxy are up (`docker node ls`, `docker compose ps engine-proxy`)"
    )

    def __init__(self, address: str, patience_s: float, lost_s: float) -> None:
        super().__init__(address, patience_s)
        self._lost_s = lost_s

    def require_image(self, work: Work) -> None:
        """The nodes pull by digest, so none of them can run another image."""
        if not work.pushed:
            raise NotRun(
                f"image {work.image} of the image lock was not pushed, expected it in an image registry that all nodes "
                "reach; do: run ./build_images.sh --push ADDRESS",
                hopeless=True,
            )

    def by_hand(self, work: Work) -> str:
        """On any node: it pulls the image."""
        return super().by_hand(replace(work, image=work.pushed or work.image))

    def start(self, work: Work) -> str:
        self._require_nodes(work)
        name = f"airflow-ml-{uuid4().hex[:16]}"
        with trouble(), network_of(work):
            own = self._make_network(name, work) if work.network == networks.NONE else None
            try:
                made = self._client.create_service(
                    task_template(work, own or str(work.network)),
                    name=name,
                    labels=dict(work.labels),
                    mode=ServiceMode("replicated-job", replicas=1),
                    endpoint_spec=EndpointSpec(mode="dnsrr"),  # the kernel may lack what virtual addresses need
                )
            except BaseException:
                if own:
                    self._client.remove_network(own)
                raise
            return str(made["ID"])

    def find(self, labels: Mapping[str, str], *, running: bool = False) -> dict[str, dict[str, str]]:
        with trouble():
            filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
            services = self._client.services(filters=filters)
            found = {str(one["ID"]): dict(one["Spec"]["Labels"]) for one in services}
            if not running:
                return found
            tasks = newest(self._client.tasks(filters=filters))
            nodes = self._nodes()
        return {service: its_own for service, its_own in found.items() if self._goes_on(tasks.get(service), nodes)}

    def does(self, container: str, work: Work) -> bool:
        with trouble():
            spec = self._client.inspect_service(container)["Spec"]
        try:
            self.state(container)
        except NotRun:
            return False
        inside = spec["TaskTemplate"]["ContainerSpec"]
        return (
            inside["Image"] == work.pushed
            and list(inside.get("Args") or ()) == list(work.command)
            and work.labels.items() <= spec["Labels"].items()
        )

    def state(self, container: str) -> State:
        task = self._task(container)
        return judge(task, self._nodes(), self._lost_s)

    def last_line(self, container: str) -> str:
        lines = self._output(container, "stderr", tail=1).decode("utf-8", errors="replace").splitlines()
        return lines[-1].strip() if lines else ""

    def follow(self, container: str, seconds: float) -> Iterator[Output]:
        """The output in one piece, at the end or when the time is over: a stream of a service's logs does not end."""
        end = time.monotonic() + seconds
        while self.state(container).exit_code is None:
            if time.monotonic() > end:
                with suppress(EngineError):  # it is read again at the end
                    yield None, self._output(container, "stderr")
                return
            time.sleep(LOOK_S)
        self._require_answer(container)
        yield self._output(container, "stdout"), None
        yield None, self._output(container, "stderr")

    def remove(self, container: str) -> None:
        with suppress(ContainerGone), trouble():
            spec = self._client.inspect_service(container)["Spec"]
            self._client.remove_service(container)
            if container_labels.GANG not in spec["Labels"]:  # that of a rank is the others', too
                self._remove_networks([one["Target"] for one in spec["TaskTemplate"].get("Networks") or ()])

    def remove_network(self, network: str) -> None:
        with trouble():
            self._remove_networks([network])

    def _require_nodes(self, work: Work) -> None:
        """Errors: NotRun if an engine ignores what confines a container, or no node is safe or large enough."""
        usable = [node for node in self._nodes().values() if node["Spec"]["Availability"] == "active"]
        for node in usable:
            name, version = node["Description"]["Hostname"], node["Description"]["Engine"]["EngineVersion"]
            if int(version.partition(".")[0]) < OLDEST_ENGINE:
                raise NotRun(
                    f"node {name} has Docker Engine {version}, expected {OLDEST_ENGINE} or newer, which keeps a "
                    "container from new privileges; do: update it, or "
                    f"`docker node update --availability drain {name}`",
                    hopeless=True,
                )
        label = placement.safe_node(work.data)
        safe = [node for node in usable if (node["Spec"].get("Labels") or {}).get(label) == placement.SAFE]
        if not safe:
            raise NotRun(
                f"none of {len(usable)} active nodes has the label {label}={placement.SAFE}, which a node gets if "
                f"{work.data} is safe there; do: run ./airflow-ml doctor on the manager",
                hopeless=True,
            )
        wanted = placement.reservation_of(work.stage)
        rooms = [node["Description"]["Resources"] for node in safe]
        if not any(r["MemoryBytes"] >= wanted.memory and r["NanoCPUs"] >= wanted.cpus * SECOND_NS for r in rooms):
            largest = max((room["MemoryBytes"] for room in rooms), default=0) >> 20
            raise NotRun(
                f"no active node has what {work.stage} reserves, {wanted.memory >> 20} MiB and {wanted.cpus:g} "
                f"processors; the largest of {len(rooms)} has {largest} MiB; do: change "
                "ML_STAGE_RESERVATIONS, or add a node",
                hopeless=True,
            )

    def _remove_networks(self, own: Iterable[str]) -> None:
        """Remove a container's own network, and what other removals had to leave, such as those of lost nodes."""
        ours = {str(one["Id"]): one for one in self._client.networks(filters={"label": [container_labels.DATA]})}
        for network in set(own) & ours.keys():
            end = time.monotonic() + NETWORK_S
            while not self._try_to_remove(network) and time.monotonic() < end:
                time.sleep(LOOK_S)
            ours.pop(network)
        used = {one["Target"] for service in self._client.services() for one in _networks_of(service)} if ours else ()
        for network, details in ours.items():
            if network not in used and age_s(details["Created"]) > LEFT_NETWORK_S:
                self._try_to_remove(network)

    def _goes_on(self, task: dict[str, Any] | None, nodes: Mapping[str, Any]) -> bool:
        try:
            return judge(task, nodes, self._lost_s).exit_code is None
        except NotRun:
            return False

    def _task(self, service: str) -> dict[str, Any] | None:
        with trouble():
            self._client.inspect_service(service)  # ContainerGone; the list of tasks of none is empty
            return newest(self._client.tasks(filters={"service": service})).get(service)

    def _require_answer(self, service: str) -> None:
        """Without it the manager would answer with a log that has its own complaint as the last line."""
        node = self._nodes().get((self._task(service) or {}).get("NodeID", ""))
        if node is None or node["Status"]["State"] != "ready":
            raise EngineError(f"cannot fetch what the container wrote on node {_name(node)}, which does not answer")

    def _nodes(self) -> dict[str, Any]:
        with trouble():
            return {str(node["ID"]): node for node in self._client.nodes()}

    def _output(self, service: str, stream: str, tail: int | str = "all") -> bytes:
        """What a task has written. Errors: EngineError if the manager says that it could not fetch it.

        The manager says so in the log itself, in a frame of another kind, which the SDK does not keep apart.
        """
        with trouble():
            client, query = self._client, {stream: True, "tail": tail}
            url = f"{client.base_url}/v{client.api_version}/services/{service}/logs"
            answer = client.get(url, params=query, timeout=self._patience_s)
            try:
                answer.raise_for_status()
            except HTTPError as error:
                create_api_error_from_http_exception(error)
        kinds = [*frames_of(answer.content)]
        if complaint := b"".join(text for kind, text in kinds if kind == SYSTEM_ERROR):
            said = complaint.decode("utf-8", errors="replace").strip()
            raise EngineError(f"cannot fetch what the container wrote: {said}")
        return b"".join(text for _, text in kinds)


def connect(patience_s: float) -> SwarmEngine:
    """The manager at ML_DOCKER_HOST. Errors: SettingError."""
    data = setting("ML_DATA")
    if not data.startswith("/"):
        raise SettingError("ML_DATA", f"is {data!r}", "a folder that every node of the swarm mounts at the same path")
    placement.constraints_of("")
    placement.reservation_of("")
    return SwarmEngine(setting("ML_DOCKER_HOST"), patience_s, seconds_of("ML_NODE_LOST_SECONDS"))


def task_template(work: Work, network: str) -> TaskTemplate:
    """What runs, and how it is confined."""
    mounts = [Mount(DATA_FOLDER, work.data, type="bind", read_only=work.read_only), Mount("/tmp", None, type="tmpfs")]  # noqa: S108
    where = [f"node.labels.{placement.safe_node(work.data)}=={placement.SAFE}"]
    where += ["".join(one) for one in placement.constraints_of(work.stage)]
    if work.connection:
        mounts.append(Mount(connections.TARGET, connections.volume(), type="volume", read_only=True))
        where.append("node.role==manager")  # the volume of the credentials is on Airflow's host alone
    return TaskTemplate(
        ContainerSpec(
            work.pushed,
            args=list(work.command),
            env=[f"{name}={value}" for name, value in work.environment.items()],
            user=work.user,
            labels=dict(work.labels),
            mounts=mounts,
            stop_grace_period=STOP_SECONDS * SECOND_NS,
            read_only=True,
            cap_drop=["ALL"],
            privileges={"NoNewPrivileges": True},
        ),
        resources=_resources(work),
        restart_policy=RestartPolicy("none"),
        placement=where,
        networks=[NetworkAttachmentConfig(network, aliases=[work.alias]) if work.alias else network],
    )


def judge(task: Mapping[str, Any] | None, nodes: Mapping[str, Any], lost_s: float) -> State:
    """How a task is, `None` if its service has none yet. Errors: NotRun."""
    if task is None:
        return State(None)
    status, node = task["Status"], nodes.get(task.get("NodeID", ""))
    said = status.get("Err") or status.get("Message", "")
    if node and node["Status"]["State"] == "down" and age_s(node["UpdatedAt"]) > lost_s:
        raise NotRun(
            f"node {_name(node)} has been lost for {lost_s:g} s, with the container on it; expected: a node that "
            "answers; do: start it again, or `docker node rm --force` it"
        )
    if status["State"] in ENDED:
        exit_code = (status.get("ContainerStatus") or {}).get("ExitCode", 0)
        if status["State"] == "failed" and not exit_code:
            raise NotRun(f"the container did not start on {_name(node)}: {said}; do: look at that node's engine")
        return State(exit_code, None if exit_code == KILLED else False)
    if status["State"] in NOT_BEGUN:
        raise NotRun(
            f"node {_name(node)} refused the container: {said}; expected: the data's folder and the image registry on "
            "every node; do: correct the node, or drain it"
        )
    if status["State"] == "pending" and NO_NODE in said and BUSY not in said and age_s(status["Timestamp"]) > NO_NODE_S:
        raise NotRun(
            f"no node fits: {said}; do: see whether all nodes are up, or change ML_STAGE_CONSTRAINTS or the nodes' "
            "labels; ./airflow-ml doctor checks a new node",
            hopeless=RESTARTING not in said,
        )
    return State(None)


def frames_of(log: bytes) -> Iterator[tuple[int, bytes]]:
    """The frames of a log: the kind, which is that of the stream, and the text. Errors: EngineError."""
    start = 0
    while start < len(log):
        if len(log) < start + FRAME.size:
            raise EngineError("sent a log that is cut off")
        kind, length = FRAME.unpack_from(log, start)
        start += FRAME.size + length
        yield kind, log[start - length : start]


def newest(tasks: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The newest task of each service."""
    return {str(task["ServiceID"]): dict(task) for task in sorted(tasks, key=lambda task: str(task["CreatedAt"]))}


def _resources(work: Work) -> Resources:
    wanted = placement.reservation_of(work.stage)
    resources = Resources(
        mem_limit=parse_bytes(work.memory),
        mem_reservation=wanted.memory or None,
        cpu_reservation=int(wanted.cpus * SECOND_NS) or None,
    )
    resources["Limits"]["Pids"] = PIDS_LIMIT  # the SDK has no argument for it
    return resources


def _networks_of(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    return service["Spec"]["TaskTemplate"].get("Networks") or []


def _name(node: Mapping[str, Any] | None) -> str:
    return node["Description"]["Hostname"] if node else "that has left the swarm"
