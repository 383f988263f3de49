"""Reads what the steps before left of a scored and evaluated day: everything that its page shows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

from stagekit import META, BadInput, NotReady, Partition, StageError, partition_name, read_partition
from stagekit.contract import Encoder, read_document, read_encoder
from stagekit.lineage import Lineage, Reader

from reasons import CONTRIBUTIONS_FILE, REASONS_FILE, Reasons, read_reasons
from tables import IMPORTANCE_FILE, REJECTED_FILE, read_importances, read_rejected

Content = TypeVar("Content")
PREDICTIONS, EVALUATION, COMPARISON = "predictions.csv", "evaluation.json", "comparison.json"
CURVES, ENCODER, BREACHES = "curves.json", "encoder.json", "breaches.json"
MOST_PARTITIONS = 200
MODEL_FILES = (CURVES, ENCODER, IMPORTANCE_FILE)
# The roles of fields that identify a person or say nothing about the model. Their values are never shown.
HIDDEN_ROLES = ("entity", "ignore")


@dataclass(frozen=True)
class Day:
    """All that the page of a day is made from. What the data folder does not have is None or empty.

    `before` is the evaluation of the day before. `breaches` says which crossed thresholds count; None if `confirm` has
    not decided it. `since` is the first day that the model scores, and the number of days since. `open_fields` are the
    fields whose values may be shown. `warnings` has those of the steps that led to the model and to the scores, each
    with its step. `shadow` is the version that scored the day beside the champion, and the comparison of both or None.
    `reasons` is a sentence if the page has none of the scores.
    """

    ds: str
    evaluation: Mapping[str, Any]
    before: Mapping[str, Any] | None
    breaches: Mapping[str, Any] | None
    model: str
    version: str
    since: tuple[str, int]
    rejected: list[dict[str, str]] | None
    open_fields: frozenset[str]
    importances: list[tuple[str, float, float]] | None
    trained_curves: list[Mapping[str, Any]] | None
    comparison: Mapping[str, Any] | None
    shadow: tuple[str, Mapping[str, Any] | None] | None
    reasons: Reasons | str
    lineage: Lineage
    warnings: tuple[tuple[str, str], ...]


def read_day(root: Path, ds: str) -> tuple[list[Partition], Day]:
    """The partitions that were read, and what they hold. Errors: NotReady if the day is not scored or not evaluated."""
    predictions = read_partition(root, f"predictions/{ds}", [PREDICTIONS])
    report = read_partition(root, f"reports/{ds}", [EVALUATION])
    decided = read_published(root, report.name, [BREACHES])
    earlier, before = read_before(root, ds)
    require_evaluation_of(report, predictions)
    model_name, version = scored_by(predictions)
    model = read_published(root, model_name, MODEL_FILES)
    features = read_published(root, f"features/{ds}", [REJECTED_FILE])
    comparison = newest(root, "comparisons", ds, COMPARISON)
    beside, shadow = read_shadow(root, ds)
    explained = read_published(root, f"explanations/{ds}", [REASONS_FILE, CONTRIBUTIONS_FILE])
    encoder = read_encoder(model) if model and ENCODER in model.files else None
    read = [partition for partition in (predictions, report, model, features, comparison, explained) if partition]
    reader = Reader(root, most_partitions=MOST_PARTITIONS)
    # What counts and what changed follow from days before, too. They are inputs, but no figure was made from them.
    all_read = [*read, *(partition for partition in (decided, earlier, beside) if partition)]
    return all_read, Day(
        ds=ds,
        evaluation=without_sensitive(read_document(report, EVALUATION), encoder),
        before=before,
        breaches=_read(decided, BREACHES, lambda partition: read_document(partition, BREACHES)),
        model=model_name,
        version=version,
        since=scored_since(root, ds),
        rejected=_read(features, REJECTED_FILE, read_rejected),
        open_fields=open_fields(encoder),
        importances=_read(model, IMPORTANCE_FILE, read_importances),
        trained_curves=_read(model, CURVES, lambda partition: read_document(partition, CURVES)["curves"]),
        comparison=_read(comparison, COMPARISON, lambda partition: read_document(partition, COMPARISON)),
        shadow=shadow,
        reasons=read_reasons(explained, predictions),
        lineage=reader.follow([path for partition in read for path in partition.hashes]),
        warnings=_warnings(reader.follow([path for one in (model, predictions, report) if one for path in one.hashes])),
    )


def _warnings(lineage: Lineage) -> tuple[tuple[str, str], ...]:
    return tuple((step.command or step.name, text) for step in lineage.in_order() for text in step.warnings)


def breaches(day: Day) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The thresholds that the day crossed: with enough evidence, and without."""
    if day.breaches is None:
        return day.evaluation["breaches"], []
    return day.breaches["confirmed"], day.breaches.get("unconfirmed") or []


def day_before(ds: str) -> str:
    """The day before a day."""
    return (date.fromisoformat(ds) - timedelta(days=1)).isoformat()


def read_before(root: Path, ds: str) -> tuple[Partition, Mapping[str, Any]] | tuple[None, None]:
    """The evaluation of the day before. A day that has none, or is being published, does not stop the page."""
    try:
        partition = read_partition(root, f"reports/{day_before(ds)}", [EVALUATION])
        return partition, read_document(partition, EVALUATION)
    except StageError:
        return None, None


def read_shadow(root: Path, ds: str) -> tuple[Partition | None, tuple[str, Mapping[str, Any] | None] | None]:
    """The version that scored the day in shadow, the newest, and the comparison with the champion up to the day.

    A comparison that cannot be read, or is being published, does not stop the page.
    """
    marks = (root / "shadows").glob(f"{ds}-v*/{META}")
    numbers = [int(number) for mark in marks if (number := mark.parent.name.removeprefix(f"{ds}-v")).isdecimal()]
    if not numbers:
        return None, None
    version = str(max(numbers))
    try:
        partition = read_partition(root, f"shadows/{ds}-v{version}", [COMPARISON])
        return partition, (version, read_document(partition, COMPARISON))
    except StageError:
        return None, (version, None)


def require_evaluation_of(report: Partition, predictions: Partition) -> None:
    """Errors: NotReady if the evaluation is of other predictions than those that are published now."""
    path, sha256 = next(iter(predictions.hashes.items()))
    was = report.inputs(EVALUATION).get(path)
    if was not in (None, sha256):
        raise NotReady(
            f"{report.name}/{EVALUATION} was made from {path} with sha256 {was[:12]}…, it now has {sha256[:12]}…",
            expected="an evaluation of the predictions that are published now",
            do=f"run `prediction evaluate` for {predictions.name.rpartition('/')[2]} again",
        )


def open_fields(encoder: Encoder | None) -> frozenset[str]:
    """The fields of the model's schema whose values may be shown; none if the model has no encoder."""
    fields = encoder.fields if encoder else ()
    open_ones = (one for one in fields if one.get("role") not in HIDDEN_ROLES and not one.get("sensitive"))
    return frozenset(one["name"] for one in open_ones)


def without_sensitive(evaluation: Mapping[str, Any], encoder: Encoder | None) -> Mapping[str, Any]:
    """The evaluation with a number in place of each value, where a feature is made from a sensitive field."""
    hidden = {one.name for one in encoder.features if one.field in encoder.sensitive} if encoder else set()
    drift = evaluation.get("drift")
    if not drift or not hidden:
        return evaluation
    features = [_numbered(one) if one["name"] in hidden else one for one in drift["features"]]
    return {**evaluation, "drift": {**drift, "features": features}}


def _numbered(feature: Mapping[str, Any]) -> dict[str, Any]:
    return {**feature, "labels": [f"value {number}" for number, _ in enumerate(feature["labels"], start=1)]}


def read_published(root: Path, name: str, files: Iterable[str]) -> Partition | None:
    """A partition with those of the files that its mark names; None if there is no such partition.

    Errors: BadInput if it is torn.
    """
    try:
        partition = read_partition(root, partition_name(root, name), ())
        return read_partition(root, partition.name, [file for file in files if file in partition.meta["outputs"]])
    except BadInput:
        raise
    except StageError:
        return None


def newest(root: Path, kind: str, ds: str, file: str) -> Partition | None:
    """The newest partition of a kind, of this day or before, that has the file. Errors: BadInput if it is torn."""
    for day in days(root, kind, ds):
        partition = read_published(root, f"{kind}/{day}", [file])
        if partition and partition.files:
            return partition
    return None


def days(root: Path, kind: str, ds: str) -> list[str]:
    """The days up to `ds` on which a kind of partition has a mark, the newest first."""
    found = [mark.parent.name for mark in (root / kind).glob(f"????-??-??/{META}")]
    return sorted((day for day in found if day <= ds), reverse=True)


def scored_by(predictions: Partition) -> tuple[str, str]:
    """The model and its version that made the predictions; empty texts if the mark does not name them."""
    parameters = predictions.step(PREDICTIONS).get("parameters") or {}
    return str(parameters.get("model") or ""), str(parameters.get("version") or "")


def scored_since(root: Path, ds: str) -> tuple[str, int]:
    """The first day of the unbroken row of days that the model of `ds` scored, and their number."""
    model, first, number = None, ds, 0
    for day in days(root, "predictions", ds):
        partition = read_published(root, f"predictions/{day}", [])
        own = scored_by(partition) if partition else None
        model = model or own
        if own != model:
            break
        first, number = day, number + 1
    return first, number


def _read(partition: Partition | None, file: str, read: Callable[[Partition], Content]) -> Content | None:
    """What a partition has in a file; None if it is not there."""
    return read(partition) if partition and file in partition.files else None
