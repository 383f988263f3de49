"""`sign`: signs the events and versions that are there, when a key is new, or after a person has looked at them.

Who promotes a version in shadow is signed only if its signature was valid: without one, a person promotes it.
"""

import logging
from argparse import Namespace
from typing import Any

from stagekit import BadInput, UsageError

from registered_model import read_registered_model, sign_events
from server import Server, connect, explained
from versions import (
    SHADOW_PROMOTE,
    all_versions,
    bundle_signature,
    promote_tags,
    require_signed,
    signed_promote,
    tag_version,
)

log = logging.getLogger("registry")


def sign(arguments: Namespace) -> dict[str, Any]:
    """Sign each event and each version's bundle, or with `check` only look whether each is signed.

    Errors: UsageError without a key to sign with; BadInput for a malformed event, and for what a check finds.
    """
    server = connect()
    if arguments.check:
        return check(server)
    if not server.key:
        raise UsageError("there is no key to sign with", expected="a login with one, as the stage's README.md shows")
    events, versions = sign_events(server), 0
    for version in all_versions(server):
        try:
            version.bundle()
        except BadInput as error:
            log.warning("not signed: %s", error)
            continue
        tags = bundle_signature(server, version.number, version.tags)
        if version.tag(SHADOW_PROMOTE) and (promote := signed_promote(server, version)):
            tags |= promote_tags(server, version.number, promote)
        other = {key: value for key, value in tags.items() if version.tags.get(key) != value}
        with explained(server, f"signing version {version.number}"):
            for key, value in other.items():
                tag_version(server, version.number, key, value)
        versions += bool(other)
    log.info("signed %d events and %d versions of %s; the others were signed before", events, versions, server.name)
    return {"name": server.name, "events": events, "versions": versions}


def check(server: Server) -> dict[str, Any]:
    """Look whether everything is signed that `sign` would sign; without a key everything counts as signed."""
    events, versions = read_registered_model(server).events, all_versions(server)
    for version in versions:
        try:
            version.bundle()
        except BadInput as error:
            log.warning("not checked: %s", error)
            continue
        require_signed(server, version)
    return {"name": server.name, "events": len(events), "versions": len(versions)}
