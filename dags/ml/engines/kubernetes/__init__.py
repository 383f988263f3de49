"""Kubernetes: a pod for each task. The one place in `dags/` that knows its API."""

import hashlib
import json
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ml import connections, placement
from ml.engines import ContainerGone, Engine, EngineError, NotRun, Output, State, Work
from ml.engines.kubernetes import options
from ml.engines.kubernetes.api import Api, Json, Refused
from ml.engines.kubernetes.pod import (
    CONTAINER,
    NETWORK_LABEL,
    STOP_SECONDS,
    labels_of,
    network_label,
    network_of,
    pod_of,
    reference,
    secret_of,
    selector,
    spec_of,
)
from ml.engines.kubernetes.status import addresses_of, has_started, message_of, state_of

# Seconds between two looks at a pod, and for how long one that is to end may take.
LOOK_S, REMOVE_S = 0.5, 10
CONFLICT, INVALID = 409, (400, 422)


class KubernetesEngine(Engine):
    """The API server, in the namespace of Airflow's service account.

    :param start_s: a pod that has not started after so many seconds is given up
    """

    advice = (
        "see whether it answers, and what Airflow's account may do (`kubectl auth can-i --list --as "
        "system:serviceaccount:NAMESPACE:NAME`); deploy/kubernetes has the role that it needs"
    )

    def __init__(self, api: Api, start_s: float, remove_s: float = REMOVE_S) -> None:
        self.address = api.address
        self._api, self._start_s, self._remove_s = api, start_s, remove_s

    def close(self) -> None:
        self._api.close()

    def require_image(self, work: Work) -> None:
        """Nothing to ask: a digest names one image only, and what another name means is judged once it runs."""

    def by_hand(self, work: Work) -> str:
        name = f"by-hand-{_stage(work)}"
        spec = json.dumps({"spec": spec_of(work, name)})
        place = []
        with suppress(EngineError):  # no account: whoever runs it knows the namespace
            place.append(f"--namespace={self._api.namespace}")
        if work.ranks == 1:  # ranks by hand have no policy of their own, which would open what the label closes
            place.append(f"--labels={NETWORK_LABEL}={network_label(work)}")
        options = ["--rm", "--attach", "--restart=Never", f"--image={reference(work)}", f"--overrides={spec}"]
        return shlex.join(["kubectl", "run", name, *place, *options])

    def start(self, work: Work) -> str:
        name = f"{uuid4().hex[:12]}-{_stage(work)}"  # a log shows its first twelve characters
        hosts = self._hosts(work.first) if work.first else {}
        pod = self._create_pod(pod_of(work, name, hosts))
        try:
            if work.connection:
                self._create("secrets", secret_of(pod, *_connection(work)))
            if work.alias and not work.first:
                self._create("networkpolicies", network_of(pod))
        except BaseException:
            self.remove(name)
            raise
        return name

    def _hosts(self, first: str) -> dict[str, str]:
        """The name and address of the first pod on a network. Errors: NotRun if it gets none that LightGBM knows."""
        while not (addresses := addresses_of(pod := self._api.pod(first))):
            if self._state(pod).exit_code is not None:
                raise NotRun(f"the pod {first} has ended without an address")
            time.sleep(LOOK_S)
        if address := next((one for one in addresses if ":" not in one), None):
            return {pod["spec"]["hostname"]: address}
        found = ", ".join(addresses)
        raise NotRun(
            f"the pod {first} has the address {found}, expected one of IP version 4, as LightGBM knows no others; do: "
            "train with ranks 1",
            hopeless=True,
        )

    def _create_pod(self, body: Json) -> Json:
        try:
            return self._api.create("pods", body)
        except Refused as error:
            if error.status in INVALID:
                raise NotRun(f"the pod of {body['spec']['containers'][0]['image']}: {error}", hopeless=True) from None
            if not _is_repeated(error):
                raise
        return self._api.pod(body["metadata"]["name"])

    def _create(self, kind: str, body: Json) -> None:
        try:
            self._api.create(kind, body)
        except Refused as error:
            if not _is_repeated(error):
                raise

    def make_network(self, _work: Work) -> str:
        """A name for it: the first pod on it opens it for all that have the name, and closes it when it is removed."""
        return uuid4().hex[:16]

    def remove_network(self, _network: str) -> None:
        """It is gone with its first pod."""

    def find(self, labels: Mapping[str, str], *, running: bool = False) -> dict[str, dict[str, str]]:
        found = {}
        for pod in self._api.pods(selector(labels)):
            its_own = labels_of(pod)
            if labels.items() <= its_own.items() and (not running or self._goes_on(pod)):
                found[str(pod["metadata"]["name"])] = its_own
        return found

    def does(self, container: str, work: Work) -> bool:
        pod = self._api.pod(container)
        runs = pod["spec"]["containers"][0]
        try:
            state_of(pod, self._api.clock, self._start_s)
        except (NotRun, ContainerGone):
            return False
        return (
            runs["image"] == reference(work)
            and list(runs.get("args", ())) == list(work.command)
            and work.labels.items() <= labels_of(pod).items()
        )

    def state(self, container: str) -> State:
        return self._state(self._api.pod(container))

    def last_line(self, container: str) -> str:
        if not has_started(self._api.pod(container)):
            return ""
        lines = [line for line in self._api.log(container, CONTAINER, last=1) if line]
        return lines[-1].decode("utf-8", errors="replace").strip() if lines else ""

    def follow(self, container: str, seconds: float) -> Iterator[Output]:
        """The log, once the container has ended or the time is over: the result line as stdout, all else as stderr.

        Kubernetes keeps both in one stream. The termination message says which line is the result.
        """
        end = time.monotonic() + seconds
        while self._state(pod := self._api.pod(container)).exit_code is None and time.monotonic() < end:
            time.sleep(LOOK_S)
        if has_started(pod):
            yield from _apart(self._log(container), message_of(pod))

    def remove(self, container: str) -> None:
        with suppress(ContainerGone):
            self._api.delete(container, STOP_SECONDS)
            end = time.monotonic() + self._remove_s
            while time.monotonic() < end:
                self._api.pod(container)
                time.sleep(LOOK_S)
            # Its node does not answer. When it does, it ends a container whose pod is gone.
            self._api.delete(container, 0)

    def _log(self, container: str) -> Iterator[bytes]:
        """The lines of the log. If its node does not answer, a line says so: the result may be there without it."""
        try:
            yield from self._api.log(container, CONTAINER)
        except ContainerGone:
            raise
        except EngineError as error:
            yield f"the log cannot be read: the engine {error}".encode()

    def _state(self, pod: Json) -> State:
        return state_of(pod, self._api.clock, self._start_s)

    def _goes_on(self, pod: Json) -> bool:
        with suppress(NotRun, ContainerGone):
            return self._state(pod).exit_code is None
        return False


def _is_repeated(error: Refused) -> bool:
    """Whether the answer to an earlier request was lost: nobody else makes anything of this name."""
    return (error.status, error.reason) == (CONFLICT, "AlreadyExists")


def _stage(work: Work) -> str:
    return work.stage.replace("_", "-")


def _apart(lines: Iterator[bytes], message: str) -> Iterator[Output]:
    """Each line as output: the one that the termination message names as stdout's, all others as stderr's.

    Errors: NotRun if the message has only a hash, and no line has it.
    """
    result, digest, found = message.encode(), _digest(message), False
    for line in lines:
        if message and (line == result or (digest and hashlib.sha256(line).hexdigest() == digest)):
            found = True
            yield line + b"\n", None
        else:
            yield None, line + b"\n"
    if digest and not found:
        raise NotRun(
            "the result line does not fit the termination message, and the pod's log does not hold it any more"
        )
    if result and not found:  # the node has lost the log, or a part of it
        yield result + b"\n", None


def _digest(message: str) -> str:
    """The hash of a result line that is too long for the message; stagekit.result.hand_over writes it."""
    with suppress(ValueError, TypeError):
        found = json.loads(message)
        if set(found) == {"sha256"}:
            return str(found["sha256"])
    return ""


def _connection(work: Work) -> tuple[str, str]:
    """The name and content of the connection's file, which `connections.write` has written for the task."""
    name = f"{work.connection}.json"
    folder = connections.FOLDER / Path(work.environment["ML_CONNECTIONS"]).name
    return name, (folder / name).read_text(encoding="utf-8")


def connect(patience_s: float) -> KubernetesEngine:
    """The API server of the settings. Errors: SettingError."""
    for read in (placement.constraints_of, placement.reservation_of, options.tolerations_of):
        read("")  # what is wrong is wrong for every stage
    options.claim()
    api = Api(options.address(), options.account(), patience_s)
    return KubernetesEngine(api, options.start_s(), min(REMOVE_S, patience_s))
