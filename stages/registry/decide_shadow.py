"""`decide-shadow`: turns the comparison over the shadow days into a decision about the version in shadow."""

import logging
from argparse import Namespace
from typing import Any

from stagekit import read_partition
from stagekit.contract import read_document
from stagekit.models import model_name

from bundle import model_hash, read_model
from decide import AUTO, COMPARISON_FILE, SHADOW_PROMOTE, promoted_before, read_comparison, upload_comparison, weigh
from decisions import HELD, PROMOTED, REJECTED, record_decision
from list_versions import newest_versions
from promote import promote_version
from registered_model import SHADOW, end_shadow, read_registered_model
from server import connect
from versions import get_version, versions_of

# The version is not, or no longer, in shadow.
NOT_IN_SHADOW = "not in shadow"
MANUAL = "manual"

log = logging.getLogger("registry")


def decide_shadow(args: Namespace) -> dict[str, Any]:
    """Promote the version if it has passed on the shadow days; record the decision and its reasons either way.

    A comparison that is not complete, or of a version that is not in shadow any more, decides nothing.
    """
    partition = read_partition(args.data_dir, f"shadows/{args.ds}-v{args.version}", [COMPARISON_FILE])
    content = read_document(partition, COMPARISON_FILE)
    model = read_model(args.data_dir, model_name(args.data_dir, content["candidate"]["model"]))
    comparison = read_comparison(partition, model)
    server = connect()
    version, registered = get_version(server, args.version), read_registered_model(server)
    progress = content.get("shadow") or {}
    days = ", ".join(progress.get("days", []))
    in_shadow = registered.aliases.get(SHADOW) == version.number or promoted_before(registered, version)
    reasons: tuple[str, ...]
    if not in_shadow or not progress.get("complete"):
        decision, reasons = NOT_IN_SHADOW, (f"version {version.number} is not in shadow, or has too few days: {days}",)
    else:
        twins = [other.number for other in versions_of(server, model_hash(model)) if other.number != version.number]
        # A person has not been asked yet: the evidence is in MLflow, and a person promotes.
        promote = AUTO if version.tag(SHADOW_PROMOTE) == AUTO else MANUAL
        decision, reasons = weigh(comparison, registered, version, twins, promote)
        reasons = (f"shadow days {days}", *reasons)
        if decision == PROMOTED:
            promote_version(server, version.number, args.by, "; ".join(reasons))
        if decision not in (HELD, REJECTED):
            upload_comparison(server, version, partition, SHADOW)
            record_decision(server, version, decision, reasons)
        end_shadow(server, version.number)
    log.info("%s: %s", version.label, decision)
    for reason in reasons:
        log.info("because: %s", reason)
    return {
        "name": server.name,
        "version": version.number,
        "decision": decision,
        "promoted": decision == PROMOTED,
        "reasons": list(reasons),
        "champion": read_registered_model(server).champion,
        "versions": newest_versions(server),
    }
