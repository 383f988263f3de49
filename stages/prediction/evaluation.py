"""The work of `evaluate`: a scored day with the labels that have come since, and compared with the validation rows.

All labelled rows are in memory while they are measured, whether day_part.py read them or merged them from shards.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stagekit import Partition, Publication
from stagekit.contract import CALENDAR, Encoder, read_document, write_document

from baseline import Baseline, read_baseline
from breaches import find_breaches
from curves import curve_list
from day_part import (
    CODE,
    COSTS,
    PREDICTED,
    PROBABILITIES,
    SEGMENTS,
    WEIGHT,
    Columns,
    DayPart,
    count_part,
    merge_parts,
    write_part,
)
from decision import mean_cost
from drift import compare_shares
from estimate import ScoreCounts, calibrated
from intervals import intervals
from labels import read_counts, read_examples
from metrics import FIGURES, LabelledRows, measure, measure_calibrated, predict_codes
from model_partition import METRICS_FILE
from pooling import describe_labelled
from scored_day import ScoredDay
from scoring import MissingAsZero
from segments import judge_segments, measure_segments, measured, segment_fields, weakest

IN_RESULT = ("rows", "roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1")

# Weak segments that a result line names.
MOST_NAMED = 10

log = logging.getLogger("prediction")


def evaluate_shard(day: ScoredDay, rules: Mapping[str, Any], publication: Publication) -> dict[str, Any]:
    """Write what a shard of a day passes on to the day; returns how many rows it has."""
    part = count_part(day, read_baseline(day), segment_fields(day.model.encoder, rules["segments"]))
    write_part(part, publication)
    return {"rows": part.rows, "matched": part.matched}


def evaluate_day(
    day: ScoredDay, shards: Sequence[Partition], rules: Mapping[str, Any], publication: Publication
) -> dict[str, Any]:
    """Write `evaluation.json` of the rows of the day, or of what its shards have passed on; returns the result."""
    baseline, confidence = read_baseline(day), rules["confidence"]
    fields = segment_fields(day.model.encoder, rules["segments"])
    part = merge_parts(shards) if shards else count_part(day, baseline, fields)
    warnings: list[str] = []
    labelled = _labelled(part.labelled, day.model.encoder, warnings)
    rows = labelled.rows if labelled else None
    trained = read_document(day.model.partition, METRICS_FILE)
    evaluation: dict[str, Any] = {
        "version": 1,
        "ds": day.ds,
        "model": day.model_version,
        "trained_on_day": day.is_training_day,
        "rows": part.rows,
        "target": _target(day, part),
        "metrics": _metrics(day, labelled, trained, confidence, warnings) if labelled else None,
        "trained": trained,
        **_estimate(day, part, trained, confidence),
        "labelled": describe_labelled(rows) if rows and not day.is_training_day else None,
        "curves": curve_list(rows) if rows else None,
        "segments": judge_segments(
            measure_segments(labelled.rows, labelled.segments, fields, [rules["metric"]], confidence),
            rules["metric"],
            measured(labelled.rows, rules["metric"]),
            baseline.segments if baseline else None,
        )
        if labelled and fields
        else None,
        "drift": _drift(baseline, part, confidence) if baseline else None,
        "missing_as_zero": _missing_as_zero(day, part),
        "quality": day.quality,
        "rules": rules,
    }
    evaluation["breaches"] = find_breaches(evaluation, rules)
    _log(evaluation)
    write_document(publication.path("evaluation.json"), evaluation)
    return _result(evaluation) | ({"warnings": warnings} if warnings else {})


def _metrics(
    day: ScoredDay, labelled: "_Labelled", trained: Mapping[str, Any], confidence: float, warnings: list[str]
) -> dict[str, Any]:
    """The figures of the labelled rows, with intervals, with calibrated scores and with costs."""
    rows = labelled.rows
    return {
        **measure(rows, day.model.threshold),
        "intervals": intervals(rows, confidence),
        **_calibrated(rows, None if day.is_training_day else trained.get("calibrator")),
        **_costs(labelled, trained.get("default_threshold"), warnings),
    }


def _missing_as_zero(day: ScoredDay, part: DayPart) -> dict[str, int]:
    missing = MissingAsZero(day.model)
    missing.take(part.missing)
    return missing.rows


def _estimate(day: ScoredDay, part: DayPart, trained: Mapping[str, Any], confidence: float) -> dict[str, Any]:
    """`estimate`, or `no_estimate`: why there is none. No rule looks at either."""
    why = ""
    if len(day.model.encoder.classes) > 2:
        why = "it needs a model of two classes"
    elif day.model.encoder.weight:
        why = "the model weighs its rows"
    elif day.is_training_day:
        why = "the model was trained on rows of this day"
    elif not trained.get("calibrator"):
        why = f"{day.model.name}/{METRICS_FILE} has no calibrator; a model that is validated now has one"
    elif not part.rows:
        why = "no row was scored"
    if why:
        return {"no_estimate": why}
    scores = ScoreCounts()
    scores.take(part.scores)
    return {"estimate": scores.estimate(trained["calibrator"], confidence)}


def _calibrated(rows: LabelledRows, calibrator: Mapping[str, Any] | None) -> dict[str, Any]:
    """What calibration would change; nothing if the model has no calibrator, which has seen none of these rows."""
    return measure_calibrated(rows, calibrated(rows.probabilities[:, 1], calibrator) if calibrator else None)


@dataclass(frozen=True)
class _Labelled:
    """The labelled rows of the day: what is measured, their codes in the segments, and what each wrong one costs."""

    rows: LabelledRows
    segments: np.ndarray
    costs: np.ndarray | None


def _labelled(columns: Columns | None, encoder: Encoder, warnings: list[str]) -> _Labelled | None:
    """The rows that can be measured; None if there are none."""
    if not columns or not len(columns[CODE]):
        return None
    codes, predicted = (columns[name].astype(np.intp) for name in (CODE, PREDICTED))
    classes, weights = encoder.classes, columns.get(WEIGHT)
    if weights is not None and (lacking := int(np.isnan(weights).sum())):
        # Figures mix no weights.
        warnings.append(
            f"{lacking} of {len(weights)} labelled rows have no {encoder.weight}: the day's figures count "
            "each row once, those of the training weigh it"
        )
        weights = None
    rows = LabelledRows(codes, columns[PROBABILITIES], predicted, classes, len(classes), weights)
    return _Labelled(rows, columns[SEGMENTS], columns.get(COSTS))


def _costs(found: _Labelled, default_threshold: float | None, warnings: list[str]) -> dict[str, float | None]:
    """The mean cost of a labelled row, and that with the threshold of the greatest F1; nothing without costs."""
    rows, costs = found.rows, found.costs
    if costs is None or default_threshold is None:
        return {}
    default = predict_codes(rows.probabilities, default_threshold)
    if lacking := int(np.isnan(costs).any(axis=1).sum()):
        warnings.append(f"{lacking} of {len(costs)} labelled rows have no cost of 0 or more in its column")
    return {
        "cost": mean_cost(costs, rows.codes, rows.predicted, rows.weights),
        "default_cost": mean_cost(costs, rows.codes, default, rows.weights),
    }


def _target(day: ScoredDay, part: DayPart) -> dict[str, Any] | None:
    """The counts of the rows of target.csv and of the predictions; None if there is no target.csv."""
    if not day.labels:
        return None
    return {
        **read_counts(day.labels),
        "matched": part.matched,
        "without_prediction": part.labels - part.matched,
        "without_target": part.rows - part.matched,
        "new_classes": {name: rows for name, rows in sorted(part.new_classes.items()) if rows},
        "examples": read_examples(day.labels),
    }


def _drift(baseline: Baseline, part: DayPart, confidence: float) -> dict[str, Any]:
    """Each feature and the score: the shares of the bins, expected and on this day, and how far they are apart."""
    of_score, expected_scores = baseline.score
    return {
        "features": [
            {"name": name, "kind": kind, "labels": list(bins.labels), **compare_shares(expected, actual, confidence)}
            for (name, kind, bins, expected), actual in zip(baseline.features, part.features, strict=True)
        ],
        "score": {
            "labels": list(of_score.labels),
            **compare_shares(expected_scores, part.score, confidence),
        },
    }


def _log(evaluation: Mapping[str, Any]) -> None:
    target, metrics = evaluation["target"], evaluation["metrics"]
    if not target:
        log.warning("there is no target.csv for %s yet: only drift is measured", evaluation["ds"])
    else:
        log.info("target.csv: %s", ", ".join(f"{key} {value}" for key, value in target.items() if key != "examples"))
    if evaluation["trained_on_day"] and metrics:
        log.warning("the model was trained on rows of this day, so the figures are better than on other days")
    if target and not metrics:
        log.warning("no prediction of %s has a target of a class that the model knows: no metrics", evaluation["ds"])
    for name, value in (metrics or {}).items():
        if value is None and name in FIGURES:
            log.warning("%s has no value: it needs rows of two classes", name)
    if found := evaluation.get("estimate"):
        shown = "%s %.4f, between %.4f and %.4f"
        both = "; ".join(shown % (name, found[name], *bounds) for name, bounds in found["intervals"].items())
        log.info("estimated from calibrated scores, not measured: %s. An estimate cannot see concept drift", both)
    else:
        log.info("no estimate: %s", evaluation["no_estimate"])
    for sentence in weakest(evaluation["segments"]) if evaluation["segments"] else ():
        log.warning("a weak segment: %s", sentence)
    for breach in evaluation["breaches"]:
        log.info("crossed, which `confirm` decides on: %s", breach["text"])


def _result(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    target, metrics = evaluation["target"], evaluation["metrics"]
    return {
        "model": evaluation["model"],
        "trained_on_day": evaluation["trained_on_day"],
        "rows": evaluation["rows"],
        "target": target and {key: value for key, value in target.items() if key != "examples"},
        "metrics": {key: metrics[key] for key in IN_RESULT} if metrics else None,
        **{key: evaluation[key] for key in ("estimate", "no_estimate") if key in evaluation},
        "weak_segments": weakest(evaluation["segments"])[:MOST_NAMED] if evaluation["segments"] else [],
        "drift": _drift_in_short(evaluation["drift"]),
        # Not `breaches`: `confirm` adds those of the day and the days before together, and sends one alert.
        "crossed": [breach["text"] for breach in evaluation["breaches"]],
    }


def _drift_in_short(drift: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The PSI of the score, and of the feature that has moved most."""
    if not drift:
        return None
    judged = [feature for feature in drift["features"] if feature["kind"] not in CALENDAR]
    most = max(judged, key=lambda feature: float(feature["psi"]), default=None)
    return {"score": drift["score"]["psi"], "max_feature": most and {"name": most["name"], "psi": most["psi"]}}
