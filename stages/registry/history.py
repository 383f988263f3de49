"""Promotes and rolls back: adds an event to the registered model's history, then moves the alias `champion` to it.

The history is the record, the alias follows it: whoever adds an event reads the history again afterwards and sets the
alias to what the last event says, until both agree. Of two promotions at the same moment both are recorded, and both
processes end with the alias at the later one. A process that is killed in between leaves the alias behind; the next
one that adds an event, or a retry, mends it, and until then `resolve` believes the history.
"""

import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stagekit import BadInput, StageError, UsageError

from events import (
    PROMOTE,
    ROLLBACK,
    Event,
    as_of,
    champion,
    format_moment,
    next_moment,
    of_run,
    parse_events,
    parse_moment,
    stack,
)
from server import Server, explained, is_missing
from versions import BY_HAND, get_version, require_complete

CHAMPION, CHALLENGER = "champion", "challenger"
# Others that promote at the same moment are few: a person and a Dag.
MOST_ROUNDS = 10
CLOCK_SLACK = timedelta(seconds=60)

log = logging.getLogger("registry")


@dataclass(frozen=True)
class History:
    """The events, oldest first, and the versions that the aliases name."""

    events: list[Event] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)

    @property
    def champion(self) -> str | None:
        """The version in production."""
        return champion(self.events)


def dag_run() -> str:
    """The Dag run that this process works for, as the tag `dag_run_id` names it."""
    return os.environ.get("ML_RUN_ID") or BY_HAND


def _run_key() -> str:
    """What the same task of the same Dag run can be known by; empty by hand, where nothing is tried again."""
    return f"{os.environ.get('ML_DAG_ID')}/{run}" if (run := os.environ.get("ML_RUN_ID")) else ""


def read_history(server: Server) -> History:
    """The history, read anew. Errors: BadInput where a tag of it was edited into something else."""
    from mlflow.exceptions import MlflowException

    with explained(server, "reading the registered model"):
        try:
            model: Any = server.client.get_registered_model(server.name)
        except MlflowException as error:
            if is_missing(error):
                return History()
            raise
    try:
        events = parse_events(model.tags)
    except ValueError as error:
        raise BadInput(
            f"the history of {server.name} cannot be read: {error}", expected="tags that `registry promote` wrote",
            do="correct or remove that tag in MLflow",
        ) from None  # fmt: skip
    return History(events, {alias: str(version) for alias, version in dict(model.aliases).items()})


def promote(server: Server, number: str, by: str, reason: str, at: str = "") -> dict[str, Any]:
    """Make a version the champion, if it is not yet; verifies first that it can be loaded.

    Errors: UsageError for a version that is not there; BadInput where its files are not those that were registered.
    """
    version = get_version(server, number)
    history = read_history(server)
    require_complete(server, version)
    moment = _moment(history, at)
    before = champion(as_of(history.events, moment))
    done = of_run(history.events, _run_key())
    if done or before == version.number:
        settle(server)
        log.info("%s %s; nothing to add", version.label, "was promoted before" if done else "is the champion already")
        return _told(server, version.number, before, done, added=False)
    event = Event(moment, version.number, PROMOTE, by, reason, _run_key())
    _add(server, event)
    log.info("%s is the champion; before it: %s", version.label, f"version {before}" if before else "none")
    if later := [other for other in history.events if other.at > moment]:
        until, now = format_moment(later[0].at), later[-1].version
        log.info("that is recorded for the time until %s; the champion now is version %s", until, now)
    return _told(server, version.number, before, event, added=True)


def roll_back(server: Server, by: str, reason: str) -> dict[str, Any]:
    """Make the version before the champion the champion again. Errors: BadInput where there is none."""
    history = read_history(server)
    if done := of_run(history.events, _run_key()):
        settle(server)
        log.info("this run has rolled back to version %s before; nothing to add", done.version)
        return _told(server, done.version, None, done, added=False)
    versions = stack(history.events)
    if len(versions) < 2:
        now = f"version {versions[0]} is the first champion" if versions else "there is no champion yet"
        raise BadInput(
            f"there is nothing to go back to: {now}", expected="a champion that another one came before",
            do="choose with `registry list`, then `registry promote`",
        )  # fmt: skip
    version = get_version(server, versions[-2])
    require_complete(server, version)
    event = Event(_moment(history, ""), version.number, ROLLBACK, by, reason, _run_key())
    _add(server, event)
    log.info("%s is the champion again; version %s is not any more", version.label, versions[-1])
    return _told(server, version.number, versions[-1], event, added=True)


def _moment(history: History, at: str) -> datetime:
    """When the event happened, now or as given. Errors: UsageError for a time that is to come, or taken."""
    now = datetime.now(UTC)
    if not at:
        return next_moment(history.events, now)
    try:
        moment = parse_moment(at)
    except ValueError:
        raise UsageError(f"--at {at!r} is no timestamp", expected="such as 2026-11-22T03:00:00Z") from None
    if moment > now + CLOCK_SLACK:
        raise UsageError(f"--at {format_moment(moment)} is yet to come", expected=f"at most {format_moment(now)}")
    if any(event.at == moment for event in history.events):
        raise UsageError(f"there is an event at {format_moment(moment)} already", expected="another time")
    return moment


def _add(server: Server, event: Event) -> None:
    with explained(server, f"recording the {event.kind} of version {event.version}"):
        server.client.set_registered_model_tag(server.name, event.key, event.value)
        server.client.set_model_version_tag(
            server.name, event.version, "airflow_ml.promoted", f"{format_moment(event.at)} by {event.by} ({event.kind})"
        )
    settle(server)


def settle(server: Server) -> None:
    """Set the alias to the last event's version, until a fresh look finds it there."""
    for _ in range(MOST_ROUNDS):
        history = read_history(server)
        number = history.champion
        if number is None or history.aliases.get(CHAMPION) == number:
            _retire_challenger(server, history)
            return
        with explained(server, f"setting the alias {CHAMPION}"):
            server.client.set_registered_model_alias(server.name, CHAMPION, number)
    raise StageError(
        f"the alias {CHAMPION} of {server.name} is being set by others all the time",
        expected="that it stays at the version of the last event", do="see who else sets it, then run this again",
    )  # fmt: skip


def _retire_challenger(server: Server, history: History) -> None:
    """A champion does not challenge itself."""
    if history.champion and history.aliases.get(CHALLENGER) == history.champion:
        with explained(server, f"removing the alias {CHALLENGER}"):
            server.client.delete_registered_model_alias(server.name, CHALLENGER)


def _told(server: Server, number: str, before: str | None, event: Event | None, *, added: bool) -> dict[str, Any]:
    """What the result line says of an event."""
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
