"""What Airflow may request from the engine: one request is judged by its method, path, query and body.

Whatever is not listed here is refused. A body is never forwarded unchanged: it is parsed, each value is checked, and
a new body is written from the checked values, so the engine cannot read it differently from us. A key that is not
listed may only have an empty value (null, false, 0, "", [], {}), which clients send by habit; it is left out. Names
are exact: the engine would accept `hostconfig` for `HostConfig`, here it is an unknown key.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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

CONTAINER = "[0-9a-f]{64}"
IMAGE = r"airflow-ml-(?P<stage>[a-z0-9]+(?:-[a-z0-9]+)*):(?!latest(?![\w.-]))[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
# The one stage that gets credentials, and where.
EXCHANGE, CONNECTIONS = "exchange", "/run/connections"
# The last word of a stage image's entry point. No request can replace it: the image says what code runs.
STAGE_MODULE = "/opt/stage/[a-z][a-z0-9_]*[.]py"
TMPFS_OPTION = "(?:rw|exec|noexec|nosuid|nodev|size=[0-9]+[kKmMgG]?|mode=[0-7]{3,4}|[ug]id=[0-9]+)"


@dataclass(frozen=True)
class Limits:
    """What this installation allows: `data` is a volume's name or the absolute path of a folder on the host.

    `installation` is a name that no other on the same engine has; `networks` are those that a stage may join, by stage;
    `connections` is the volume with credentials that the stage exchange alone may mount, read-only.
    """

    installation: str
    data: str
    max_memory: int
    networks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    connections: str | None = None
    images: frozenset[str] | None = None
    max_pids: int = 1024


@dataclass(frozen=True)
class Call:
    """A request that was let through, in the form in which the engine gets it. `container` must carry our label."""

    method: str
    target: str
    body: bytes = b""
    container: str | None = None
    image: str | None = None
    creates: bool = False
    attaches: bool = False


def judge(method: str, target: str, body: bytes, limits: Limits) -> Call:
    """Decide on one request; returns the call for the engine, or raises Refused."""
    path, _, query = target.partition("?")
    version, path = _split_version(method, path)
    creates = (method, path) == ("POST", "/containers/create")
    if body and not creates:
        raise Refused(f"{method} {shown(path)} has a body of {len(body)} bytes; expected: none")
    names, check = _find_check(method, path, limits)
    checked = check(parse_query(query), "the query")
    target = version + path + ("?" + urlencode(checked) if checked else "")
    if creates:
        container = judge_container(body, limits)
        return Call(method, target, json.dumps(container).encode(), image=container["Image"], creates=True)
    attaches = path.endswith("/attach")
    return Call(method, target, container=names.get("container"), image=names.get("image"), attaches=attaches)


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
    container["Labels"][LABEL] = limits.installation
    return container


def judge_image(image: str, details: Mapping[str, Any]) -> None:
    """Refuse an image, whose `details` are those of the engine, unless what it starts is a stage."""
    start = (details.get("Config") or {}).get("Entrypoint") or [""]
    if not re.fullmatch(STAGE_MODULE, start[-1]):
        raise wrong(f"the entry point of {image}", start, "a stage: [..., /opt/stage/STAGE.py]")


def is_ours(details: Mapping[str, Any], limits: Limits) -> bool:
    """Whether a container, whose `details` are those of the engine, was created through this installation's proxy."""
    return ((details.get("Config") or {}).get("Labels") or {}).get(LABEL) == limits.installation


# --- requests ---


def _split_version(method: str, path: str) -> tuple[str, str]:
    found = re.fullmatch(r"(/v1[.]([0-9]{2,3}))?(/.*)", path)
    if not found:
        raise _not_listed(method, path)
    if found.group(2) and int(found.group(2)) < OLDEST_API:
        raise Refused(f"the API version of {shown(path)} is too old; expected: v1.{OLDEST_API} or later, or none", 400)
    return found.group(1) or "", found.group(3)


def _find_check(method: str, path: str, limits: Limits) -> tuple[dict[str, str], Check]:
    """The names in the path, and the check for the query, of the listed request that this is."""
    if (method, path) == ("POST", "/images/create"):
        raise Refused("images are never pulled; do: run ./build_images.sh, it builds them and writes the image lock")
    for line, check in _requests(limits).items():
        listed, _, pattern = line.partition(" ")
        pattern = pattern.replace("{container}", f"(?P<container>{CONTAINER})").replace(
            "{image}", f"(?P<image>{IMAGE})"
        )
        if method == listed and (found := re.fullmatch(pattern, path)):
            return found.groupdict(), check
    raise _not_listed(method, path)


def _not_listed(method: str, path: str) -> Refused:
    return Refused(
        f"{method} {shown(path)} is not on this proxy's list; expected: a request that DockerOperator makes to run a"
        " stage, its path written plainly, its container given by the full id"
    )


def _requests(limits: Limits) -> dict[str, Check]:
    """Each request that is let through, with the check for its query."""
    yes_or_no = one_of("0", "1", "true", "false", "True", "False")
    no = one_of("0", "false", "False")
    number = text("-1|[0-9]{1,10}", "a whole number")
    moment = text("[0-9]{1,10}([.][0-9]{1,9})?", "a time in seconds")
    output = dict.fromkeys(("stdout", "stderr"), yes_or_no)
    return {
        "GET /_ping": fields(),
        "GET /version": fields(),
        "GET /images/json": fields(
            required={"filters": json_text(fields(required={"reference": list_of(_image(limits), 1, 1)}))},
            optional={"only_ids": no, "all": no},
        ),
        "GET /images/{image}/json": fields(),
        "GET /containers/json": _containers_query(limits.installation),
        "POST /containers/create": fields(),
        "POST /containers/{container}/attach": fields(
            optional={**output, "stream": yes_or_no, "logs": yes_or_no, "stdin": no}
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
                **output,
                **dict.fromkeys(("follow", "timestamps"), yes_or_no),
                **dict.fromkeys(("since", "until"), moment),
                "tail": text("all|[0-9]{1,10}", "all or a number of lines"),
            }
        ),
        "DELETE /containers/{container}": fields(optional={"force": yes_or_no, "v": yes_or_no, "link": no}),
    }


def _containers_query(installation: str) -> Check:
    """A list of containers holds ours alone: our label is added to what the client filters by."""
    yes_or_no, no = one_of("0", "1", "true", "false"), one_of("0", "false")
    filters = fields(optional={"label": list_of(text()), "status": list_of(text("[a-z]+", "a status"))})
    check = fields(
        optional={
            "all": yes_or_no,
            "trunc_cmd": yes_or_no,
            "size": no,
            "limit": text("-1|[0-9]{1,10}", "a whole number"),
            "filters": json_text(filters),
        }
    )

    def apply(value: Any, key: str) -> Any:
        query = check(value, key)
        chosen = json.loads(query.get("filters", "{}"))
        chosen["label"] = [*chosen.get("label", []), f"{LABEL}={installation}"]
        return {**query, "filters": json.dumps(chosen)}

    return apply


# --- containers ---


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
            "User": text("[1-9][0-9]{0,8}:[1-9][0-9]{0,8}", "UID:GID, two numbers, neither of them 0"),
            "Labels": map_of(
                text(r"airflow-ml[.](?!proxy\Z)[a-z0-9._-]+", f"airflow-ml.NAME, but not {LABEL}"), text()
            ),
            "HostConfig": _host_config(limits, stage),
        },
        optional={
            "Cmd": list_of(text()),
            "Env": list_of(text("ML_[A-Z0-9_]+=.*", "ML_NAME=value")),
            "AttachStdout": one_of(True),
            "AttachStderr": one_of(True),
        },
    )


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
            "NetworkMode": one_of("none", *sorted(limits.networks.get(stage, ()))),
            "ReadonlyRootfs": one_of(True),
            "CapDrop": list_of(one_of("ALL"), 1, 1),
            "SecurityOpt": list_of(no_new_privileges, 1, 1),
            "Memory": memory,
            "MemorySwap": memory,
            "PidsLimit": whole(1, limits.max_pids),
        },
        optional={
            "Mounts": _mounts(limits, stage),
            "Tmpfs": tmpfs,
            "CpuShares": whole(2, 1024),
            "NanoCpus": whole(1, 1024 * 10**9),
            "LogConfig": fields(optional={"Type": one_of("json-file", "local"), "Config": log_options}),
        },
    )


def _mounts(limits: Limits, stage: str) -> Check:
    """The data; for the stage exchange also the credentials, which it cannot change."""
    data = fields(
        required={
            "Type": one_of("bind" if limits.data.startswith("/") else "volume"),
            "Source": one_of(limits.data),
            "Target": one_of("/data"),
        },
        optional={"ReadOnly": one_of(True)},
    )
    if stage != EXCHANGE or limits.connections is None:
        return list_of(data, 0, 1)
    connections = fields(
        required={
            "Type": one_of("volume"),
            "Source": one_of(limits.connections),
            "Target": one_of(CONNECTIONS),
            "ReadOnly": one_of(True),
        }
    )

    def mount(value: Any, key: str) -> Any:
        check = connections if isinstance(value, dict) and value.get("Target") == CONNECTIONS else data
        return check(value, key)

    def apply(value: Any, key: str) -> Any:
        mounts = list_of(mount, 0, 2)(value, key)
        if len({one["Target"] for one in mounts}) < len(mounts):
            raise wrong(key, value, "each target once")
        return mounts

    return apply


def _image(limits: Limits) -> Check:
    well_formed = text(IMAGE, "airflow-ml-STAGE:TAG, with a tag other than latest")

    def apply(value: Any, key: str) -> Any:
        image = well_formed(value, key)
        if limits.images is not None and image not in limits.images:
            raise wrong(key, image, "an image of the image lock; do: run ./build_images.sh, it writes the lock")
        return image

    return apply
