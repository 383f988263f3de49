"""The attacks on the engine proxy: each is a row, sent as bytes and judged by what it did at the engine."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.attacks import bodies, requests
from tests.attacks.lab import Lab
from tests.attacks.requests import Request

BATCH = 50
SETTLE_S = 0.05
NOTHING: Sequence[str] = ()
AS_A_STAGE = ("container created, as a stage's",)


@dataclass(frozen=True)
class Attack:
    """One row: what is sent, to which of the two proxies, and what may happen at the engine."""

    group: str
    name: str
    parts: Sequence[bytes]
    is_swarm: bool = False
    expected: Sequence[str] = NOTHING


@dataclass(frozen=True)
class Outcome:
    """What an attack did at the engine, and the bytes that came back."""

    attack: Attack
    done: Sequence[str]
    answer: bytes

    @property
    def passed(self) -> bool:
        """Whether nothing happened but what may happen."""
        return list(self.done) == list(self.attack.expected)


def all_attacks() -> list[Attack]:
    """Every row, in the order of the table."""
    return [*_bodies(), *_requests(), *_bytes()]


def _create(path: str, body: Any) -> tuple[bytes]:
    return (Request("POST", f"/v1.45{path}/create", body).to_bytes(),)


def _shown(value: Any, length: int = 70) -> str:
    text = json.dumps(value) if not isinstance(value, bytes) else repr(value)[2:-1]
    return text if len(text) <= length else text[: length - 1] + "…"


def _bodies() -> Iterator[Attack]:
    for path, value, _ in bodies.CONTAINERS:
        name = f"{path} is {_shown(value)}"
        yield Attack("a container's body", name, _create("/containers", bodies.changed(path, value)))
    yield Attack("a container's body", "Image is in the lock, but no stage", _create("/containers", bodies.NO_STAGE))
    for mounts in bodies.MOUNTS:
        body = bodies.changed("HostConfig.Mounts", mounts)
        yield Attack("a container's mounts", _shown(mounts, 120), _create("/containers", body))
    for mounts in bodies.CREDENTIALS:
        body = bodies.changed("HostConfig.Mounts", mounts, bodies.EXCHANGE)
        yield Attack(
            "the credentials of the stages exchange and registry", _shown(mounts, 120), _create("/containers", body)
        )
    for key, value, where in bodies.TWO_KEYS:
        content = bodies.with_key(key, value, where)
        name = f"{where}{key} is {_shown(value)}, beside what a good body has"
        yield Attack("a body that can be read in two ways", name, _create("/containers", content))
    for content, _ in bodies.AMBIGUOUS:
        yield Attack("a body that can be read in two ways", _shown(content), _create("/containers", content))
    for path, value in bodies.EMPTY:
        name = f"{path} is {_shown(value)}"
        body = bodies.changed(path, value)
        yield Attack("a value that is empty", name, _create("/containers", body), expected=AS_A_STAGE)
    for path, value, _ in bodies.RANKS:
        body = bodies.changed(path, value, bodies.RANK)
        yield Attack("a rank of a training", f"{path} is {_shown(value)}", _create("/containers", body))
    joined = {bodies.OTHER_BRIDGE: {"Aliases": ["rank-0"]}}
    body = bodies.changed(
        bodies.JOINED, joined, bodies.changed("HostConfig.NetworkMode", bodies.OTHER_BRIDGE, bodies.RANK)
    )
    yield Attack("a rank of a training", "on a network of others", _create("/containers", body))
    for path, value, _ in bodies.SWARM_RANKS:
        body = bodies.changed(path, value, bodies.SWARM_RANK)
        yield Attack("a rank of a training", f"{path} is {_shown(value)}", _create("/services", body), is_swarm=True)
    for path, value, _ in bodies.SERVICES:
        body = bodies.changed(path, value, bodies.SERVICE)
        yield Attack("a service's body", f"{path} is {_shown(value)}", _create("/services", body), is_swarm=True)
    for key, value in bodies.NETWORKS:
        body = {**bodies.NET, "Name": "airflow-ml-planted", key: value}
        yield Attack("a network's body", f"{key} is {_shown(value)}", _create("/networks", body), is_swarm=True)
    for key, value in bodies.BRIDGE_NETS:
        body = {**bodies.BRIDGE_NET, "Name": "airflow-ml-planted", key: value}
        yield Attack("the network of a training", f"{key} is {_shown(value)}", _create("/networks", body))


def _requests() -> Iterator[Attack]:
    groups = (
        ("a request that no operator makes", requests.REQUESTS, False),
        ("a path or a query that can be read in two ways", requests.PATHS, False),
        (
            "what belongs to others",
            [*requests.OTHERS, *requests.OTHERS_REFUSED, *requests.OTHER_NETWORKS, *requests.LISTS],
            False,
        ),
        ("a request about a swarm", requests.SWARM_REQUESTS, True),
        ("what belongs to others on a swarm", [*requests.SWARM_OTHERS, *requests.SWARM_LISTS], True),
    )
    for group, rows, is_swarm in groups:
        for one in rows:
            yield Attack(group, f"{one.method} {_name_ids(one.target)}", (one.to_bytes(),), is_swarm)


def _name_ids(target: str) -> str:
    names = {bodies.OURS: "OURS", bodies.OTHER: "OTHER", bodies.EXEC: "PROCESS", bodies.SERVICE_ID: "OURS"}
    names |= {bodies.BRIDGE: "OURS", bodies.OTHER_BRIDGE: "OTHER"}
    names |= {bodies.OTHER_SERVICE: "OTHER", bodies.NETWORK: "OURS", bodies.OTHER_NETWORK: "OTHER"}
    for value, name in names.items():
        target = target.replace(value, name).replace(value.upper(), f"{name} IN CAPITALS")
        target = target.replace(value[:12], f"{name}'s first digits") if len(value) == 64 else target
    return target


def _bytes() -> Iterator[Attack]:
    for name, (content, _) in requests.MALFORMED.items():
        yield Attack("a request that can be read in two ways", name, (content,))
    for name, parts in requests.SECOND.items():
        yield Attack("what follows a request", name, parts)
    for name, parts in requests.STREAMS.items():
        yield Attack("a stream", name, parts)


def run(lab: Lab, attacks: Sequence[Attack]) -> Iterator[Outcome]:
    """Send each attack to its proxy, and look at the engine before and after.

    Many that may do nothing share a look; if it finds something, each is sent again and has a look of its own.
    """
    before = lab.look()
    for several in _batches(attacks):
        answers = [_send(lab, attack) for attack in several]
        after = lab.look()
        done = [lab.effects(before, after, answer) for answer in answers]
        if len(several) > 1 and before != after:
            before = _tidy(lab, before, after)
            for attack in several:
                (outcome,) = run(lab, [attack])
                yield outcome
        else:
            yield from map(Outcome, several, done, answers)
            before = _tidy(lab, before, after)


def run_directly(lab: Lab, attacks: Sequence[Attack]) -> Iterator[Sequence[str]]:
    """What the same bytes do if no proxy is before the engine."""
    before = lab.look()
    for attack in attacks:
        answer = lab.send(lab.socket, attack.parts)
        time.sleep(SETTLE_S)  # the engine may have answered before it was done
        after = lab.look()
        yield lab.effects(before, after, answer)
        before = _tidy(lab, before, after)


def _send(lab: Lab, attack: Attack) -> bytes:
    return lab.send(lab.proxies[attack.is_swarm].socket, attack.parts)


def _batches(attacks: Sequence[Attack]) -> Iterator[list[Attack]]:
    several: list[Attack] = []
    for attack in attacks:
        if attack.expected or len(several) == BATCH:
            if several:
                yield several
            several = []
        if attack.expected:
            yield [attack]
        else:
            several.append(attack)
    if several:
        yield several


def _tidy(lab: Lab, before: Any, after: Any) -> Any:
    """Remove what is new; where something is gone or changed, everything is made again. Returns the state then."""
    if before == after:
        return before
    if all(after.get(key) == before[key] for key in before) and lab.remove(after.keys() - before.keys()):
        return before
    lab.reset()
    return lab.look()
