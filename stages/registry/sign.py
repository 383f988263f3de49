"""`sign`: signs the events and versions that are there, when a key is new, or after a person has looked at them."""

import logging
from argparse import Namespace
from typing import Any

from stagekit import BadInput, UsageError

from registered_model import read_registered_model, sign_events
from server import Server, connect, explained
from versions import all_versions, bundle_signature, is_bundle_signed, require_signed, tag_version

log = logging.getLogger("registry")


def sign(arguments: Namespace) -> dict[str, Any]:
    """Sign each event and each version's bundle, or with `check` only look whether each is signed.

    Errors: UsageError without a key to sign with; BadInput for a malformed event, and for what a check finds.
    """
    server = connect()
    if arguments.check:
        return check(server)
    if not server.key:
        raise UsageError("there is no key to sign with", expected="ML_REGISTRY_KEY in .env; then `make up`")
    events, versions = sign_events(server), 0
    for version in all_versions(server):
        try:
            version.bundle()
        except BadInput as error:
            log.warning("not signed: %s", error)
            continue
        if not is_bundle_signed(server, version):
            with explained(server, f"signing version {version.number}"):
                for key, value in bundle_signature(server, version.tags).items():
                    tag_version(server, version.number, key, value)
            versions += 1
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
