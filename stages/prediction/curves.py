"""ROC and precision-recall curves as lists of points, few enough to be drawn."""

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from metrics import LabelledRows, rounded

MOST_POINTS = 200


def curve_list(rows: LabelledRows) -> list[dict[str, Any]]:
    """The curves of the second of two classes, or of each class against the rest; without classes that have no curve.

    Recall rises, as the false positive rate does.
    """
    curves = []
    for code in rows.positives:
        own = rows.codes == code
        if not 0 < own.sum() < len(own):
            continue
        scores = rows.probabilities[:, code]
        fpr, tpr, _ = roc_curve(own, scores, sample_weight=rows.weights)
        precision, recall, _ = precision_recall_curve(own, scores, sample_weight=rows.weights)
        roc, of_recall = thin(fpr, tpr), thin(recall[::-1], precision[::-1])
        curves.append(
            {
                "class": rows.classes[code],
                "roc": {"fpr": roc[0], "tpr": roc[1]},
                "precision_recall": {"recall": of_recall[0], "precision": of_recall[1]},
            }
        )
    return curves


def thin(across: np.ndarray, up: np.ndarray) -> tuple[list[float], list[float]]:
    """At most MOST_POINTS of a curve's points, evenly along its length, both ends among them."""
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))])
    wanted = np.linspace(0.0, length[-1], MOST_POINTS)
    nearest = np.searchsorted(length, wanted).clip(max=len(length) - 1)
    nearest[-1] = len(length) - 1
    kept = np.unique(nearest) if len(length) > MOST_POINTS else np.arange(len(length))
    return [rounded(value) for value in across[kept]], [rounded(value) for value in up[kept]]
