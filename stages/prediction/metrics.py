"""How good a model is, measured on rows that it was not fitted on. Every figure is scikit-learn's.

Figures are rounded to 10 decimals, so that the last bit of a sum does not depend on the processor.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
)

DECIMALS = 10
CALIBRATION_BINS = 10


def measure(codes: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """The content of `metrics.json` for the rows' class codes and their probabilities, (rows, classes).

    Every class must occur in `codes`: a ranking measure has no value otherwise. With two classes the second is
    the positive one, `threshold` is the score from which on it is predicted, and the scores of a ranking are its
    probabilities. With more, `roc_auc` (one against the rest), `average_precision`, `precision`, `recall` and `f1`
    are means over the classes, the predicted class is the most probable, and there is no threshold.
    """
    threshold = best_threshold(codes, probabilities[:, 1]) if len(classes) == 2 else None
    predicted = predict_codes(probabilities, threshold)
    labels = range(len(classes))
    average = "binary" if threshold is not None else "macro"
    precision, recall, f1, _ = precision_recall_fscore_support(
        codes, predicted, labels=None if threshold is not None else labels, average=average, zero_division=0.0
    )
    scores = probabilities[:, 1] if threshold is not None else probabilities
    figures = {
        "roc_auc": roc_auc_score(codes, scores, multi_class="ovr", average="macro"),
        "average_precision": average_precision_score(codes, scores, average="macro"),
        "log_loss": log_loss(codes, probabilities, labels=labels),
        "brier_score": brier_score_loss(codes, scores, labels=labels),
        "accuracy": accuracy_score(codes, predicted),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    return {
        "rows": len(codes),
        "classes": list(classes),
        "class_rows": dict(zip(classes, np.bincount(codes, minlength=len(classes)).tolist(), strict=True)),
        **{name: _rounded(value) for name, value in figures.items()},
        "threshold": threshold,
        "confusion_matrix": confusion_matrix(codes, predicted, labels=labels).tolist(),
        "calibration": _calibration(codes, probabilities, predicted, binary=threshold is not None),
    }


def best_threshold(codes: np.ndarray, scores: np.ndarray) -> float:
    """The lowest score at which predicting the second class has the greatest F1."""
    precision, recall, thresholds = precision_recall_curve(codes, scores)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return float(thresholds[np.argmax(f1[:-1])])


def predict_codes(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """The predicted class codes: the second class from the threshold on, or the most probable class."""
    if threshold is None:
        return probabilities.argmax(axis=1)
    return (probabilities[:, 1] >= threshold).astype(np.intp)


def _calibration(
    codes: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray, *, binary: bool
) -> list[dict[str, Any]]:
    """Up to ten bins of about equally many rows, by score: mean score against how often it came true.

    The score is the second class's probability, or with more classes the predicted class's; equal scores share
    a bin.
    """
    scores = probabilities[:, 1] if binary else probabilities.max(axis=1)
    came_true = codes == (1 if binary else predicted)
    edges = np.quantile(scores, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    bins = np.searchsorted(np.unique(edges), scores, side="left")
    return [
        {
            "rows": int(inside.sum()),
            "mean_predicted": _rounded(scores[inside].mean()),
            "observed": _rounded(came_true[inside].mean()),
        }
        for inside in (bins == number for number in np.unique(bins))
    ]


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)
