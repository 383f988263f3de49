"""What Airflow may request from the engine: one request is judged by its method, path, query and body.

Whatever is not listed here is refused. A body is never forwarded unchanged: it is parsed, each value is checked, and
a new body is written from the checked values, so the engine cannot read it differently from us. A key that is not
listed may only have an empty value (null, false, 0, "", [], {}), which clients send by habit; it is left out. Names
are exact: the engine would accept `hostconfig` for `HostConfig`, here it is an unknown key.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from checks import (
    Check,
    Refused,
    fields,
    json_text,
    list_of,
    map_of,
    one_of,
    parse_json,
    parse_query,
    shown,
    text,
    whole,
    wrong,
)

# Put on every container that is created here, with the installation's name; only containers that carry both can be
# touched. No request can set it.
LABEL = "airflow-ml.proxy"
# The API of Docker Engine 25, the oldest that the project supports.
OLDEST_API = 44
MIN_MEMORY = 6 << 20

# How the engine names a container, or a network of its own.
CONTAINER = "[0-9a-f]{64}"
# How a swarm names a service, a network or a node.
SWARM_ID = "[0-9a-z]{25}"
# The stages whose containers may work together, on a network that was created here, and their names there.
WITH_RANKS, RANK = ("training",), "rank-[0-9]{1,2}"
IMAGE = r"airflow-ml-(?P<stage>[a-z0-9]+(?:-[a-z0-9]+)*):(?!latest(?![\w.-]))[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
# The stages that get credentials, and where.
WITH_CONNECTIONS, CONNECTIONS = ("exchange", "registry"), "/run/connections"
# The last word of a stage image's entry point. No request can replace it: the image says what code runs.
STAGE_MODULE = "/opt/stage/[a-z][a-z0-9_]*[.]py"
TMPFS_OPTION = "(?:rw|exec|noexec|nosuid|nodev|size=[0-9]+[kKmMgG]?|mode=[0-7]{3,4}|[ug]id=[0-9]+)"


@dataclass(frozen=True)
class Limits:
    """What this installation allows: `data` is a volume's name or the absolute path of a folder on the host.

    `installation` is a name that no other on the same engine has; `networks` are those that a stage may join, by stage;
    `connections` is the volume with credentials that the stages exchange and registry alone may mount, read-only.
    `pushed` are the images of the lock by their names in an image registry.
    """

    installation: str
    data: str
    max_memory: int
    networks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    connections: str | None = None
    images: frozenset[str] | None = None
    pushed: Mapping[str, str] = field(default_factory=dict)
    max_pids: int = 1024


@dataclass(frozen=True)
class EngineCall:
    """A request that was let through, in the form in which the engine gets it.

    `container`, `service` and `network` must carry our label.
    """

    method: str
    target: str
    body: bytes = b""
    container: str | None = None
    service: str | None = None
    network: str | None = None
    image: str | None = None
    creates: bool = False
    attaches: bool = False


# Checks the body of a request that creates something; returns the call with a body of its own.
Create = Callable[[EngineCall, bytes, Limits], EngineCall]


def judge(method: str, target: str, body: bytes, limits: Limits) -> EngineCall:
    """Decide on one request; returns the call for the engine, or raises Refused."""
    listed = {**looking(limits), **_containers(limits.installation)}
    creating = {"/containers/create": _create, "/networks/create": _create_network}
    return judge_listed(method, target, body, limits, listed, creating)


def judge_listed(
    method: str, target: str, body: bytes, limits: Limits, listed: Mapping[str, Check], creating: Mapping[str, Create]
) -> EngineCall:
    """Decide on one request by a list: each request with the check for its query, and what creates something."""
    path, _, query = target.partition("?")
    version, path = _split_version(method, path)
    create = creating.get(path) if method == "POST" else None
    if body and create is None:
        raise Refused(f"{method} {shown(path)} has a body of {len(body)} bytes; expected: none")
    names, check = _find_check(method, path, listed)
    checked = check(parse_query(query), "the query")
    target = version + path + ("?" + urlencode(checked) if checked else "")
    call = EngineCall(
        method,
        target,
        container=names.get("container"),
        service=names.get("service"),
        network=names.get("network") or names.get("bridge"),
        image=names.get("image"),
        attaches=path.endswith("/attach"),
    )
    return create(call, body, limits) if create else call


def _create(call: EngineCall, body: bytes, limits: Limits) -> EngineCall:
    container = judge_container(body, limits)
    mode = container["HostConfig"]["NetworkMode"]
    return replace(
        call,
        body=json.dumps(container).encode(),
        image=container["Image"],
        network=mode if re.fullmatch(CONTAINER, mode) else None,
        creates=True,
    )


def _create_network(call: EngineCall, body: bytes, limits: Limits) -> EngineCall:
    """A network that leads nowhere, not even to the host."""
    nowhere = fields(required={"com.docker.network.bridge.inhibit_ipv4": one_of("true")})
    network = judge_network(body, limits, {"Driver": one_of("bridge"), "Options": nowhere})
    return replace(call, body=json.dumps(network).encode())


def judge_network(body: bytes, limits: Limits, driver: Mapping[str, Check]) -> dict[str, Any]:
    """Check the body of /networks/create; returns a new body of the checked values, with our label."""
    check = fields(
        required={"Name": NAME, "Internal": one_of(True), "Labels": LABELS, **driver},
        optional={"CheckDuplicate": one_of(True)},
    )
    network: dict[str, Any] = check(parse_json(body, "the body"), "")
    network["Labels"][LABEL] = limits.installation
    return network


def judge_container(body: bytes, limits: Limits) -> dict[str, Any]:
    """Check the body of /containers/create; returns a new body of the checked values, with our label."""
    try:
        content = parse_json(body, "the body")
        container: dict[str, Any] = _container(limits, _stage_of(content))(content, "")
    except RecursionError:
        raise Refused("the body is nested too deeply", 400) from None
    host = container["HostConfig"]
    if host["MemorySwap"] != host["Memory"]:
        raise wrong("HostConfig.MemorySwap", host["MemorySwap"], f"{host['Memory']}, as Memory is: no swap on top")
    _check_endpoint(container, is_listed=host["NetworkMode"] in {"none", *limits.networks.get(_stage_of(content), ())})
    container["Labels"][LABEL] = limits.installation
    return container


def _check_endpoint(container: Mapping[str, Any], *, is_listed: bool) -> None:
    """A network that was created here is joined under the name of a rank, and together with no other."""
    key, network = "NetworkingConfig.EndpointsConfig", container["HostConfig"]["NetworkMode"]
    found = container.get("NetworkingConfig", {}).get("EndpointsConfig", {})
    if list(found) != ([] if is_listed else [network]):
        raise wrong(key, found, "nothing" if is_listed else f"{network}, as NetworkMode has it, alone")


def judge_image(image: str, details: Mapping[str, Any]) -> None:
    """Refuse an image, whose `details` are those of the engine, unless what it starts is a stage."""
    start = (details.get("Config") or {}).get("Entrypoint") or [""]
    if not re.fullmatch(STAGE_MODULE, start[-1]):
        raise wrong(f"the entry point of {image}", start, "a stage: [..., /opt/stage/STAGE.py]")


def is_ours(details: Mapping[str, Any], limits: Limits) -> bool:
    """Whether something, whose `details` are those of the engine, was created through this installation's proxy."""
    inside = details.get("Config") or details.get("Spec") or details  # a container, a service, a network
    return (inside.get("Labels") or {}).get(LABEL) == limits.installation


# --- requests ---


def _split_version(method: str, path: str) -> tuple[str, str]:
    found = re.fullmatch(r"(/v1[.]([1-9][0-9]{1,2}))?(/.*)", path)
    if not found:
        raise _not_listed(method, path)
    if found.group(2) and int(found.group(2)) < OLDEST_API:
        raise Refused(f"the API version of {shown(path)} is too old; expected: v1.{OLDEST_API} or later, or none", 400)
    return found.group(1) or "", found.group(3)


def _find_check(method: str, path: str, requests: Mapping[str, Check]) -> tuple[dict[str, str], Check]:
    """The names in the path, and the check for the query, of the listed request that this is."""
    if (method, path) == ("POST", "/images/create"):
        raise Refused("images are never pulled; do: run ./build_images.sh, it builds them and writes the image lock")
    kinds = {"container": CONTAINER, "image": IMAGE, "service": SWARM_ID, "network": SWARM_ID, "bridge": CONTAINER}
    for line, check in requests.items():
        listed, _, pattern = line.partition(" ")
        for kind, name in kinds.items():
            pattern = pattern.replace(f"{{{kind}}}", f"(?P<{kind}>{name})")
        if method == listed and (found := re.fullmatch(pattern, path)):
            return found.groupdict(), check
    raise _not_listed(method, path)


def _not_listed(method: str, path: str) -> Refused:
    return Refused(
        f"{method} {shown(path)} is not on this proxy's list; expected: a request that DockerOperator makes to run a"
        " stage, its path written plainly, its container given by the full id"
    )


YES_OR_NO = one_of("0", "1", "true", "false", "True", "False")
NO = one_of("0", "false", "False")
OUTPUT = dict.fromkeys(("stdout", "stderr"), YES_OR_NO)
MOMENT = text("[0-9]{1,10}([.][0-9]{1,9})?", "a time in seconds")
LINES = text("all|[0-9]{1,10}", "all or a number of lines")


def looking(limits: Limits) -> dict[str, Check]:
    """Each request that changes nothing and that every kind of engine answers, with the check for its query."""
    return {
        "GET /_ping": fields(),
        "GET /version": fields(),
        "GET /images/json": fields(
            required={"filters": json_text(fields(required={"reference": list_of(_image(limits), 1, 1)}))},
            optional={"only_ids": NO, "all": NO},
        ),
        "GET /images/{image}/json": fields(),
    }


def _containers(installation: str) -> dict[str, Check]:
    """Each request about containers, with the check for its query."""
    number = text("-1|[0-9]{1,10}", "a whole number")
    return {
        "GET /containers/json": _containers_query(installation),
        "POST /containers/create": fields(),
        "POST /containers/{container}/attach": fields(
            optional={**OUTPUT, "stream": YES_OR_NO, "logs": YES_OR_NO, "stdin": NO}
        ),
        "POST /containers/{container}/start": fields(),
        "POST /containers/{container}/wait": fields(
            optional={"condition": one_of("not-running", "next-exit", "removed")}
        ),
        "POST /containers/{container}/stop": fields(optional={"t": number}),
        "POST /containers/{container}/kill": fields(optional={"signal": text("[A-Z]{3,9}|[0-9]{1,2}", "a signal")}),
        "GET /containers/{container}/json": fields(),
        "GET /containers/{container}/logs": fields(
            optional={
                **OUTPUT,
                **dict.fromkeys(("follow", "timestamps"), YES_OR_NO),
                **dict.fromkeys(("since", "until"), MOMENT),
                "tail": LINES,
            }
        ),
        "DELETE /containers/{container}": fields(optional={"force": YES_OR_NO, "v": YES_OR_NO, "link": NO}),
        "GET /networks": ours_alone(installation, {}, {}),
        "POST /networks/create": fields(),
        "DELETE /networks/{bridge}": fields(),
    }


def _containers_query(installation: str) -> Check:
    yes_or_no, no = one_of("0", "1", "true", "false"), one_of("0", "false")
    limit = text("-1|[0-9]{1,10}", "a whole number")
    more = {"all": yes_or_no, "trunc_cmd": yes_or_no, "size": no, "limit": limit}
    return ours_alone(installation, {"status": list_of(text("[a-z]+", "a status"))}, more)


def ours_alone(installation: str, filters: Mapping[str, Check], more: Mapping[str, Check]) -> Check:
    """A list holds what is ours alone: our label is added to what the client filters by."""
    known = fields(optional={"label": list_of(text()), **filters})
    check = fields(optional={**more, "filters": json_text(known)})

    def apply(value: Any, key: str) -> Any:
        query = check(value, key)
        chosen = json.loads(query.get("filters", "{}"))
        chosen["label"] = [*chosen.get("label", []), f"{LABEL}={installation}"]
        return {**query, "filters": json.dumps(chosen)}

    return apply


# --- containers ---


USER = text("[1-9][0-9]{0,8}:[1-9][0-9]{0,8}", "UID:GID, two numbers, neither of them 0")
LABELS = map_of(text(r"airflow-ml[.](?!proxy\Z)[a-z0-9._-]+", f"airflow-ml.NAME, but not {LABEL}"), text())
NAME = text("airflow-ml-[a-z0-9]{1,32}", "airflow-ml-NAME")
VARIABLES = list_of(text("ML_[A-Z0-9_]+=.*", "ML_NAME=value"))


def _stage_of(content: Any) -> str:
    """The stage that a body's image runs; '' if it names no image of ours."""
    image = content.get("Image") if isinstance(content, dict) else None
    found = re.fullmatch(IMAGE, image) if isinstance(image, str) else None
    return found["stage"] if found else ""


def _container(limits: Limits, stage: str) -> Check:
    """The body of /containers/create. Cmd is a stage's arguments: the image's own entry point takes them."""
    return fields(
        required={
            "Image": _image(limits),
            "User": USER,
            "Labels": LABELS,
            "HostConfig": _host_config(limits, stage),
        },
        optional={
            "Cmd": list_of(text()),
            "Env": VARIABLES,
            "AttachStdout": one_of(True),
            "AttachStderr": one_of(True),
            **({"NetworkingConfig": _endpoint()} if stage in WITH_RANKS else {}),
        },
    )


def _endpoint() -> Check:
    """The name of a rank on the network of its training."""
    endpoint = fields(required={"Aliases": list_of(text(RANK, "rank-N"), 1, 1)})
    network = text(CONTAINER, "a network created here")
    return fields(required={"EndpointsConfig": map_of(network, endpoint)})


def _host_config(limits: Limits, stage: str) -> Check:
    memory = whole(MIN_MEMORY, limits.max_memory)
    no_new_privileges = one_of("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
    tmpfs = map_of(
        one_of("/tmp"),  # noqa: S108 - the container's own
        text(f"{TMPFS_OPTION}(,{TMPFS_OPTION})*", "options such as size=1g,mode=1777"),
    )
    log_options = fields(
        optional={
            "max-size": text("[1-9][0-9]*[kmg]", "a size such as 10m"),
            "max-file": text("[1-9][0-9]?", "1 to 99"),
        }
    )
    return fields(
        required={
            "NetworkMode": _network_mode(limits, stage),
            "ReadonlyRootfs": one_of(True),
            "CapDrop": list_of(one_of("ALL"), 1, 1),
            "SecurityOpt": list_of(no_new_privileges, 1, 1),
            "Memory": memory,
            "MemorySwap": memory,
            "PidsLimit": whole(1, limits.max_pids),
        },
        optional={
            "Mounts": mounts(limits, stage),
            "Tmpfs": tmpfs,
            "CpuShares": whole(2, 1024),
            "NanoCpus": whole(1, 1024 * 10**9),
            "LogConfig": fields(optional={"Type": one_of("json-file", "local"), "Config": log_options}),
        },
    )


def _network_mode(limits: Limits, stage: str) -> Check:
    """None, or one that the stage may join; for the ranks of a training also one that was created here."""
    listed = one_of("none", *sorted(limits.networks.get(stage, ())))

    def apply(value: Any, key: str) -> Any:
        own = stage in WITH_RANKS and isinstance(value, str) and re.fullmatch(CONTAINER, value)
        return value if own else listed(value, key)

    return apply


def mounts(limits: Limits, stage: str, more: Mapping[str, Check] | None = None) -> Check:
    """The data; for some stages also the credentials, which they cannot change; `more` by target."""
    kind = "bind" if limits.data.startswith("/") else "volume"
    data = _mount(kind, limits.data, "/data", optional={"ReadOnly": one_of(True)})
    checks = {"/data": data, **(more or {})}
    if stage in WITH_CONNECTIONS and limits.connections is not None:
        read_only = {"ReadOnly": one_of(True)}
        checks[CONNECTIONS] = _mount("volume", limits.connections, CONNECTIONS, required=read_only)

    def mount(value: Any, key: str) -> Any:
        target = value.get("Target") if isinstance(value, dict) else None
        return checks.get(target if isinstance(target, str) else "", data)(value, key)

    def apply(value: Any, key: str) -> Any:
        found = list_of(mount, 0, len(checks))(value, key)
        if len({one["Target"] for one in found}) < len(found):
            raise wrong(key, value, "each target once")
        return found

    return apply


def _mount(
    kind: str, source: str, target: str, *, required: Mapping[str, Check] | None = None,
    optional: Mapping[str, Check] | None = None,
) -> Check:  # fmt: skip
    where = {"Type": one_of(kind), "Source": one_of(source), "Target": one_of(target)}
    return fields(required={**where, **(required or {})}, optional=optional)


def _image(limits: Limits) -> Check:
    well_formed = text(IMAGE, "airflow-ml-STAGE:TAG, with a tag other than latest")

    def apply(value: Any, key: str) -> Any:
        image = well_formed(value, key)
        if limits.images is not None and image not in limits.images:
            raise wrong(key, image, "an image of the image lock; do: run ./build_images.sh, it writes the lock")
        return image

    return apply
