"""A mock API server over loopback: it keeps what is created, and plays back the states that a test gives to pods.

It judges nothing as a real one does: no admission, no scheduler, no kubelet. The statuses are those that a cluster of
Kubernetes 1.36 has shown.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kmock import KubernetesError, KubernetesScaffold, Request, Server, resource
from kmock import action as actions

from ml.engines.kubernetes.pod import IMAGE_ID
from tests.harness import PATIENCE_S

Json = dict[str, Any]
NAMESPACE, TOKEN = "ml", "a-token"
LONG_AGO = "2026-11-21T06:00:00Z"


def running(**more: Any) -> Json:
    return status("Running", {"running": {"startedAt": LONG_AGO}}, **more)


def ended(exit_code: int, reason: str = "", message: str = "", **more: Any) -> Json:
    """A container that has ended; the message is its termination message."""
    reason = reason or ("Error" if exit_code else "Completed")
    end = {"exitCode": exit_code, "reason": reason, "message": message}
    return status("Failed" if exit_code else "Succeeded", {"terminated": end}, **more)


def waiting(reason: str, message: str = "") -> Json:
    return status("Pending", {"waiting": {"reason": reason, "message": message}}, image_id="")


def unscheduled(message: str) -> Json:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [condition]}


def status(phase: str, state: Json, image_id: str | None = None, **more: Any) -> Json:
    """The status of a pod; its image is the right one, unless `image_id` is another."""
    return {"phase": phase, "containerStatuses": [{"name": "stage", "imageID": image_id, "state": state}], **more}


def disrupted(reason: str, **more: Any) -> Json:
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}], **more}


class Cluster:
    """The pods of a namespace. `plays` are the statuses of each new pod, one a look; the last one stays."""

    def __init__(self) -> None:
        self.pods: dict[str, Json] = {}
        self.secrets: list[Json] = []
        self.policies: list[Json] = []
        self.plays: list[Json] = [running()]
        self.log: bytes | KubernetesError = b""
        # What the next requests of a kind are answered with, instead of what they ask for; None lets one through.
        self.refusals: dict[str, list[KubernetesError | None]] = {}
        # The same, but what they ask for is done.
        self.lost_answers: dict[str, list[KubernetesError]] = {}
        self.created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        # Whether pods stay when they are deleted, because their node does not answer.
        self.node_is_lost = False
        self.requests: list[str] = []
        self._scripts: dict[str, list[Json]] = {}
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._started.wait(PATIENCE_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)

    def add(self, pod: Json, *plays: Json) -> str:
        """A pod that is there already; returns its name."""
        name = str(pod["metadata"]["name"])
        uid = {"uid": f"uid-of-{name}", "creationTimestamp": self.created}
        self.pods[name] = {**pod, "metadata": {**pod["metadata"], **uid, "namespace": NAMESPACE}}
        self._scripts[name] = list(plays or self.plays)
        return name

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve_until_stopped())

    async def _serve_until_stopped(self) -> None:
        self._stop = asyncio.Event()
        async with KubernetesScaffold() as mock, Server(mock) as server:
            self._answer(mock)
            self.address = str(server.url).rstrip("/")
            self._started.set()
            await self._stop.wait()

    def _answer(self, mock: KubernetesScaffold) -> None:
        pods, secrets = resource("v1/pods"), resource("v1/secrets")
        policies = resource("networking.k8s.io/v1/networkpolicies")
        mock[is_log] << self._answering("LOG", lambda _: self._log())
        mock[pods, actions.LIST] << self._answering("LIST", self._list)
        mock[pods, actions.FETCH] << self._answering("GET", lambda request: self._look(self._named(request)))
        mock[pods, actions.CREATE] << self._answering("POST", self._create)
        mock[pods, actions.DELETE] << self._answering("DELETE", self._delete)
        mock[secrets, actions.CREATE] << self._answering("POST secret", partial(self._keep, self.secrets))
        mock[policies, actions.CREATE] << self._answering("POST policy", partial(self._keep, self.policies))

    def _answering(self, kind: str, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        def act(request: Request) -> Any:
            self.requests.append(kind)
            if request.headers.get("Authorization") != f"Bearer {TOKEN}" or request.namespace != NAMESPACE:
                raise KubernetesError(401, "Unauthorized", "Unauthorized")
            if (refusals := self.refusals.get(kind)) and (refusal := refusals.pop(0)):
                raise refusal
            done = answer(request)
            if lost := self.lost_answers.get(kind):
                raise lost.pop(0)
            return done

        return act

    def _named(self, request: Request) -> Json:
        if request.name not in self.pods:
            raise KubernetesError(404, "NotFound", f'pods "{request.name}" not found')
        return self.pods[request.name]

    def _look(self, pod: Json) -> Json:
        script = self._scripts[pod["metadata"]["name"]]
        play = script.pop(0) if len(script) > 1 else script[0]
        deleted = {"deletionTimestamp": play["deleted"]} if "deleted" in play else {}
        for container in play.get("containerStatuses", ()):
            if container["imageID"] is None:
                container["imageID"] = pod["metadata"]["annotations"].get(IMAGE_ID, "by digest")
        # A pod without a place has no address.
        place = {"podIPs": [{"ip": self.address_of(pod)}]} if play["phase"] != "Pending" else {}
        return {**pod, "metadata": pod["metadata"] | deleted, "status": place | play}

    def address_of(self, pod: Json) -> str:
        return f"10.1.0.{1 + list(self.pods).index(pod['metadata']['name'])}"

    def _list(self, request: Request) -> Json:
        wanted = dict(one.split("=") for one in request.params["labelSelector"].split(","))
        found = [pod for pod in self.pods.values() if wanted.items() <= pod["metadata"]["labels"].items()]
        return {"kind": "PodList", "items": [self._look(pod) for pod in found]}

    def _create(self, request: Request) -> Json:
        if request.data["metadata"]["name"] in self.pods:
            raise KubernetesError(409, "AlreadyExists", f'pods "{request.data["metadata"]["name"]}" already exists')
        return self.pods[self.add(request.data)]

    def _delete(self, request: Request) -> Json:
        pod, grace = self._named(request), request.params["gracePeriodSeconds"]
        self.requests[-1] = f"DELETE {grace}"
        if not self.node_is_lost or grace == "0":
            del self.pods[pod["metadata"]["name"]]
        return pod

    def _keep(self, kept: list[Json], request: Request) -> Json:
        name = request.data["metadata"]["name"]
        if name in {one["metadata"]["name"] for one in kept}:
            raise KubernetesError(409, "AlreadyExists", f'"{name}" already exists')
        kept.append(request.data)
        return dict(request.data)

    def _log(self) -> bytes:
        if isinstance(self.log, KubernetesError):
            raise self.log
        return self.log


def is_log(request: Request) -> bool:
    return request.subresource == "log"


def log_of(lines: Iterable[str], result: Mapping[str, Any]) -> tuple[bytes, str]:
    """The log of a stage with these lines on stderr, and its result line."""
    line = json.dumps(result)
    return "".join(f"{one}\n" for one in [*lines, line]).encode(), line
