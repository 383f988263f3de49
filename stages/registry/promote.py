"""`promote`: makes a version the champion, and records who and why."""

import logging
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from typing import Any

from stagekit import UsageError

from decisions import IN_SHADOW, PROMOTED, is_rejected, record_decision
from events import PROMOTE, Event, as_of, champion, format_moment, next_moment, of_run, parse_moment
from list_ import newest_versions
from registered_model import (
    CHALLENGER,
    RegisteredModel,
    add_event,
    describe_event,
    promoted_before,
    read_registered_model,
    run_key,
    set_champion,
)
from server import Server, connect
from versions import get_version, require_complete

CLOCK_SLACK = timedelta(seconds=60)

log = logging.getLogger("registry")


def promote(args: Namespace) -> dict[str, Any]:
    """Make `--version`, or else the challenger, the champion, now or as of `--at`."""
    server = connect()
    result = promote_version(server, args.version or _challenger(server), args.by, args.reason, args.at)
    return {**result, "versions": newest_versions(server)}


def _challenger(server: Server) -> str:
    """The challenger; in a later try of a Dag run, the version that the try before has promoted.

    Errors: UsageError where there is no challenger.
    """
    model = read_registered_model(server)
    if done := of_run(model.events, run_key()):
        return done.version
    if number := model.aliases.get(CHALLENGER):
        return number
    raise UsageError(
        f"{server.name} has no challenger: {_why_none(model)}",
        expected="a version that was registered after the champion", do="name a version (`registry list` shows them)",
    )  # fmt: skip


def _why_none(model: RegisteredModel) -> str:
    if model.champion:
        return f"version {model.champion} is in production, and none was registered after it, or a person rejected it"
    return "nothing was registered yet"


def promote_version(server: Server, number: str, by: str, reason: str, at: str = "") -> dict[str, Any]:
    """Make a version the champion, unless it is; verifies first that it can be loaded.

    Errors: UsageError for a version that does not exist; BadInput where its files are not those that were registered.
    """
    version = get_version(server, number)
    model = read_registered_model(server)
    require_complete(server, version)
    moment = _moment(model, at)
    before = champion(as_of(model.events, moment))
    done = promoted_before(model, version.number)
    if done or before == version.number:
        set_champion(server)
        log.info("%s %s; nothing to add", version.label, "was promoted before" if done else "is the champion already")
        if done and model.champion != version.number:
            log.warning("version %s is the champion by now; the Dag promote_model promotes again", model.champion)
        return describe_event(server, version.number, before, done, added=False)
    event = Event(moment, version.number, PROMOTE, by, reason, run_key())
    add_event(server, event)
    if is_rejected(version):
        record_decision(server, version, PROMOTED, [f"{by} promoted it although it was rejected", reason])
    elif version.tag("decision") == IN_SHADOW:
        record_decision(server, version, PROMOTED, [f"{by} promoted it", reason])
    log.info("%s is the champion; before it: %s", version.label, f"version {before}" if before else "none")
    if later := [other for other in model.events if other.at > moment]:
        until, now = format_moment(later[0].at), later[-1].version
        log.info("that is recorded for the time until %s; the champion now is version %s", until, now)
    return describe_event(server, version.number, before, event, added=True)


def _moment(model: RegisteredModel, at: str) -> datetime:
    """When the event happened, now or as given. Errors: UsageError for a time in the future, or of another event."""
    now = datetime.now(UTC)
    if not at:
        return next_moment(model.events, now)
    try:
        moment = parse_moment(at)
    except ValueError:
        raise UsageError(f"--at {at!r} is not a timestamp", expected="such as 2026-11-22T03:00:00Z") from None
    if moment > now + CLOCK_SLACK:
        raise UsageError(f"--at {format_moment(moment)} is in the future", expected=f"at most {format_moment(now)}")
    if any(event.at == moment for event in model.events):
        raise UsageError(f"there is an event at {format_moment(moment)} already", expected="another time")
    return moment
