"""What Airflow may request from the manager of a swarm: judged as strictly as containers are (policy.py).

A service is one job of one stage. It has one network: its own, created here, which leads nowhere, or one that the stage
may join.
"""

import json
import re
from dataclasses import replace
from typing import Any

from checks import Check, Refused, fields, list_of, one_of, parse_json, text, whole, wrong
from policy import (
    LABEL,
    LABELS,
    LINES,
    MIN_MEMORY,
    MOMENT,
    NAME,
    NO,
    OUTPUT,
    RANK,
    SWARM_ID,
    USER,
    VARIABLES,
    WITH_RANKS,
    YES_OR_NO,
    EngineCall,
    Limits,
    judge_listed,
    judge_network,
    looking,
    mounts,
    ours_alone,
)

CONSTRAINT = text(r"node[.][A-Za-z0-9_./-]+(==|!=)[A-Za-z0-9_.:/-]+", "node.NAME==VALUE or node.NAME!=VALUE")
MAX_STOP_NS, MAX_CPU_NS, MAX_BYTES = 60 * 10**9, 1024 * 10**9, 1 << 50


def judge(method: str, target: str, body: bytes, limits: Limits) -> EngineCall:
    """Decide on one request; returns the call for the engine, or raises Refused."""
    creating = {"/services/create": _create_service, "/networks/create": _create_network}
    return judge_listed(method, target, body, limits, {**looking(limits), **_requests(limits.installation)}, creating)


def judge_service(body: bytes, limits: Limits) -> dict[str, Any]:
    """Check the body of /services/create; returns a new body of the checked values, with our label."""
    content = parse_json(body, "the body")
    try:
        service: dict[str, Any] = _service(limits, _stage_of(content, limits))(content, "")
    except RecursionError:
        raise Refused("the body is nested too deeply", 400) from None
    service["Labels"][LABEL] = service["TaskTemplate"]["ContainerSpec"]["Labels"][LABEL] = limits.installation
    return service


def _requests(installation: str) -> dict[str, Check]:
    """Each request about a swarm, with the check for its query."""
    return {
        "GET /nodes": fields(),
        "GET /tasks": ours_alone(installation, {"service": list_of(text(SWARM_ID, "a service's full id"))}, {}),
        "GET /services": ours_alone(installation, {}, {}),
        "POST /services/create": fields(),
        "GET /services/{service}": fields(),
        "GET /services/{service}/logs": fields(
            optional={**OUTPUT, "details": NO, "follow": NO, "timestamps": YES_OR_NO, "since": MOMENT, "tail": LINES}
        ),
        "DELETE /services/{service}": fields(),
        "GET /networks": ours_alone(installation, {}, {}),
        "POST /networks/create": fields(),
        "DELETE /networks/{network}": fields(),
    }


def _create_service(call: EngineCall, body: bytes, limits: Limits) -> EngineCall:
    service = judge_service(body, limits)
    template = service["TaskTemplate"]
    network = template["Networks"][0]["Target"]
    return replace(
        call,
        body=json.dumps(service).encode(),
        image=limits.pushed[template["ContainerSpec"]["Image"]],
        network=network if re.fullmatch(SWARM_ID, network) else None,
        creates=True,
    )


def _create_network(call: EngineCall, body: bytes, limits: Limits) -> EngineCall:
    """A network that leads nowhere: only Swarm itself connects a task with it."""
    return replace(call, body=json.dumps(judge_network(body, limits, {"Driver": one_of("overlay")})).encode())


def _stage_of(content: Any, limits: Limits) -> str:
    """The stage that a body's image runs; '' if it names no image of the lock."""
    try:
        image = limits.pushed[content["TaskTemplate"]["ContainerSpec"]["Image"]]
    except (LookupError, TypeError):
        return ""
    return image.partition(":")[0].removeprefix("airflow-ml-")


def _service(limits: Limits, stage: str) -> Check:
    one = whole(1, 1)
    return fields(
        required={
            "Name": NAME,
            "Labels": LABELS,
            "TaskTemplate": _task(limits, stage),
            "Mode": fields(required={"ReplicatedJob": fields({"MaxConcurrent": one, "TotalCompletions": one})}),
            "EndpointSpec": fields(required={"Mode": one_of("dnsrr")}),
        }
    )


def _task(limits: Limits, stage: str) -> Check:
    networks = sorted(limits.networks.get(stage, ()))
    target = text("|".join([SWARM_ID, *map(re.escape, networks)]), " or ".join(["a network created here", *networks]))
    return fields(
        required={
            "ContainerSpec": _container(limits, stage),
            "Resources": _resources(limits),
            # Left out, Swarm starts a job that failed again, without an end.
            "RestartPolicy": fields(required={"Condition": one_of("none")}),
            "Networks": list_of(_network(target, stage), 1, 1),
        },
        optional={"Placement": fields(required={"Constraints": list_of(CONSTRAINT, 1, 20)})},
    )


def _network(target: Check, stage: str) -> Check:
    """A network; the ranks of a training have names on one that was created here."""
    own, name = text(SWARM_ID, "a network created here"), list_of(text(RANK, "rank-N"), 1, 1)
    named, alone = fields(required={"Target": own, "Aliases": name}), fields(required={"Target": target})

    def apply(value: Any, key: str) -> Any:
        has_name = stage in WITH_RANKS and isinstance(value, dict) and value.get("Aliases")
        return (named if has_name else alone)(value, key)

    return apply


def _container(limits: Limits, stage: str) -> Check:
    """Args is a stage's arguments: the image's own entry point takes them."""
    tmp = fields(required={"Type": one_of("tmpfs"), "Target": one_of("/tmp")})  # noqa: S108 - the container's own
    return fields(
        required={
            "Image": _image(limits),
            "User": USER,
            "Labels": LABELS,
            "ReadOnly": one_of(True),
            "CapabilityDrop": list_of(one_of("ALL"), 1, 1),
            "Privileges": fields(required={"NoNewPrivileges": one_of(True)}),
            "Mounts": mounts(limits, stage, {"/tmp": tmp}),  # noqa: S108 - the container's own
        },
        optional={
            "Args": list_of(text()),
            "Env": VARIABLES,
            "StopGracePeriod": whole(1, MAX_STOP_NS),
        },
    )


def _resources(limits: Limits) -> Check:
    memory = whole(MIN_MEMORY, limits.max_memory)
    reserved = {"MemoryBytes": whole(1, MAX_BYTES), "NanoCPUs": whole(1, MAX_CPU_NS)}
    return fields(
        required={"Limits": fields(required={"MemoryBytes": memory, "Pids": whole(1, limits.max_pids)})},
        optional={"Reservations": fields(optional=reserved)},
    )


def _image(limits: Limits) -> Check:
    """By digest: no node can run another one under this name."""

    def apply(value: Any, key: str) -> Any:
        if not isinstance(value, str) or value not in limits.pushed:
            expected = "an image of the image lock by its name in the image registry; do: run ./build_images.sh --push"
            raise wrong(key, value, expected)
        return value

    return apply
