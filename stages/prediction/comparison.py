"""The work of `compare`: two models on the same rows, and whether the candidate may replace the champion."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stagekit import BadInput, Publication

from bootstrap import interval
from bundle import write_json
from curves import curve_list
from metrics import LabelledRows, measure, predict_codes, rounded
from rules import MORE_IS_BETTER, gain
from scoring import load_trees, read_validation
from steps import Contender

log = logging.getLogger("prediction")


@dataclass(frozen=True)
class Side:
    """A model's scores of the rows, and its figures."""

    rows: LabelledRows
    figures: Mapping[str, Any]


def compare_models(
    ds: str,
    candidate: Contender,
    champion: Contender | None,
    named: Mapping[str, Any] | None,
    incomparable: str,
    rules: Mapping[str, Any],
    publication: Publication,
) -> dict[str, Any]:
    """Write `comparison.json`; returns what the result line says.

    `named` is the champion's model and version, as given. Where it is there and `champion` is not, the two cannot be
    measured on the same rows, and `incomparable` says why: then a person decides.
    """
    ours, theirs = _measure_both(candidate, champion)
    metric = rules["metric"]
    difference, bounds, drawn_from = None, None, None
    if theirs:
        difference = rounded(ours.figures[metric] - theirs.figures[metric])
        sure = {"resamples": rules["resamples"], "confidence": rules["confidence"]}
        bounds, drawn_from = interval(metric, ours.rows, theirs.rows, **sure)
    verdicts = judge(ours.figures, theirs.figures if theirs else None, rules)
    apart = {**named, "why": incomparable} if named and not theirs else None
    if apart:
        verdicts.insert(0, (False, f"the champion {apart['model']} cannot be measured on these rows: {incomparable}"))
    passed, reasons = all(good for good, _ in verdicts), [text for _, text in verdicts]
    for good, text in verdicts:
        log.log(logging.INFO if good else logging.WARNING, "%s", text)
    told = {"metric": metric, "difference": difference, "interval": bounds}
    against = {**named, "value": theirs.figures[metric]} if named and theirs else None
    content = {
        "version": 1,
        "ds": ds,
        "candidate": {"model": candidate.model.name, "metrics": ours.figures},
        "champion": {**named, "metrics": theirs.figures} if named and theirs else None,
        "incomparable": apart,
        "rows": len(ours.rows.codes),
        **told,
        "interval_rows": drawn_from,
        "confidence": rules["confidence"],
        "resamples": rules["resamples"],
        "rule": rules,
        "passed": passed,
        "reasons": reasons,
        "curves": {
            "candidate": curve_list(ours.rows),
            "champion": curve_list(theirs.rows) if theirs else None,
        },
    }
    write_json(publication.path("comparison.json"), content)
    named_candidate = {"model": candidate.model.name, "value": ours.figures[metric]}
    return {"passed": passed, "reasons": reasons, **told, "candidate": named_candidate, "champion": against}


def _measure_both(candidate: Contender, champion: Contender | None) -> tuple[Side, Side | None]:
    classes = candidate.encoder.classes
    codes, probabilities = _score(candidate, candidate.encoder.target, classes)
    predicted = predict_codes(probabilities, candidate.threshold)
    rows = LabelledRows(codes, probabilities, predicted, classes, len(classes))
    ours = Side(rows, measure(rows, candidate.threshold))
    if not champion:
        return ours, None
    their_codes, probabilities = _score(champion, candidate.encoder.target, classes)
    _check_codes(codes, their_codes, champion, candidate)
    predicted = predict_codes(probabilities, champion.threshold)
    rows = align(codes, probabilities, predicted, champion.encoder.classes, classes)
    return ours, Side(rows, measure(rows, champion.threshold))


def _score(side: Contender, target: str, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Class codes and probabilities of a model's rows."""
    trees = load_trees(side.model, side.encoder)
    rows = read_validation(side.rows, target, classes, side.encoder.features)
    log.info("scoring %d rows with %s", len(rows.codes), side.model.name)
    return rows.codes, trees.probabilities(rows.features)


def _check_codes(ours: np.ndarray, theirs: np.ndarray, champion: Contender, candidate: Contender) -> None:
    again = f"run preprocessing encode-validation --model {champion.model.name} again"
    label, other = f"{champion.rows.name}/val.csv", f"{candidate.rows.name}/val.csv"
    if len(ours) != len(theirs):
        raise BadInput(f"{label} has {len(theirs)} rows", expected=f"{len(ours)}, as {other}", do=again)
    if (ours != theirs).any():
        row = int(np.argmax(ours != theirs))
        raise BadInput(
            f"row {row + 1} of {label} has the class code {theirs[row]}",
            expected=f"{ours[row]}, as in {other}: the same rows in the same order", do=again,
        )  # fmt: skip


def align(
    codes: np.ndarray,
    probabilities: np.ndarray,
    predicted: np.ndarray,
    own: Sequence[str],
    classes: Sequence[str],
) -> LabelledRows:
    """A model's scores by the classes of another: those it does not know have probability 0, its own others follow."""
    union = [*classes, *(name for name in own if name not in classes)]
    place = np.array([union.index(name) for name in own])
    aligned = np.zeros((len(codes), len(union)))
    aligned[:, place] = probabilities
    return LabelledRows(codes, aligned, place[predicted], tuple(union), len(classes))


def judge(
    ours: Mapping[str, Any], theirs: Mapping[str, Any] | None, rules: Mapping[str, Any]
) -> list[tuple[bool, str]]:
    """Each rule: whether it is kept, and a sentence that says so with numbers."""
    verdicts = [_judge_floor(metric, ours[metric], floor) for metric, floor in rules["floors"].items()]
    if not theirs:
        return verdicts
    metric, tolerance = rules["metric"], rules["tolerance"]
    # Of the rounded figures, so that a difference of the tolerance to the last shown digit is not above it.
    gained = rounded(gain(metric, ours[metric] - theirs[metric]))
    said = f"{metric} {ours[metric]:.6g} is "
    said += f"{abs(gained):.6g} {'better' if gained > 0 else 'worse'} than" if gained else "equal to"
    said += f" the champion's {theirs[metric]:.6g}"
    good = gained >= -tolerance
    if gained < 0:
        said += f", {'within' if good else 'more than'} the tolerance {tolerance:g}"
    return [(good, said), *verdicts]


def _judge_floor(metric: str, value: float, floor: float) -> tuple[bool, str]:
    """A floor is the least of what more is better of, and the most of a loss."""
    good = gain(metric, value - floor) >= 0
    if MORE_IS_BETTER[metric]:
        return good, f"{metric} {value:.6g} {'reaches' if good else 'is below'} the floor {floor:g}"
    return good, f"{metric} {value:.6g} {'is at most' if good else 'is above'} {floor:g}"
