"""The work of `validate`: reproduce LightGBM's scores, then measure the model on its validation rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from stagekit import BadInput, Partition, Publication
from stagekit.contract import HIGHER_IS_BETTER, Encoder, write_document

from curves import curve_list
from decision import check_decision, costs_of_rows, count_rows_of_day, decide
from drift import make_baseline
from estimate import calibrated, calibrated_of_others, fit_calibrator
from intervals import intervals
from metrics import LabelledRows, best_threshold, measure, measure_calibrated, predict_codes
from model_card import model_card
from model_partition import BASELINE_FILE, CARD_FILE, CURVES_FILE, METRICS_FILE
from reference import compare_with_reference
from rules import MONITORING
from scoring import load_trees, read_validation, weight_column
from segments import measure_segments, segment_codes, segment_fields
from warn import find_warnings

IN_RESULT = ("rows", "roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "f1", "threshold")


def validate_model(
    model: Partition,
    encoder: Encoder,
    processed: Partition,
    rules: Mapping[str, Any],
    card: Mapping[str, str],
    publication: Publication,
) -> dict[str, Any]:
    """Write `metrics.json`, `curves.json`, `baseline.json`, `model_card.md`; returns the result.

    Needs 8 bytes for each value of `val.csv`, and a few times the scores: 300 MB for a million rows of 16 features.
    """
    check_decision(rules, encoder)
    trees = load_trees(model, encoder)
    columns = (weight_column(encoder), encoder.feature_names)
    validation = read_validation(processed, encoder.target, encoder.classes, *columns)
    probabilities = trees.probabilities(validation.features)
    reproduction = compare_with_reference(model, encoder, probabilities)
    codes, weights, scores = validation.codes, validation.weights, probabilities[:, 1]
    threshold, of_rows, calibrator = None, None, None
    decided: dict[str, Any] = {}
    if len(encoder.classes) == 2:
        calibrator = fit_calibrator(codes, scores) if weights is None else None
        default = best_threshold(codes, scores, weights)
        chances = calibrated(scores, calibrator) if calibrator else codes
        costs = _costs(rules, encoder, validation.features, model)
        of_day = count_rows_of_day(processed)
        threshold, of_rows, decided = decide(rules, default, codes, chances, scores, weights, costs, of_day)
    predicted = predict_codes(probabilities, of_rows)
    rows = LabelledRows(codes, probabilities, predicted, encoder.classes, len(encoder.classes), weights)
    confidence = MONITORING["confidence"]
    figures = {
        **measure(rows, threshold),
        "intervals": intervals(rows, confidence),
        **decided,
        "reproduction": reproduction,
    }
    if calibrator:
        figures["calibrator"] = calibrator
        figures |= measure_calibrated(rows, calibrated_of_others(codes, scores))
    write_document(publication.path(METRICS_FILE), figures)
    curves = {"version": 1, "classes": list(encoder.classes), "curves": curve_list(rows)}
    write_document(publication.path(CURVES_FILE), curves)
    segments = _segments(rows, encoder, validation.features, confidence)
    baseline = {**make_baseline(encoder, validation.features, probabilities), "segments": segments}
    write_document(publication.path(BASELINE_FILE), baseline)
    warnings = find_warnings(encoder, validation.features, codes, figures, weights)
    text = model_card(model, encoder, processed, figures, confidence, card, warnings, segments)
    publication.path(CARD_FILE).write_text(text, encoding="utf-8", newline="\n")
    return {
        "model": model.name,
        **{key: figures[key] for key in IN_RESULT},
        **{key: decided[key] for key in ("cost", "default_cost") if key in decided},
        "reproduction": reproduction,
        **({"warnings": warnings} if warnings else {}),
    }


def _costs(rules: Mapping[str, Any], encoder: Encoder, features: np.ndarray, model: Partition) -> np.ndarray | None:
    """The costs of the validation rows; None if the rules have none. Errors: BadInput if a row has no cost."""
    if not rules["costs"]:
        return None
    costs = costs_of_rows(rules["costs"], encoder.feature_names, features)
    if lacking := int(np.isnan(costs).any(axis=1).sum()):
        columns = " or ".join(str(cost) for cost in rules["costs"].values() if isinstance(cost, str))
        raise BadInput(
            f"{lacking} of {len(costs)} validation rows of {model.name} have no {columns} of 0 or more",
            expected="a cost for each row",
            do="make the field `required` with `minimum` 0 in schema.json, or give a number as the cost",
        )
    return costs


def _segments(rows: LabelledRows, encoder: Encoder, features: np.ndarray, confidence: float) -> list[dict[str, Any]]:
    """The figures of each value of the fields that divide the rows."""
    fields = segment_fields(encoder, None)
    return measure_segments(rows, segment_codes(features, fields), fields, HIGHER_IS_BETTER, confidence)
