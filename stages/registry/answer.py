"""`answer`: does what a person has answered: the version becomes the champion, stays the challenger, or is rejected."""

import logging
from argparse import Namespace
from typing import Any

from decisions import HELD, KEPT, PROMOTED, REJECTED, record_decision
from list_ import newest_versions
from promote import promote_version
from registered_model import read_registered_model, retire_challenger
from server import connect
from versions import get_version

PROMOTE = "promote"
DECISIONS = {PROMOTE: PROMOTED, "keep": KEPT, "reject": REJECTED}

log = logging.getLogger("registry")


def answer(args: Namespace) -> dict[str, Any]:
    """Do it, and record who answered what and why. Errors: UsageError for a version that does not exist."""
    server = connect()
    version = get_version(server, args.version)
    decision = DECISIONS[args.answer]
    if args.answer == PROMOTE:
        promote_version(server, version.number, args.by, args.reason)
    elif read_registered_model(server).champion == version.number:
        decision = HELD
        log.warning("%s was promoted before the answer; the Dag roll_back_model takes that back", version.label)
    record_decision(server, version, decision, [f"{args.by} answered {args.answer}", args.reason])
    if decision == REJECTED:
        retire_challenger(server, version.number)
    log.info("%s: %s by %s: %s", version.label, decision, args.by, args.reason)
    return {
        "name": server.name,
        "version": version.number,
        "answer": args.answer,
        "decision": decision,
        "by": args.by,
        "reason": args.reason,
        "champion": read_registered_model(server).champion,
        "versions": newest_versions(server),
    }
