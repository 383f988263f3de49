"""The events of the model in production: promotions and rollbacks, one after the other. Pure; nothing is read here.

An event is a tag of the registered model: its key is a time, its value is who made which version the champion, and
why. Events are only ever added. A promotion pushes its version on a stack. A rollback takes versions off until its own
version is on top; so two rollbacks that start from the same events go back one step, not two.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from stagekit.shapes import Maybe, Passes, ShapeError, check, parse_object

PREFIX = "champion."
PROMOTE, ROLLBACK = "promote", "rollback"
VERSION = re.compile(r"[1-9][0-9]{0,8}")
# What `Event.value` writes, and nothing else.
SHAPE = {
    "version": Passes(str, lambda text: bool(VERSION.fullmatch(text)), "the number of a version, as text"),
    "kind": Passes(str, lambda text: text in (PROMOTE, ROLLBACK), f"{PROMOTE} or {ROLLBACK}"),
    "by": str,
    "reason": str,
    "run": Maybe(str),
}
# MLflow keeps a registered model's tags in columns of this width on Postgres, and a longer text fails there.
MOST_CHARACTERS = 5000
CUT = " [...cut]"
# Python's last year has no room for an event after it.
LAST_YEAR = 9998


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
        content = {"version": self.version, "kind": self.kind, "by": self.by, "reason": reason, "run": self.run or None}
        return json.dumps(content, ensure_ascii=False)


def format_moment(moment: datetime) -> str:
    """A moment as events write it, such as 2026-11-22T03:00:00.000000Z; the texts sort as the moments do."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def parse_events(tags: Mapping[str, str]) -> list[Event]:
    """The events among a registered model's tags, oldest first. Errors: ValueError, which names the tag."""
    return sorted(_parse(key, value) for key, value in tags.items() if key.startswith(PREFIX))


def _parse(key: str, value: str) -> Event:
    try:
        at = _parse_key(key.removeprefix(PREFIX))
        content = parse_object(value.encode())
        check(content, SHAPE)
        if unknown := sorted(content.keys() - SHAPE.keys()):
            raise ShapeError(f"it has {unknown[0]!r}", f"only {', '.join(SHAPE)}")
    except ValueError as error:
        raise ValueError(f"the tag {key!r} is no event: {error}") from None
    run = content.get("run") or ""
    return Event(at, content["version"], content["kind"], content["by"], content["reason"], run)


def _parse_key(text: str) -> datetime:
    """The moment of a key. Errors: ValueError where the same moment has another text."""
    at = parse_moment(text)
    if format_moment(at) != text or at.year > LAST_YEAR:
        raise ValueError(f"{text!r} is not a time of the form 2026-11-22T03:00:00.000000Z")
    return at


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
        if not versions:  # events that begin with a rollback were written elsewhere; the rollback counts
            versions.append(event.version)
    return versions


def champion(events: Sequence[Event]) -> str | None:
    """The version that the last event made the champion."""
    return events[-1].version if events else None


def sentence(event: Event) -> str:
    """An event for people, in one line."""
    what = "made version {} the champion" if event.kind == PROMOTE else "went back to version {}"
    text = f"{event.at:%Y-%m-%d %H:%M} UTC: {event.by} {what.format(event.version)}. Why: {event.reason}"
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - len(CUT)] + CUT


def as_of(events: Iterable[Event], moment: datetime) -> list[Event]:
    """The events up to a moment."""
    return [event for event in events if event.at <= moment]


def of_run(events: Sequence[Event], run: str) -> Event | None:
    """The last event that this Dag run has added; of an earlier try, or of before the run was cleared and repeated."""
    return next((event for event in reversed(events) if run and event.run == run), None)


def next_moment(events: Sequence[Event], now: datetime) -> datetime:
    """The moment of an event that happens now: after all others, also where a clock has gone back."""
    return max([now, *(event.at + timedelta(microseconds=1) for event in events[-1:])])


def parse_moment(text: str) -> datetime:
    """A timestamp of ISO 8601, in UTC if it has no offset; a bare date means its end. Errors: ValueError."""
    try:
        return datetime.combine(date.fromisoformat(text), time.max, UTC)
    except ValueError:
        moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is outside of the years 1 to 9999") from None
