"""Metrics against what can be counted by hand or follows from the definition."""

import math
from typing import Any

import numpy as np
import pytest

from metrics import LabelledRows, best_threshold, predict_codes
from metrics import measure as measure_rows

CODES = np.array([0, 0, 1, 1, 0, 1])
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.9])
BINARY = np.column_stack([1 - SCORES, SCORES])


def measure(codes: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """As `validate` measures: with the threshold that is best for these rows."""
    threshold = best_threshold(codes, probabilities[:, 1]) if len(classes) == 2 else None
    predicted = predict_codes(probabilities, threshold)
    return measure_rows(LabelledRows(codes, probabilities, predicted, tuple(classes), len(classes)), threshold)


def test_binary_ranking_is_the_share_of_pairs_in_order() -> None:
    # Of 3 x 3 pairs, one positive (0.35) scores below one negative (0.4).
    assert measure(CODES, BINARY, ["no", "yes"])["roc_auc"] == pytest.approx(8 / 9)


def test_binary_average_precision_sums_precision_over_recall() -> None:
    # By falling score: yes yes no yes: precision 1, 1, 3/4 at the three hits.
    assert measure(CODES, BINARY, ["no", "yes"])["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_binary_losses_follow_their_definitions() -> None:
    figures = measure(CODES, BINARY, ["no", "yes"])
    own = np.where(CODES == 1, SCORES, 1 - SCORES)
    assert figures["log_loss"] == pytest.approx(-np.log(own).mean())
    assert figures["brier_score"] == pytest.approx(((SCORES - CODES) ** 2).mean())


def test_binary_threshold_has_the_greatest_f1() -> None:
    def f1(threshold: float) -> float:
        hits = ((threshold <= SCORES) & (CODES == 1)).sum()
        return 2 * hits / ((threshold <= SCORES).sum() + CODES.sum())

    assert best_threshold(CODES, SCORES) == max(SCORES, key=f1) == 0.35


def test_binary_figures_belong_to_the_threshold() -> None:
    figures = measure(CODES, BINARY, ["no", "yes"])
    # From 0.35 on: 0.35 0.4 0.8 0.9, three of them right; 0.1 and 0.2 rightly below.
    assert figures["confusion_matrix"] == [[2, 1], [0, 3]]
    assert figures["accuracy"] == pytest.approx(5 / 6)
    assert (figures["precision"], figures["recall"]) == (0.75, 1.0)
    assert figures["f1"] == pytest.approx(6 / 7)
    assert figures["class_rows"] == {"no": 3, "yes": 3}
    assert predict_codes(BINARY, 0.35).tolist() == [0, 1, 1, 1, 0, 1]


def test_calibration_bins_hold_every_row_once() -> None:
    draw = np.random.default_rng(3)
    scores = draw.random(5000)
    codes = (draw.random(5000) < scores).astype(int)
    bins = measure(codes, np.column_stack([1 - scores, scores]), ["0", "1"])["calibration"]
    assert [b["rows"] for b in bins] == [500] * 10
    assert sum(b["rows"] * b["mean_predicted"] for b in bins) == pytest.approx(scores.sum())
    assert sum(b["rows"] * b["observed"] for b in bins) == pytest.approx(codes.sum())
    # The codes were drawn from the scores: observed follows predicted within 4 standard errors.
    assert all(abs(b["mean_predicted"] - b["observed"]) < 4 * 0.5 / math.sqrt(500) for b in bins)


def test_calibration_of_equal_scores_is_one_bin() -> None:
    bins = measure(np.array([0, 1, 1, 1]), np.full((4, 2), 0.5), ["0", "1"])["calibration"]
    assert bins == [{"rows": 4, "mean_predicted": 0.5, "observed": 0.75}]


MULTI_CODES = np.array([0, 1, 2, 2, 1, 0])
MULTI = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])


def test_multiclass_predicts_the_most_probable_class() -> None:
    figures = measure(MULTI_CODES, MULTI, ["a", "b", "c"])
    assert figures["threshold"] is None
    assert figures["confusion_matrix"] == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]
    assert figures["accuracy"] == pytest.approx(5 / 6)
    assert figures["recall"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert figures["precision"] == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_multiclass_figures_are_means_over_the_classes() -> None:
    figures = measure(MULTI_CODES, MULTI, ["a", "b", "c"])
    each = [
        measure((c == MULTI_CODES).astype(int), np.column_stack([1 - MULTI[:, c], MULTI[:, c]]), ["rest", "own"])
        for c in range(3)
    ]
    assert figures["roc_auc"] == pytest.approx(np.mean([one["roc_auc"] for one in each]))
    assert figures["average_precision"] == pytest.approx(np.mean([one["average_precision"] for one in each]))
    assert figures["brier_score"] == pytest.approx(((MULTI - np.eye(3)[MULTI_CODES]) ** 2).sum(axis=1).mean())
    assert figures["log_loss"] == pytest.approx(-np.log(MULTI[np.arange(6), MULTI_CODES]).mean())


def test_day_of_one_class_has_no_ranking_but_losses() -> None:
    rows = LabelledRows(np.zeros(3, int), BINARY[[0, 1, 4]], np.array([0, 1, 0]), ("no", "yes"), 2)
    figures = measure_rows(rows, 0.35)
    assert [figures[name] for name in ("roc_auc", "average_precision", "precision", "recall", "f1")] == [None] * 5
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.8]).mean())
    assert figures["brier_score"] == pytest.approx(np.mean([0.01, 0.16, 0.04]))
    assert figures["class_rows"] == {"no": 3, "yes": 0}


def test_day_of_positives_only_has_precision_but_no_ranking() -> None:
    rows = LabelledRows(np.ones(2, int), BINARY[[1, 3]], np.array([0, 1]), ("no", "yes"), 2)
    figures = measure_rows(rows, 0.5)
    assert (figures["roc_auc"], figures["average_precision"]) == (None, None)
    assert (figures["precision"], figures["recall"]) == (1.0, 0.5)
    assert figures["brier_score"] == pytest.approx((0.6**2 + 0.2**2) / 2)


def test_day_without_a_class_has_means_over_the_others() -> None:
    codes, probabilities = MULTI_CODES[:2].repeat(2), MULTI[[0, 5, 1, 4]]
    figures = measure_rows(LabelledRows(codes, probabilities, np.array([0, 0, 1, 1]), ("a", "b", "c"), 3), None)
    assert (figures["roc_auc"], figures["average_precision"], figures["recall"]) == (1.0, 1.0, 1.0)
    assert figures["confusion_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 0]]
    assert figures["log_loss"] == pytest.approx(-np.log([0.6, 0.7, 0.5, 0.8]).mean())
