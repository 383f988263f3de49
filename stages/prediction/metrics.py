"""How good a model is, measured on rows that it was not fitted on. Every figure is scikit-learn's.

Figures are rounded to 10 decimals, so that the last bit of a sum does not depend on the processor.
"""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Measured:
    """Rows to measure: true class codes and predicted ones (rows,), probabilities (rows, classes).

    `classes` names the columns. The first `known` of them are what is measured; a model that is compared may bring
    more, which no row has.
    """

    codes: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    classes: tuple[str, ...]
    known: int

    @property
    def binary(self) -> bool:
        """Whether one class, the second, is to be told from the other."""
        return self.known == 2

    @property
    def positives(self) -> list[int]:
        """The classes that a figure is the mean of: the second of two, or each."""
        return [1] if self.binary else list(range(self.known))

    @property
    def scores(self) -> np.ndarray:
        """The second class's probability, or with more classes the predicted class's."""
        if self.binary:
            return self.probabilities[:, 1]
        return np.take_along_axis(self.probabilities, self.predicted[:, None], axis=1)[:, 0]


def measure(rows: Measured, threshold: float | None) -> dict[str, Any]:
    """The content of `metrics.json`.

    With two classes the second is the positive one, `threshold` is the score from which on it is predicted, and the
    scores of a ranking are its probabilities. With more, `roc_auc` (one against the rest), `average_precision`,
    `precision`, `recall` and `f1` are means over the classes that have rows, and there is no threshold. A figure
    that has no value is None: a ranking without rows of the class or without others, and what is said of the positive
    class where it has no rows.
    """
    labels = range(len(rows.classes))
    present = [c for c in rows.positives if (rows.codes == c).any()]
    of_predictions: tuple[Any, ...] = (None, None, None)
    if present:
        of_predictions = precision_recall_fscore_support(
            rows.codes, rows.predicted, labels=present, average="macro", zero_division=0.0
        )
    figures = {
        "roc_auc": _of_rankings(rows, roc_auc_score),
        "average_precision": _of_rankings(rows, average_precision_score),
        "log_loss": log_loss(rows.codes, rows.probabilities, labels=labels),
        "brier_score": _brier_score(rows),
        "accuracy": accuracy_score(rows.codes, rows.predicted),
        **dict(zip(("precision", "recall", "f1"), of_predictions, strict=False)),
    }
    class_rows = np.bincount(rows.codes, minlength=len(rows.classes)).tolist()
    return {
        "rows": len(rows.codes),
        "classes": list(rows.classes),
        "class_rows": dict(zip(rows.classes, class_rows, strict=True)),
        **{name: None if value is None else rounded(value) for name, value in figures.items()},
        "threshold": threshold,
        "confusion_matrix": confusion_matrix(rows.codes, rows.predicted, labels=labels).tolist(),
        "calibration": _calibration(rows),
    }


def _of_rankings(rows: Measured, figure: Callable[..., float]) -> float | None:
    """The mean of a ranking's figure over the classes; None where no class has both rows and others."""
    own = {c: rows.codes == c for c in rows.positives}
    values = [figure(is_own, rows.probabilities[:, c]) for c, is_own in own.items() if 0 < is_own.sum() < len(is_own)]
    return float(np.mean(values)) if values else None


def _brier_score(rows: Measured) -> float:
    if rows.binary:
        return float(brier_score_loss(rows.codes == 1, rows.probabilities[:, 1], pos_label=True))
    return float(brier_score_loss(rows.codes, rows.probabilities, labels=range(len(rows.classes))))


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


def _calibration(rows: Measured) -> list[dict[str, Any]]:
    """Up to ten bins of about equally many rows, by score: mean score against how often it came true.

    Equal scores share a bin.
    """
    scores = rows.scores
    came_true = rows.codes == (1 if rows.binary else rows.predicted)
    edges = np.quantile(scores, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    bins = np.searchsorted(np.unique(edges), scores, side="left")
    return [
        {
            "rows": int(inside.sum()),
            "mean_predicted": rounded(scores[inside].mean()),
            "observed": rounded(came_true[inside].mean()),
        }
        for inside in (bins == number for number in np.unique(bins))
    ]


def rounded(value: float) -> float:
    """A figure as it is written."""
    return round(float(value), DECIMALS)
