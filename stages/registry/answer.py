"""`answer`: does what a person has answered: the version becomes the champion, stays the challenger, or is rejected."""

import logging
from argparse import Namespace
from typing import Any

from decisions import ASKED_BESIDE, HELD, KEPT, NO_CHAMPION, PROMOTED, REJECTED, record_decision
from list_ import newest_versions
from promote import promote_version
from registered_model import read_registered_model, retire_challenger
from server import Server, connect
from versions import Version, get_version

PROMOTE = "promote"
DECISIONS = {PROMOTE: PROMOTED, "keep": KEPT, "reject": REJECTED}

log = logging.getLogger("registry")


def answer(args: Namespace) -> dict[str, Any]:
    """Do it, and record who answered what and why. Errors: UsageError for a version that does not exist."""
    server = connect()
    version = get_version(server, args.version)
    decision, reason = DECISIONS[args.answer], args.reason
    if args.answer == PROMOTE:
        if changed := _new_champion(server, version):
            log.warning("%s: %s", version.label, changed)
            reason = f"{reason}; {changed}"
        promote_version(server, version.number, args.by, reason)
    elif read_registered_model(server).champion == version.number:
        decision = HELD
        log.warning("%s was promoted before the answer; the Dag roll_back_model takes that back", version.label)
    record_decision(server, version, decision, [f"{args.by} answered {args.answer}", reason])
    if decision == REJECTED:
        retire_challenger(server, version.number)
    log.info("%s: %s by %s: %s", version.label, decision, args.by, reason)
    return {
        "name": server.name,
        "version": version.number,
        "answer": args.answer,
        "decision": decision,
        "by": args.by,
        "reason": reason,
        "champion": read_registered_model(server).champion,
        "versions": newest_versions(server),
    }


def _new_champion(server: Server, version: Version) -> str:
    """What the person could not see in the question: that the champion is another one since; empty if it is not."""
    then, now = version.tag(ASKED_BESIDE), read_registered_model(server).champion
    if not then or now in (then, version.number) or (then, now) == (NO_CHAMPION, None):
        return ""
    before = "there was none" if then == NO_CHAMPION else f"it was version {then}"
    return f"the champion is {f'version {now}' if now else 'none'} now, when a person was asked {before}"
