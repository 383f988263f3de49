"""`decide`: turns the day's comparison into a decision: promote its version, keep it as challenger, or ask a person."""

import logging
from argparse import Namespace
from typing import Any

from stagekit import NotReady, Partition, read_partition

from bundle import model_hash, read_model
from decisions import ASKED, IN_SHADOW, KEPT, PROMOTED, SHADOW_DAYS, record_decision
from registered_model import SHADOW, RegisteredModel, end_shadow, read_registered_model, set_shadow
from server import Server, connect, explained
from versions import Version, find_version, promote_tags, same_model, tag_version, versions_of
from weigh import COMPARISON_FILE, Comparison, Decision, carry_out, how_to_promote, read_comparison, weigh, why_outdated

UNDECIDED, FAILED = "undecided", "failed"

log = logging.getLogger("registry")


def decide(args: Namespace) -> dict[str, Any]:
    """Promote what has passed, if that is to be automatic; record the decision and its reasons either way."""
    partition = read_partition(args.data_dir, f"comparisons/{args.ds}", [COMPARISON_FILE])
    model = read_model(args.data_dir, f"models/{args.ds}")
    comparison = read_comparison(partition, model)
    server = connect()
    version, twins = _find_versions(server, model)
    registered = read_registered_model(server)
    if not args.shadow_days:
        _stop_shadow(server, registered)
    decision = weigh(comparison, registered, version, twins, args.promote)
    if days := version.tag(SHADOW_DAYS):
        decision = _after_shadow(decision, registered, version, days)
    elif args.shadow_days and _needs_shadow(comparison, registered, version, decision):
        decision = _put_into_shadow(server, registered, version, comparison, args)
    return carry_out(server, version, comparison, decision, args.by, "comparison")


def _stop_shadow(server: Server, registered: RegisteredModel) -> None:
    """Without shadow days nothing scores the version in shadow any more, so it is the challenger again."""
    if (number := registered.aliases.get(SHADOW)) and (version := find_version(server, number)):
        record_decision(server, version, KEPT, ["shadow days were switched off before it had enough of them"])
        log.info("%s is not in shadow any more: there are no shadow days", version.label)
        end_shadow(server, number)


def _find_versions(server: Server, model: Partition) -> tuple[Version, list[str]]:
    """The version that holds this model, and the numbers of others with the same trees. Errors: NotReady."""
    versions = versions_of(server, model_hash(model))
    found = same_model(versions, model)
    if found is None:
        raise NotReady(
            f"{model.name} is not registered as {server.name}", expected="a version of this model",
            do=f"run `registry register --ds {model.name.removeprefix('models/')}`",
        )  # fmt: skip
    return found, [version.number for version in versions if version.number != found.number]


def _after_shadow(decision: Decision, registered: RegisteredModel, version: Version, days: str) -> Decision:
    """The decision about a version whose shadow is over: the validation rows alone do not promote it."""
    if decision.word not in (PROMOTED, KEPT) or registered.champion == version.number:
        return decision
    over = f"the gate has decided on the shadow days {days}; from then on a person promotes"
    return Decision(KEPT, (*decision.reasons, over), how_to_promote(version))


def _needs_shadow(comparison: Comparison, registered: RegisteredModel, version: Version, decision: Decision) -> bool:
    """Whether days beside the champion are to decide: not without a champion, and not what the rows have failed."""
    if registered.champion == version.number:
        return False
    if decision.word == KEPT:
        return comparison.outcome == UNDECIDED and not why_outdated(comparison, registered, version)
    return decision.word in (PROMOTED, ASKED) and comparison.had_champion and comparison.outcome != FAILED


def _put_into_shadow(
    server: Server, registered: RegisteredModel, version: Version, comparison: Comparison, args: Namespace
) -> Decision:
    """Set the alias; an older version that had it stays the challenger. Record who promotes what has passed."""
    before = registered.aliases.get(SHADOW)
    if before and int(before) > int(version.number):
        newer = f"version {before}, which is newer, is in shadow"
        return Decision(KEPT, (*comparison.reasons, newer), how_to_promote(version))
    with explained(server, "putting the version into shadow"):
        for key, value in promote_tags(server, version.number, args.promote).items():
            tag_version(server, version.number, key, value)
    if before and before != version.number and (other := find_version(server, before)):
        record_decision(server, other, KEPT, [f"version {version.number} took its place in shadow"])
    set_shadow(server, version.number)
    return Decision(IN_SHADOW, (*comparison.reasons, f"days beside the champion decide: {args.shadow_days}"))
