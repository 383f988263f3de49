"""`roll-back`: makes the version before the champion the champion again."""

import logging
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from stagekit import BadInput

from events import ROLLBACK, Event, next_moment, of_run, stack
from list_ import newest_versions
from registered_model import add_event, describe_event, read_registered_model, run_key, set_champion
from server import Server, connect
from versions import get_champion, require_complete

log = logging.getLogger("registry")


def roll_back(args: Namespace) -> dict[str, Any]:
    """Go back one promotion. Errors: BadInput where there is none to go back to, or its files are not complete."""
    server = connect()
    return {**_go_back(server, args.by, args.reason), "versions": newest_versions(server)}


def _go_back(server: Server, by: str, reason: str) -> dict[str, Any]:
    model = read_registered_model(server)
    if done := of_run(model.events, run_key()):
        set_champion(server)
        log.info("this run has rolled back to version %s before; nothing to add", done.version)
        return describe_event(server, done.version, None, done, added=False)
    number, before = _last_two(stack(model.events))
    version = get_champion(server, number)
    require_complete(server, version)
    moment = next_moment(model.events, datetime.now(UTC))
    event = Event(moment, number, ROLLBACK, by, reason, run_key())
    add_event(server, event)
    log.info("%s is the champion again; version %s is not any more", version.label, before)
    return describe_event(server, number, before, event, added=True)


def _last_two(versions: list[str]) -> tuple[str, str]:
    """The champion before the present one, and the present one. Errors: BadInput where there are not two."""
    if len(versions) < 2:
        now = f"version {versions[0]} is the first champion" if versions else "there is no champion yet"
        raise BadInput(
            f"there is nothing to go back to: {now}", expected="a champion that another one came before",
            do="choose with `registry list`, then `registry promote`",
        )  # fmt: skip
    return versions[-2], versions[-1]
