"""What a pod's status means in our words. Reads and writes nothing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ml.engines import ContainerGone, NotRun, State
from ml.engines.kubernetes.api import Json
from ml.engines.kubernetes.pod import CONTAINER, IMAGE_ID

# Why a container waits that will not start by itself; of these, what a retry cannot mend.
STUCK = {
    "ImagePullBackOff": "the image cannot be pulled",
    "ErrImageNeverPull": "the image is not on the node",
    "InvalidImageName": "the image's name is wrong",
    "CreateContainerConfigError": "the container cannot be made",
    "CreateContainerError": "the container cannot be made",
    "RunContainerError": "the container cannot be started",
}
HOPELESS = {"ErrImageNeverPull", "InvalidImageName"}
# Ends of a container that are not the stage's own.
NOT_ITS_OWN = {
    "ContainerStatusUnknown": "the node does not know how the container ended",
    "StartError": "the container cannot be started",
    "ContainerCannotRun": "the container cannot be started",
}
# Why Kubernetes takes a pod away, as its condition DisruptionTarget says.
DISRUPTED = {
    "DeletionByTaintManager": "its node does not answer, or is closed to it",
    "EvictionByEvictionAPI": "its node is being emptied",
    "PreemptionByScheduler": "a pod of higher priority needed its place",
    "TerminationByKubelet": "its node was short of something, or was shut down",
    "DeletionByPodGC": "its node is gone",
}


def state_of(pod: Json, now: float, patience_s: float) -> State:
    """The state of a pod's container, at a time of the API server's clock.

    Errors: NotRun if it will not start, has not started for longer than the patience, or did not end by itself;
    ContainerGone if somebody else removes the pod.
    """
    _require_image(pod)
    ended = _container(pod).get("state", {}).get("terminated")
    status = pod.get("status", {})
    if status.get("phase") == "Failed" and status.get("reason"):  # Evicted, NodeLost, OutOfmemory and others
        why = ": ".join(filter(None, (status["reason"], status.get("message"))))
        raise NotRun(f"{_name(pod)} was ended by Kubernetes: {why}")
    if ended and ended.get("reason") in NOT_ITS_OWN:
        raise NotRun(f"{_name(pod)}: {NOT_ITS_OWN[ended['reason']]} ({ended.get('message') or ended['reason']})")
    if ended:
        return State(int(ended["exitCode"]), ended.get("reason") == "OOMKilled")
    if pod["metadata"].get("deletionTimestamp"):
        _raise_disrupted(pod)
    if not has_started(pod):
        _require_start(pod, now - _seconds(pod["metadata"]["creationTimestamp"]), patience_s)
    return State(None)


def has_started(pod: Json) -> bool:
    """Whether the container has run at least for a moment."""
    return not {"running", "terminated"}.isdisjoint(_container(pod).get("state", {}))


def addresses_of(pod: Json) -> list[str]:
    """The addresses of a pod, none before it has a place."""
    return [one["ip"] for one in pod.get("status", {}).get("podIPs", ())]


def message_of(pod: Json) -> str:
    """The termination message: what the stage has written to its result file."""
    return str(_container(pod).get("state", {}).get("terminated", {}).get("message", ""))


def _container(pod: Json) -> Json:
    found = (one for one in pod.get("status", {}).get("containerStatuses", ()) if one["name"] == CONTAINER)
    return next(found, {})


def _require_image(pod: Json) -> None:
    """What a name without a digest means on a node is known only once it runs there."""
    expected = pod["metadata"].get("annotations", {}).get(IMAGE_ID)
    found = str(_container(pod).get("imageID", ""))
    if expected and found and has_started(pod) and not found.endswith(expected):
        name = pod["spec"]["containers"][0]["image"]
        raise NotRun(
            f"image {name} of the image lock is {found} on {_node(pod)}, not {expected}; do: import it there again, or "
            "push the images with ./build_images.sh --push",
            hopeless=True,
        )


def _require_start(pod: Json, waited_s: float, patience_s: float) -> None:
    waiting = _container(pod).get("state", {}).get("waiting", {})
    if (reason := waiting.get("reason")) in STUCK:
        why = ": ".join(filter(None, (reason, waiting.get("message"))))
        raise NotRun(f"{_name(pod)}: {STUCK[reason]} ({why})", hopeless=reason in HOPELESS)
    unscheduled = _condition(pod, "PodScheduled")
    why = unscheduled.get("message", "") if unscheduled.get("status") == "False" else ""
    if "persistentvolumeclaim" in why and "not found" in why:
        raise NotRun(f"{_name(pod)} has no place: {why}; do: create the claim that ML_DATA names", hopeless=True)
    if waited_s > patience_s:
        found = f"has no place ({why})" if why else f"has not started ({waiting.get('reason') or 'no reason is given'})"
        raise NotRun(
            f"{_name(pod)} {found} after {waited_s:.0f} seconds, expected at most {patience_s:.0f}; do: look at "
            "`kubectl describe nodes`, `kubectl get events` and the requests of the stage (ML_STAGE_RESERVATIONS)"
        )


def _raise_disrupted(pod: Json) -> None:
    reason = _condition(pod, "DisruptionTarget").get("reason")
    if reason is None:
        raise ContainerGone("is removing the pod")
    why = DISRUPTED.get(reason, reason)
    raise NotRun(f"{_name(pod)} was taken away by Kubernetes: {why} ({reason}, {_node(pod)})")


def _condition(pod: Json, kind: str) -> Mapping[str, Any]:
    return next((one for one in pod.get("status", {}).get("conditions", ()) if one["type"] == kind), {})


def _name(pod: Json) -> str:
    return f"the pod {pod['metadata']['name']}"


def _node(pod: Json) -> str:
    return f"node {pod['spec'].get('nodeName', 'unknown')}"


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
