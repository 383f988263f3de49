"""`decide`: turns the day's comparison into a decision: promote its version, keep it as challenger, or ask a person."""

import logging
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, read_partition
from stagekit.contract import read_document

from bundle import MODEL_FILE, TAG, model_hash, read_model
from decisions import ASKED, HELD, IN_SHADOW, KEPT, LEFT, PROMOTED, REJECTED, is_rejected, record_decision
from events import of_run
from list_versions import newest_versions
from promote import promote_version
from registered_model import SHADOW, RegisteredModel, read_registered_model, run_key, set_shadow
from runs import upload
from server import Server, connect, explained
from versions import Version, find_version, same_model, tag_version, versions_of

COMPARISON_FILE = "comparison.json"
AUTO, ASK = "auto", "ask"
UNDECIDED, FAILED = "undecided", "failed"
# The tag of a version in shadow: what `--promote` was.
SHADOW_PROMOTE = "shadow_promote"

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Comparison:
    """What `prediction compare` found: whether the candidate may replace which champion, and why."""

    passed: bool
    # `passed`, `failed` or `undecided`; empty in a comparison of before there was a third outcome.
    outcome: str
    reasons: tuple[str, ...]
    # The version of the champion it was compared with; empty where there was none, or it had no version.
    champion: str
    had_champion: bool


def decide(args: Namespace) -> dict[str, Any]:
    """Promote what has passed, if that is to be automatic; record the decision and its reasons either way."""
    partition = read_partition(args.data_dir, f"comparisons/{args.ds}", [COMPARISON_FILE])
    model = read_model(args.data_dir, f"models/{args.ds}")
    comparison = read_comparison(partition, model)
    server = connect()
    version, twins = _find_versions(server, model)
    registered = read_registered_model(server)
    decision, reasons = weigh(comparison, registered, version, twins, args.promote)
    if args.shadow_days and _needs_shadow(comparison, registered, version, decision):
        decision, reasons = IN_SHADOW, (*comparison.reasons, f"{args.shadow_days} days beside the champion decide")
        _begin_shadow(server, registered, version, args.promote)
    if decision == PROMOTED:
        promote_version(server, version.number, args.by, f"comparison: {'; '.join(comparison.reasons) or 'passed'}")
    if decision not in (HELD, REJECTED):  # these keep the record of their own decision
        upload_comparison(server, version, partition, "comparison")
        record_decision(server, version, decision, reasons)
    log.info("%s: %s", version.label, decision)
    for reason in reasons:
        log.info("because: %s", reason)
    return {
        "name": server.name,
        "version": version.number,
        "decision": decision,
        "promoted": decision == PROMOTED,
        "passed": comparison.passed,
        "outcome": comparison.outcome,
        "reasons": list(reasons),
        "champion": read_registered_model(server).champion,
        "versions": newest_versions(server),
    }


def read_comparison(partition: Partition, model: Partition) -> Comparison:
    """The comparison of a model. Errors: BadInput for the comparison of another model."""
    compared = partition.inputs(COMPARISON_FILE).get(f"{model.name}/{MODEL_FILE}")
    if compared != model_hash(model):
        raise BadInput(
            f"{partition.name}/{COMPARISON_FILE} compares another model than {model.name}, "
            f"{compared[:12] + '…' if compared else 'none of that name'}",
            expected=f"sha256 {model_hash(model)[:12]}… of {model.name}/{MODEL_FILE}",
            do=f"run `prediction compare --ds {partition.name.rpartition('/')[2]}` again",
        )
    content = read_document(partition, COMPARISON_FILE)
    champion = content.get("champion")
    version = str(champion.get("version") or "") if champion else ""
    return Comparison(
        content["passed"], content.get("outcome") or "", tuple(content["reasons"]), version, champion is not None
    )


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


def _needs_shadow(comparison: Comparison, registered: RegisteredModel, version: Version, decision: str) -> bool:
    """Whether days beside the champion are to decide: not without a champion, and not what the rows have failed."""
    if registered.champion == version.number:
        return False
    if decision == KEPT:
        return comparison.outcome == UNDECIDED and not _outdated(comparison, registered, version)
    return decision in (PROMOTED, ASKED) and comparison.had_champion and comparison.outcome != FAILED


def _begin_shadow(server: Server, registered: RegisteredModel, version: Version, promote: str) -> None:
    """Set the alias, and keep who promotes what has passed. A version that had the alias stays the challenger."""
    with explained(server, "putting the version into shadow"):
        tag_version(server, version.number, f"{TAG}{SHADOW_PROMOTE}", promote)
    before = registered.aliases.get(SHADOW)
    if before and before != version.number and (other := find_version(server, before)):
        record_decision(server, other, KEPT, [f"version {version.number} took its place in shadow"])
    set_shadow(server, version.number)


def weigh(
    comparison: Comparison, registered: RegisteredModel, version: Version, twins: Collection[str], promote: str
) -> tuple[str, tuple[str, ...]]:
    """The decision, and its reasons in words. `twins`: other versions of the same model."""
    if registered.champion == version.number and not (promote == AUTO and promoted_before(registered, version)):
        return HELD, (*comparison.reasons, f"version {version.number} is the champion already")
    by_hand = f"`registry promote --version {version.number} --by WHO --reason WHY`"
    how = f"to promote it: the Dag promote_model, or {by_hand}"
    if is_rejected(version):
        return REJECTED, (*comparison.reasons, f"a person has rejected it: {version.tag('decision_reasons')}", how)
    if promote == ASK:
        return ASKED, comparison.reasons
    if promote != AUTO:
        return LEFT, (*comparison.reasons, how)
    if not comparison.passed:
        return KEPT, (*comparison.reasons, how)
    if registered.champion in twins:
        return KEPT, (*comparison.reasons, f"version {registered.champion}, the champion, is the same model already")
    if outdated := _outdated(comparison, registered, version):
        return KEPT, (*comparison.reasons, outdated, how)
    return PROMOTED, comparison.reasons


def promoted_before(registered: RegisteredModel, version: Version) -> bool:
    """Whether an earlier try of this Dag run has promoted the version."""
    event = of_run(registered.events, run_key())
    return event is not None and event.version == version.number


def _outdated(comparison: Comparison, registered: RegisteredModel, version: Version) -> str:
    """Why the comparison is not enough to promote; empty where it is."""
    now = registered.champion
    if now == version.number:
        return ""  # promoted before
    if any(event.version == version.number for event in registered.events):
        return "it was the champion before and is not any more; what a person took back, a person promotes"
    if comparison.had_champion and not comparison.champion:
        return ""  # compared with a model that the Variable named
    if (now or "") != comparison.champion:
        then = f"version {comparison.champion}" if comparison.champion else "none"
        return f"the champion is {f'version {now}' if now else 'none'} now, when they were compared it was {then}"
    return ""


def upload_comparison(server: Server, version: Version, partition: Partition, place: str) -> None:
    """The comparison as an artifact of the version's run, in the folder `place`."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(partition / COMPARISON_FILE, Path(folder) / COMPARISON_FILE)
        upload(server, version.run_id, Path(folder), place)
