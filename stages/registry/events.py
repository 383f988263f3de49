"""The history of the model in production: promotions and rollbacks, one after the other. Pure; nothing is read here.

An event is a tag of the registered model: its key names the moment, its value who made which version the champion,
and why. Events are only ever added. A promotion pushes its version on a stack, a rollback takes versions off until
its own is on top; so two rollbacks that were asked for at once, and both read the same history, go back one step.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

PREFIX = "champion."
PROMOTE, ROLLBACK = "promote", "rollback"
MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"
# MLflow keeps a registered model's tags in columns of this width on Postgres, and refuses nothing before it fails.
MOST_CHARACTERS = 5000
CUT = " [...cut]"


@dataclass(frozen=True, order=True)
class Event:
    """From `at` on (UTC), `version` was the champion; `run` is the Dag run that asked for it, empty by hand."""

    at: datetime
    version: str
    kind: str
    by: str
    reason: str
    run: str = ""

    @property
    def key(self) -> str:
        """The tag's key."""
        return PREFIX + format_moment(self.at)

    @property
    def value(self) -> str:
        """The tag's value; a reason that does not fit is cut, with a mark."""
        reason = self.reason
        while len(text := self._text(reason)) > MOST_CHARACTERS:
            reason = reason.removesuffix(CUT)
            reason = reason[: max(0, len(reason) - max(1, (len(text) - MOST_CHARACTERS) // 2) - len(CUT))] + CUT
        return text

    def _text(self, reason: str) -> str:
        said = {"version": self.version, "kind": self.kind, "by": self.by, "reason": reason, "run": self.run or None}
        return json.dumps(said, ensure_ascii=False)


def format_moment(moment: datetime) -> str:
    """A moment as the history writes it; the texts sort as the moments do."""
    return moment.astimezone(UTC).strftime(MOMENT)


def parse_events(tags: Mapping[str, str]) -> list[Event]:
    """The events among a registered model's tags, oldest first. Errors: ValueError, which names the tag."""
    return sorted(_parse(key, value) for key, value in tags.items() if key.startswith(PREFIX))


def _parse(key: str, value: str) -> Event:
    try:
        at = datetime.strptime(key.removeprefix(PREFIX), MOMENT).replace(tzinfo=UTC)
        said: dict[str, Any] = json.loads(value)
        version, kind = str(int(said["version"])), said["kind"]
        if kind not in (PROMOTE, ROLLBACK):
            raise ValueError(f"kind {kind!r}")
        return Event(at, version, kind, str(said.get("by")), str(said.get("reason")), said.get("run") or "")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the tag {key!r} is no event ({type(error).__name__}: {error})") from None


def stack(events: Iterable[Event]) -> list[str]:
    """The versions to go back to, the champion last; empty where nothing was promoted yet."""
    versions: list[str] = []
    for event in events:
        if event.kind == PROMOTE:
            if versions[-1:] != [event.version]:
                versions.append(event.version)
            continue
        while versions and versions[-1] != event.version:
            versions.pop()
        if not versions:  # a history that begins with a rollback was written by someone else; it is believed
            versions.append(event.version)
    return versions


def champion(events: Sequence[Event]) -> str | None:
    """The version that the last event made the champion."""
    return events[-1].version if events else None


def as_of(events: Iterable[Event], moment: datetime) -> list[Event]:
    """What had happened by then."""
    return [event for event in events if event.at <= moment]


def of_run(events: Iterable[Event], run: str) -> Event | None:
    """The event that this Dag run added before it was tried again."""
    return next((event for event in events if run and event.run == run), None)


def next_moment(events: Sequence[Event], now: datetime) -> datetime:
    """When an event of now is recorded: after all others, also where a clock has gone back."""
    return max([now, *(event.at + timedelta(microseconds=1) for event in events[-1:])])


def parse_moment(text: str) -> datetime:
    """A timestamp of ISO 8601, without an offset in UTC; of a bare date its end. Errors: ValueError."""
    try:
        return datetime.combine(date.fromisoformat(text), time.max, UTC)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
