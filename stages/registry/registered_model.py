"""The registered model in MLflow: its events, and the aliases `champion` and `challenger` that follow them.

The alias `shadow` names the version that scores days beside the champion before the gate decides on it.

The events are the record. Whoever adds an event reads all events again afterwards and sets the alias to the version of
the last event, until both agree. Of two promotions at the same moment both are recorded, and both processes end with
the alias at the later one. A process that is killed in between leaves the alias behind; the next process that adds an
event, or a retry, corrects the alias. Until then `resolve` follows the events.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stagekit import BadInput, StageError

from events import MOST_CHARACTERS, PREFIX, VERSION, Event, champion, format_moment, of_run, parse_events, sentence
from rest import MISSING, Refused
from server import Server, explained
from signature import is_signed, sign

# The tag with the signature of an event: this, and the event's own key.
SIGNATURE = "signature."
CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"
BY_HAND = "by hand"
# Few others promote at the same moment: a person and a Dag.
MOST_ROUNDS = 10
# So many events are in the description of the registered model.
MOST_SHOWN = 10


@dataclass(frozen=True)
class RegisteredModel:
    """The events, oldest first, and the version that each alias names."""

    events: list[Event] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)

    @property
    def champion(self) -> str | None:
        """The version in production."""
        return champion(self.events)


def dag_run() -> str:
    """The Dag run that this process works for, as the tag `dag_run_id` has it."""
    return os.environ.get("ML_RUN_ID") or BY_HAND


def run_key() -> str:
    """What identifies a Dag run over several tries; empty by hand, where nothing is tried again."""
    return f"{os.environ.get('ML_DAG_ID')}/{run}" if (run := os.environ.get("ML_RUN_ID")) else ""


def promoted_before(model: RegisteredModel, number: str) -> Event | None:
    """The event with which an earlier try of this Dag run has promoted the version.

    A run that was cleared and repeated may have promoted another version before. That is a promotion of its own.
    """
    event = of_run(model.events, run_key())
    return event if event and event.version == number else None


def read_registered_model(server: Server) -> RegisteredModel:
    """The registered model as it is now; empty before the first version.

    Errors: BadInput for a malformed tag, and for an event without the signature of the server's key.
    """
    tags, aliases = _read_tags(server)
    model = _parse(server, tags, aliases)
    if unsigned := _unsigned(server, tags):
        raise BadInput(
            f"the history of {server.name}: the tag {unsigned[0]!r} is not signed with the key of this installation",
            expected="an event that the stage registry wrote",
            do="remove that tag in MLflow; or, if you know that all events are true, `./airflow-ml models --sign`",
        )
    return model


def sign_events(server: Server) -> int:
    """Sign each event that is there, whoever wrote it; returns how many had no such signature. Errors: BadInput."""
    tags, aliases = _read_tags(server)
    _parse(server, tags, aliases)
    other = [key for key in _events(tags) if tags.get(SIGNATURE + key) != _signature(server, key, tags[key])]
    for key in other:
        _write_signature(server, key, tags[key])
    return len(other)


def _events(tags: Mapping[str, str]) -> list[str]:
    return sorted(key for key in tags if key.startswith(PREFIX))


def _unsigned(server: Server, tags: Mapping[str, str]) -> list[str]:
    """The keys of the events without a valid signature; none if there is no key to ask for."""
    return [
        key
        for key in _events(tags)
        if not is_signed(server.key, tags.get(SIGNATURE + key, ""), "event", server.name, key, tags[key])
    ]


def _signature(server: Server, key: str, value: str) -> str:
    return sign(server.key, "event", server.name, key, value)


def _write_signature(server: Server, key: str, value: str) -> None:
    signature = _signature(server, key, value)
    with explained(server, f"signing the event {key}"):
        server.rest.post("registered-models/set-tag", name=server.name, key=SIGNATURE + key, value=signature)


def _read_tags(server: Server) -> tuple[dict[str, str], dict[str, str]]:
    """The registered model's tags, and the version of each alias; none before the first version."""
    with explained(server, "reading the registered model"):
        try:
            found = server.rest.get("registered-models/get", name=server.name)["registered_model"]
            tags = {str(tag["key"]): str(tag["value"]) for tag in found.get("tags", [])}
            aliases = {str(alias["alias"]): str(alias["version"]) for alias in found.get("aliases", [])}
        except Refused as error:
            if error.code == MISSING:
                return {}, {}
            raise
    return tags, aliases


def _parse(server: Server, tags: Mapping[str, str], aliases: Mapping[str, str]) -> RegisteredModel:
    try:
        events = parse_events(tags)
    except ValueError as error:
        raise BadInput(
            f"the history of {server.name} cannot be read: {error}", expected="tags that `registry promote` wrote",
            do="correct or remove that tag in MLflow",
        ) from None  # fmt: skip
    if wrong := sorted(alias for alias, version in aliases.items() if not VERSION.fullmatch(version)):
        raise BadInput(f"the alias {wrong[0]} of {server.name} names {aliases[wrong[0]]!r}", expected="a version")
    return RegisteredModel(events, dict(aliases))


def add_event(server: Server, event: Event) -> None:
    """Record an event, also as a tag of its version for people, and set the alias."""
    if server.key:  # before the event, so that no event is without
        _write_signature(server, event.key, event.value)
    with explained(server, f"recording the {event.kind} of version {event.version}"):
        server.rest.post(  # before the event, which must not name a version that somebody has removed
            "model-versions/set-tag",
            name=server.name, version=event.version, key="airflow_ml.promoted", value=sentence(event),
        )  # fmt: skip
        server.rest.post("registered-models/set-tag", name=server.name, key=event.key, value=event.value)
    set_champion(server)
    _describe_history(server)


def _describe_history(server: Server) -> None:
    """Write the latest events, the newest first, as the registered model's description."""
    events = read_registered_model(server).events
    lines = [f"- {sentence(event)}" for event in reversed(events[-MOST_SHOWN:])]
    if older := len(events) - len(lines):
        lines.append(f"- and {older} before that; `registry list` has all")
    text = "\n".join(["Who made which version the champion, and why; the newest first:\n", *lines])
    with explained(server, "describing the registered model"):
        server.rest.patch("registered-models/update", name=server.name, description=text[:MOST_CHARACTERS])


def set_champion(server: Server) -> None:
    """Set the alias to the last event's version, until both agree after all was read again."""
    for _ in range(MOST_ROUNDS):
        model = read_registered_model(server)
        number = model.champion
        if number is None or model.aliases.get(CHAMPION) == number:
            retire_challenger(server, number)
            return
        with explained(server, f"setting the alias {CHAMPION}"):
            server.rest.post("registered-models/alias", name=server.name, alias=CHAMPION, version=number)
    raise StageError(
        f"the alias {CHAMPION} of {server.name} is being set by others all the time",
        expected="that it stays at the version of the last event", do="see who else sets it, then run this again",
    )  # fmt: skip


def retire_challenger(server: Server, number: str | None) -> None:
    """Take the aliases from a version that has them: a champion and a rejected version challenge nobody."""
    aliases = read_registered_model(server).aliases if number else {}
    for alias in (CHALLENGER, SHADOW):
        if number and aliases.get(alias) == number:
            _remove_alias(server, alias)


def set_shadow(server: Server, number: str) -> None:
    """Make a version the one in shadow."""
    with explained(server, f"setting the alias {SHADOW}"):
        server.rest.post("registered-models/alias", name=server.name, alias=SHADOW, version=number)


def end_shadow(server: Server, number: str) -> None:
    """Take the alias `shadow` from a version that has it."""
    if read_registered_model(server).aliases.get(SHADOW) == number:
        _remove_alias(server, SHADOW)


def _remove_alias(server: Server, alias: str) -> None:
    with explained(server, f"removing the alias {alias}"):
        server.rest.delete("registered-models/alias", name=server.name, alias=alias)


def set_challenger(server: Server, number: str) -> None:
    """Make a version the challenger, unless it is or was the champion, or a newer version is the challenger."""
    model = read_registered_model(server)
    newest = int(model.aliases.get(CHALLENGER, 0))
    if newest < int(number) and all(event.version != number for event in model.events):
        with explained(server, f"setting the alias {CHALLENGER}"):
            server.rest.post("registered-models/alias", name=server.name, alias=CHALLENGER, version=number)


def describe_event(
    server: Server, number: str, before: str | None, event: Event | None, *, added: bool
) -> dict[str, Any]:
    """The result of a command that adds an event, or finds that there is nothing to add."""
    return {
        "name": server.name,
        "version": number,
        "before": before,
        "promoted": added,
        "kind": event.kind if event else None,
        "at": format_moment(event.at) if event else None,
        "by": event.by if event else None,
        "reason": event.reason if event else None,
    }
