"""Weighs a comparison: what becomes of its version, and why; and does it.

`decide` and `decide-shadow` share this: the one has the validation rows, the other the days beside the champion.
"""

import logging
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition
from stagekit.contract import read_document

from bundle import MODEL_FILE, TAG, model_hash
from decisions import (
    ASKED,
    ASKED_BESIDE,
    HELD,
    IN_SHADOW,
    KEPT,
    LEFT,
    NO_CHAMPION,
    NOT_IN_SHADOW,
    PROMOTED,
    REJECTED,
    is_rejected,
    record_decision,
)
from list_ import newest_versions
from promote import promote_version
from registered_model import RegisteredModel, end_shadow, promoted_before, read_registered_model
from runs import upload
from server import Server, explained
from versions import Version, tag_version

COMPARISON_FILE = "comparison.json"
AUTO, MANUAL, ASK = "auto", "manual", "ask"
PASSED = "passed"

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Comparison:
    """What `prediction` found: whether the candidate may replace which champion, and why."""

    partition: Partition
    passed: bool
    # `passed`, `failed` or `undecided`; empty in a comparison of before there was a third outcome.
    outcome: str
    reasons: tuple[str, ...]
    # The version of the champion it was compared with; empty where there was none, or it had no version.
    champion: str
    had_champion: bool


@dataclass(frozen=True)
class Decision:
    """What becomes of a version."""

    # One of the words of `decisions`.
    word: str
    reasons: tuple[str, ...]
    # What a person can do about it; empty if nothing.
    do: str = ""


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
    outcome = content.get("outcome") or ""
    return Comparison(partition, content["passed"], outcome, tuple(content["reasons"]), version, champion is not None)


def weigh(
    comparison: Comparison, registered: RegisteredModel, version: Version, twins: Collection[str], promote: str
) -> Decision:
    """The decision. `twins`: other versions of the same model; `promote`: who promotes what has passed."""
    found = comparison.reasons
    if registered.champion == version.number and not (promote == AUTO and promoted_before(registered, version.number)):
        return Decision(HELD, (*found, f"version {version.number} is the champion already"))
    how = how_to_promote(version)
    if is_rejected(version):
        return Decision(REJECTED, (*found, f"a person has rejected it: {version.tag('decision_reasons')}"), how)
    if promote == ASK:
        return Decision(ASKED, found)
    if promote != AUTO:
        return Decision(LEFT, found, how)
    if not comparison.passed:
        return Decision(KEPT, found, how)
    if registered.champion in twins:
        return Decision(KEPT, (*found, f"version {registered.champion}, the champion, is the same model already"))
    if outdated := why_outdated(comparison, registered, version):
        return Decision(KEPT, (*found, outdated), how)
    return Decision(PROMOTED, found)


def how_to_promote(version: Version) -> str:
    """How a person promotes a version."""
    by_hand = f"`registry promote --version {version.number} --by WHO --reason WHY`"
    return f"to promote it: the Dag promote_model, or {by_hand}"


def why_outdated(comparison: Comparison, registered: RegisteredModel, version: Version) -> str:
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


def carry_out(
    server: Server, version: Version, comparison: Comparison, decision: Decision, by: str, place: str
) -> dict[str, Any]:
    """Promote if that is the decision, record it, and end the shadow of a version that is decided; returns the result.

    :param by: who promotes
    :param place: the folder of the run's artifacts that gets the comparison
    """
    if decision.word == PROMOTED:
        promote_version(server, version.number, by, f"comparison: {'; '.join(decision.reasons) or PASSED}")
    if decision.word == ASKED:
        beside = comparison.champion or read_registered_model(server).champion or NO_CHAMPION
        with explained(server, "recording the champion of the question"):
            tag_version(server, version.number, f"{TAG}{ASKED_BESIDE}", beside)
    if decision.word not in (HELD, REJECTED, NOT_IN_SHADOW):  # these keep the record of their own decision
        _upload(server, version, comparison.partition, place)
        record_decision(server, version, decision.word, decision.reasons)
    if decision.word not in (IN_SHADOW, NOT_IN_SHADOW):
        end_shadow(server, version.number)
    log.info("%s: %s", version.label, decision.word)
    for reason in decision.reasons:
        log.info("because: %s", reason)
    if decision.do:
        log.info("%s", decision.do)
    return {
        "name": server.name,
        "version": version.number,
        "decision": decision.word,
        "promoted": decision.word == PROMOTED,
        "passed": comparison.passed,
        "outcome": comparison.outcome,
        "reasons": list(decision.reasons),
        "do": decision.do or None,
        "champion": read_registered_model(server).champion,
        "versions": newest_versions(server),
    }


def _upload(server: Server, version: Version, partition: Partition, place: str) -> None:
    """The comparison as an artifact of the version's run."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(partition / COMPARISON_FILE, Path(folder) / COMPARISON_FILE)
        upload(server, version.run_id, Path(folder), place)
