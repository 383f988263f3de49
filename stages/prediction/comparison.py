"""The work of `compare`: two models on the same rows, and whether the candidate may replace the champion."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from stagekit import BadInput, Publication
from stagekit.contract import write_document

from bootstrap import interval
from contenders import Comparison, Contender
from curves import curve_list
from decision import count_rows_of_day, threshold_of_rows
from gate import FAILED, PASSED, Verdict, is_accepted, judge, outcome
from metrics import LabelledRows, measure, predict_codes, rounded
from model_partition import ValidatedModel
from reference import is_validation_of
from scoring import ValidationRows, load_trees, read_validation, weight_column
from segment_rules import Segments, fields_of_rules, judge_rules
from segments import segment_codes

SIDES = ("candidate", "champion")
# The segments of the result line; `comparison.json` has all.
MOST_SEGMENTS = 20

log = logging.getLogger("prediction")


@dataclass(frozen=True)
class MeasuredModel:
    """A model's scores of the rows, and its figures."""

    rows: LabelledRows
    figures: Mapping[str, Any]


def compare_models(comparison: Comparison, publication: Publication) -> dict[str, Any]:
    """Write `comparison.json`; returns the result."""
    candidate, segments = _measure_candidate(comparison)
    champion = _measure_champion(comparison, candidate) if comparison.champion else None
    if comparison.champion and not champion:
        why = f"it was made from rows of {comparison.ds} and may have learned them"
        comparison = replace(comparison, champion=None, incomparable=why)
    return publish_comparison(comparison, candidate, champion, segments, publication)


def publish_comparison(
    comparison: Comparison,
    candidate: MeasuredModel,
    champion: MeasuredModel | None,
    segments: Segments,
    publication: Publication,
    **more: Any,
) -> dict[str, Any]:
    """Judge two measured models and write `comparison.json` with `more` in it; returns the result."""
    difference = _difference(candidate, champion, comparison.rules)
    verdicts = _judge(comparison, candidate, champion, difference["interval"])
    parts, of_parts = judge_rules(candidate.rows, champion.rows if champion else None, segments, comparison.rules)
    verdicts += of_parts
    for verdict in verdicts:
        log.log(logging.INFO if verdict.outcome == PASSED else logging.WARNING, "%s", verdict.reason)
    more["segments"] = parts or None
    content = {**_document(comparison, candidate, champion, difference, verdicts), **more}
    write_document(publication.path("comparison.json"), content)
    return _result(content)


def _measure_candidate(comparison: Comparison) -> tuple[MeasuredModel, Segments]:
    """The candidate, and the segments that its rows are in."""
    model = comparison.candidate.model
    fields = fields_of_rules(model.encoder, comparison.rules)
    classes = model.encoder.classes
    found, probabilities = _score(comparison.candidate, model.encoder.target, classes, weight_column(model.encoder))
    predicted = _predict(comparison, model, probabilities)
    rows = LabelledRows(found.codes, probabilities, predicted, classes, len(classes), found.weights)
    return MeasuredModel(rows, measure(rows, model.threshold)), Segments(fields, segment_codes(found.features, fields))


def _measure_champion(comparison: Comparison, candidate: MeasuredModel) -> MeasuredModel | None:
    """The champion on the candidate's rows, with their weights and its own threshold; None if it may know the rows."""
    champion, codes = comparison.champion, candidate.rows.codes
    assert champion
    found, probabilities = _score(champion, comparison.candidate.model.encoder.target, candidate.rows.classes, [])
    _check_codes(found.codes, codes, champion, comparison.candidate)
    model = champion.model
    if model.has_seen(comparison.ds) and not is_validation_of(model.partition, model.encoder, probabilities):
        return None
    scored = LabelledRows(
        codes,
        probabilities,
        _predict(comparison, model, probabilities),
        model.encoder.classes,
        len(model.encoder.classes),
        candidate.rows.weights,
    )
    rows = align(scored, candidate.rows.classes)
    return MeasuredModel(rows, measure(rows, model.threshold))


def _predict(comparison: Comparison, model: ValidatedModel, probabilities: np.ndarray) -> np.ndarray:
    """The class codes that a model predicts on a day of which these rows are a sample."""
    if model.threshold is None:
        return predict_codes(probabilities, None)
    rows_of_day = count_rows_of_day(comparison.candidate.rows)
    return predict_codes(
        probabilities, threshold_of_rows(model.threshold, model.decision, probabilities[:, 1], rows_of_day)
    )


def _score(
    side: Contender, target: str, classes: Sequence[str], weight: Sequence[str]
) -> tuple[ValidationRows, np.ndarray]:
    """A model's rows, and their probabilities."""
    trees = load_trees(side.model.partition, side.model.encoder)
    rows = read_validation(side.rows, target, classes, weight, side.model.encoder.feature_names)
    log.info("scoring %d rows with %s", len(rows.codes), side.model.name)
    return rows, trees.probabilities(rows.features)


def _check_codes(found: np.ndarray, expected: np.ndarray, champion: Contender, candidate: Contender) -> None:
    do = f"run preprocessing encode-validation --model {champion.model.name} again"
    label, other = f"{champion.rows.name}/val.csv", f"{candidate.rows.name}/val.csv"
    if len(found) != len(expected):
        raise BadInput(f"{label} has {len(found)} rows", expected=f"{len(expected)}, as {other}", do=do)
    if (found != expected).any():
        row = int(np.argmax(found != expected))
        raise BadInput(
            f"row {row + 1} of {label} has the class code {found[row]}",
            expected=f"{expected[row]}, as in {other}: the same rows in the same order",
            do=do,
        )


def align(scored: LabelledRows, classes: Sequence[str]) -> LabelledRows:
    """A model's scores in the order of another model's `classes`, whose codes the rows have.

    A class that the model does not know has probability 0. Its own further classes come after the others.
    """
    union = [*classes, *(name for name in scored.classes if name not in classes)]
    place = np.array([union.index(name) for name in scored.classes])
    probabilities = np.zeros((len(scored.codes), len(union)))
    probabilities[:, place] = scored.probabilities
    return LabelledRows(
        scored.codes, probabilities, place[scored.predicted], tuple(union), len(classes), scored.weights
    )


def _judge(
    comparison: Comparison,
    candidate: MeasuredModel,
    champion: MeasuredModel | None,
    bounds: Sequence[float] | None,
) -> list[Verdict]:
    verdicts = judge(candidate.figures, champion.figures if champion else None, bounds, comparison.rules)
    if comparison.champion_version and not champion:
        name = comparison.champion_version["model"]
        reason = f"the champion {name} cannot be measured on these rows: {comparison.incomparable}"
        verdicts.insert(0, Verdict(FAILED, reason))
    return verdicts


def _document(
    comparison: Comparison,
    candidate: MeasuredModel,
    champion: MeasuredModel | None,
    difference: Mapping[str, Any],
    verdicts: Sequence[Verdict],
) -> dict[str, Any]:
    """The content of `comparison.json`."""
    version, rules = comparison.champion_version, comparison.rules
    return {
        "version": 1,
        "ds": comparison.ds,
        "candidate": {"model": comparison.candidate.model.name, "metrics": candidate.figures},
        "champion": {**version, "metrics": champion.figures} if version and champion else None,
        "incomparable": {**version, "why": comparison.incomparable} if version and not champion else None,
        "rows": len(candidate.rows.codes),
        **difference,
        "confidence": rules["confidence"],
        "resamples": rules["resamples"],
        "rule": rules,
        "outcome": outcome(verdicts),
        "passed": is_accepted(verdicts),
        "reasons": [verdict.reason for verdict in verdicts],
        "curves": {
            "candidate": curve_list(candidate.rows),
            "champion": curve_list(champion.rows) if champion else None,
        },
    }


def _difference(candidate: MeasuredModel, champion: MeasuredModel | None, rules: Mapping[str, Any]) -> dict[str, Any]:
    """The difference of the metric, its interval, and the number of rows that the interval comes from."""
    metric = rules["metric"]
    if not champion:
        return {"metric": metric, "difference": None, "interval": None, "interval_rows": None}
    bounds, rows = interval(
        metric, candidate.rows, champion.rows, resamples=rules["resamples"], confidence=rules["confidence"]
    )
    difference = rounded(candidate.figures[metric] - champion.figures[metric])
    return {"metric": metric, "difference": difference, "interval": bounds, "interval_rows": rows}


def _result(content: Mapping[str, Any]) -> dict[str, Any]:
    """The result line: the verdict, the metric of both models, and the segments if rules are about them."""
    kept = ("outcome", "passed", "reasons", "metric", "difference", "interval")
    segments = {"segments": content["segments"][:MOST_SEGMENTS]} if content["segments"] else {}
    return {**{key: content[key] for key in kept}, **{side: _metric_of(content, side) for side in SIDES}, **segments}


def _metric_of(content: Mapping[str, Any], side: str) -> dict[str, Any] | None:
    if not content[side]:
        return None
    model = {key: value for key, value in content[side].items() if key != "metrics"}
    return {**model, "value": content[side]["metrics"][content["metric"]]}
