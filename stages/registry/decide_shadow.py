"""`decide-shadow`: turns the comparison over the shadow days into a decision about the version in shadow."""

from argparse import Namespace
from dataclasses import replace
from typing import Any

from stagekit import read_partition
from stagekit.contract import read_document
from stagekit.models import model_name

from bundle import TAG, model_hash, read_model
from decisions import ASKED, NOT_IN_SHADOW, SHADOW_DAYS, SHADOW_RUN
from registered_model import SHADOW, promoted_before, read_registered_model, run_key
from server import connect, explained
from versions import Version, get_version, signed_promote, tag_version, versions_of
from weigh import COMPARISON_FILE, MANUAL, Decision, carry_out, read_comparison, weigh


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
    before = promoted_before(registered, version.number) or _asked_before(version, days)
    in_shadow = registered.aliases.get(SHADOW) == version.number or before
    if not in_shadow or not progress.get("complete"):
        found = f"version {version.number} is not in shadow, or has too few days: {days or 'none'}"
        decision = Decision(NOT_IN_SHADOW, (found,))
    else:
        comparison = replace(comparison, reasons=(f"shadow days {days}", *comparison.reasons))
        twins = [other.number for other in versions_of(server, model_hash(model)) if other.number != version.number]
        promote = signed_promote(server, version) or MANUAL
        decision = weigh(comparison, registered, version, twins, promote)
        with explained(server, "recording the shadow days"):  # before the alias goes, so that `decide` never sees none
            tag_version(server, version.number, f"{TAG}{SHADOW_DAYS}", days)
            tag_version(server, version.number, f"{TAG}{SHADOW_RUN}", run_key())
    return carry_out(server, version, comparison, decision, args.by, SHADOW)


def _asked_before(version: Version, days: str) -> bool:
    """Whether an earlier try of this Dag run has left the version to a person, who has not answered yet.

    Its result may be lost, and then nobody asks. A later day of the version, with the same days, asks nothing again.
    """
    asked = {"decision": ASKED, SHADOW_DAYS: days, SHADOW_RUN: run_key()}
    return bool(run_key()) and all(version.tag(name) == value for name, value in asked.items())
