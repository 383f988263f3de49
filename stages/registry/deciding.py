"""Turns the day's comparison into a decision: the version becomes the champion, or stays the challenger."""

import logging
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, read_partition

from bundle import MODEL_FILE, model_hash, read_json, read_model
from history import History, dag_run, promote, read_history
from runs import shown, upload
from server import Server, connect, explained
from versions import TAG, Version, own_version, versions_of

COMPARISON_FILE = "comparison.json"
PROMOTED, KEPT, LEFT = "promoted", "stays challenger", "left to a person"

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Comparison:
    """What `prediction compare` found: whether the candidate passed, against which champion, and why."""

    passed: bool
    reasons: tuple[str, ...]
    # The version of the champion it was compared with; empty where there was none, or it had no version.
    champion: str
    had_champion: bool


def decide(args: Namespace) -> dict[str, Any]:
    """Promote what has passed, if that is to be automatic; record the decision and its reasons either way."""
    partition = read_partition(args.data_dir, f"comparisons/{args.ds}", [COMPARISON_FILE])
    model = read_model(args.data_dir, f"models/{args.ds}")
    comparison = _read(partition, model)
    server = connect()
    version = _version(server, model)
    history = read_history(server)
    twins = [twin.number for twin in versions_of(server, model_hash(model)) if twin.number != version.number]
    decision, reasons = _weigh(comparison, history, version, twins, automatic=args.promote == "auto")
    if decision == PROMOTED:
        promote(server, version.number, args.by, f"comparison: {'; '.join(comparison.reasons) or 'passed'}")
    _record(server, version, partition, decision, reasons)
    champion = read_history(server).champion
    log.info("%s: %s", version.label, decision)
    for reason in reasons:
        log.info("because: %s", reason)
    return {
        "name": server.name,
        "version": version.number,
        "decision": decision,
        "promoted": decision == PROMOTED,
        "passed": comparison.passed,
        "reasons": list(reasons),
        "champion": champion,
    }


def _read(partition: Partition, model: Partition) -> Comparison:
    """The comparison, which must be of the model that is there. Errors: BadInput where it is not."""
    record = partition.meta["steps"].get(partition.meta["outputs"][COMPARISON_FILE]["step"], {})
    compared = record.get("inputs", {}).get(f"{model.name}/{MODEL_FILE}")
    if compared != model_hash(model):
        raise BadInput(
            f"{partition.name}/{COMPARISON_FILE} compares another model than {model.name}, "
            f"{compared[:12] + '…' if compared else 'none of that name'}",
            expected=f"sha256 {model_hash(model)[:12]}… of {model.name}/{MODEL_FILE}",
            do=f"run `prediction compare --ds {partition.name.rpartition('/')[2]}` again",
        )
    content = read_json(partition, COMPARISON_FILE)
    try:
        champion = content["champion"]
        version = str(champion.get("version") or "") if champion else ""
        return Comparison(content["passed"] is True, tuple(map(str, content["reasons"])), version, champion is not None)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{partition.name}/{COMPARISON_FILE} is not understood ({type(error).__name__}: {error})",
            expected="a comparison of version 1", do="run `prediction compare` again with the image in use",
        ) from None  # fmt: skip


def _version(server: Server, model: Partition) -> Version:
    """The version of this Dag run, else the newest of the same model. Errors: NotReady where there is none."""
    versions = [version for version in versions_of(server, model_hash(model)) if version.tag("model") == model.name]
    found = own_version(versions, dag_run()) or next(iter(versions), None)
    if found is None:
        raise NotReady(
            f"{model.name} is not registered as {server.name}", expected="a version of this model",
            do=f"run `registry register --ds {model.name.removeprefix('models/')}`",
        )  # fmt: skip
    return found


def _weigh(
    comparison: Comparison, history: History, version: Version, twins: Collection[str], *, automatic: bool
) -> tuple[str, tuple[str, ...]]:
    """The decision, and its reasons in words. `twins`: other versions of the same model."""
    by_hand = f"`registry promote --version {version.number} --by WHO --reason WHY`"
    how = f"to promote it: the Dag promote_model, or {by_hand}"
    if not automatic:
        return LEFT, (*comparison.reasons, how)
    if not comparison.passed:
        return KEPT, (*comparison.reasons, how)
    if history.champion in twins:
        return KEPT, (*comparison.reasons, f"version {history.champion}, the champion, is the same model already")
    stale = _stale(comparison, history, version)
    if stale:
        return KEPT, (*comparison.reasons, stale, how)
    return PROMOTED, comparison.reasons


def _stale(comparison: Comparison, history: History, version: Version) -> str:
    """Why what the comparison says is not enough to promote; empty where it is."""
    now = history.champion
    if now == version.number:
        return ""  # promoted before
    if any(event.version == version.number for event in history.events):
        return "it was the champion before and is not any more; what a person took back, a person promotes"
    if comparison.had_champion and not comparison.champion:
        return ""  # compared with a model that the Variable named
    if (now or "") != comparison.champion:
        then = f"version {comparison.champion}" if comparison.champion else "none"
        return f"the champion is {f'version {now}' if now else 'none'} now, when they were compared it was {then}"
    return ""


def _record(server: Server, version: Version, partition: Partition, decision: str, reasons: tuple[str, ...]) -> None:
    """The comparison as an artifact, the decision as tags of run and version."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(partition / COMPARISON_FILE, Path(folder) / COMPARISON_FILE)
        upload(server, version.run_id, Path(folder), "comparison")
    tags = {f"{TAG}decision": decision, f"{TAG}decision_reasons": shown("; ".join(reasons))}
    with explained(server, "recording the decision"):
        for key, value in tags.items():
            server.client.set_tag(version.run_id, key, value)
            server.client.set_model_version_tag(server.name, version.number, key, value)
