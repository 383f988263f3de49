"""Curves: few points, the ends kept, and still the curve."""

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score

from curves import MOST_POINTS, curve_list, thin
from metrics import LabelledRows


def make_rows(classes: int, rows: int) -> LabelledRows:
    draw = np.random.default_rng(4)
    codes = draw.integers(0, classes, rows)
    raw = np.exp(draw.normal(size=(rows, classes)) + np.eye(classes)[codes])
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    return LabelledRows(codes, probabilities, probabilities.argmax(axis=1), tuple("abcdefg"[:classes]), classes)


@pytest.mark.parametrize(("classes", "named"), [(2, ["b"]), (3, ["a", "b", "c"])])
def test_curves_are_of_the_positive_class_or_of_each(classes: int, named: list[str]) -> None:
    assert [curve["class"] for curve in curve_list(make_rows(classes, 100))] == named


@pytest.mark.parametrize("rows", [10, 5000])
def test_curves_are_short_keep_their_ends_and_their_area(rows: int) -> None:
    measured = make_rows(2, rows)
    curve = curve_list(measured)[0]
    fpr, tpr = curve["roc"]["fpr"], curve["roc"]["tpr"]
    recall, precision = curve["precision_recall"]["recall"], curve["precision_recall"]["precision"]
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert (recall[0], precision[0], recall[-1]) == (0, 1, 1)
    assert precision[-1] == pytest.approx((measured.codes == 1).mean())
    for values in (fpr, tpr, recall):
        assert values == sorted(values)
        assert len(values) <= MOST_POINTS
    assert len(fpr) == len(tpr)
    assert len(recall) == len(precision)
    assert auc(fpr, tpr) == pytest.approx(roc_auc_score(measured.codes, measured.probabilities[:, 1]), abs=0.003)


def test_short_curve_keeps_every_point() -> None:
    across, up = np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.4, 0.4, 1.0])
    assert thin(across, up) == (across.tolist(), up.tolist())


def test_class_without_rows_has_no_curve() -> None:
    rows = make_rows(3, 50)
    seen = rows.codes != 2
    left = LabelledRows(rows.codes[seen], rows.probabilities[seen], rows.predicted[seen], rows.classes, 3)
    assert [curve["class"] for curve in curve_list(left)] == ["a", "b"]
