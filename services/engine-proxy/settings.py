"""The proxy's settings, all from the environment."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from policy import Limits

# A path is the more dangerous of the two: absolute, without `.` and `..`, and never the root itself.
VOLUME, FOLDER = "[a-zA-Z0-9][a-zA-Z0-9_.-]+", "(/(?![.]{1,2}(/|$))[^/]+)+"
INSTALLATION = "[a-z0-9][a-z0-9_-]*"
# STAGE=NETWORK. `host` is no network of its own, and `container:NAME` is another container's.
NETWORK = r"[a-z0-9]+(?:-[a-z0-9]+)*=(?!host(?:,|\Z))[a-zA-Z0-9][a-zA-Z0-9_.-]*"
UNITS = {"k": 10, "m": 20, "g": 30}


@dataclass(frozen=True)
class Settings:
    limits: Limits
    engine: str
    image_lock: Path | None
    request_seconds: float
    is_swarm: bool = False

    def current_limits(self) -> Limits:
        """The limits with the images that the lock names now; a lock that cannot be read names none."""
        if self.image_lock is None:
            return self.limits
        try:
            entries = json.loads(self.image_lock.read_text(encoding="utf-8"))["images"].values()
            pushed = {entry["pushed"]: entry["image"] for entry in entries if entry.get("pushed")}
            return replace(self.limits, images=frozenset(entry["image"] for entry in entries), pushed=pushed)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return replace(self.limits, images=frozenset())


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings, all from the environment:

    ML_DATA                    what may be mounted at /data: a volume's name or a host folder's path (required)
    ML_INSTALLATION            a name that no other installation on this engine has (required)
    ML_ENGINE                  swarm: services are let through, and no containers; anything else: containers, and no
                               services (default: docker)
    ML_DOCKER_SOCKET           the engine's socket (default: /var/run/docker.sock)
    ML_IMAGE_LOCK              the image lock; if set, only images that it names can run (default: not set)
    ML_STAGE_MEMORY            the most memory that a container may ask for, such as 4g (required)
    ML_STAGE_NETWORKS          which stage may join which network, besides none: STAGE=NETWORK, commas between
                               (default: no others)
    ML_CONNECTIONS_VOLUME      the volume with credentials that the stages exchange and registry may mount at
                               /run/connections, read-only (default: none)
    ML_PROXY_REQUEST_SECONDS   how long a client may take to send its request (default: 10)

    Errors: ValueError, which names the variable that is wrong.
    """

    def get(name: str, default: str, pattern: str, expected: str) -> str:
        value = environment.get(name) or default
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{name} is {value!r}; expected: {expected}")
        return value

    data = get("ML_DATA", "", f"{VOLUME}|{FOLDER}", "a volume's name or a folder's absolute path")
    networks = get("ML_STAGE_NETWORKS", "", f"({NETWORK}(,{NETWORK})*)?", "STAGE=NETWORK, ..., no network called host")
    connections = get("ML_CONNECTIONS_VOLUME", "", f"({VOLUME})?", "a volume's name")
    memory = get("ML_STAGE_MEMORY", "", "[1-9][0-9]*[kmgKMG]?[bB]?", "a size such as 4g").lower().rstrip("b")
    lock = environment.get("ML_IMAGE_LOCK")
    is_swarm = get("ML_ENGINE", "docker", "[a-z]+", "the name of an engine") == "swarm"
    if is_swarm and not data.startswith("/"):
        raise ValueError(
            f"ML_DATA is {data!r}; expected: with ML_ENGINE=swarm the path of a folder that every node has"
        )
    return Settings(
        limits=Limits(
            installation=get("ML_INSTALLATION", "", INSTALLATION, "a name of small letters, digits, - and _"),
            data=data,
            max_memory=int(memory.rstrip("kmg")) << UNITS.get(memory[-1], 0),
            networks=_by_stage(networks),
            connections=connections or None,
        ),
        engine=get("ML_DOCKER_SOCKET", "/var/run/docker.sock", "/.+", "a path"),
        image_lock=Path(lock) if lock else None,
        request_seconds=float(get("ML_PROXY_REQUEST_SECONDS", "10", "[0-9]+([.][0-9]+)?", "a number of seconds")),
        is_swarm=is_swarm,
    )


def _by_stage(text: str) -> dict[str, frozenset[str]]:
    pairs = [entry.split("=") for entry in text.split(",") if entry]
    return {stage: frozenset(network for other, network in pairs if other == stage) for stage, _ in pairs}
