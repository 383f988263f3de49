"""How good a model is, measured on rows that it was not fitted on. Every figure is scikit-learn's.

Figures are rounded to 10 decimals, so that the last bit of a sum does not depend on the processor. If rows have
weights, each figure is that of the weighted rows. `rows`, `class_rows` and `confusion_matrix` count each row once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

from rules import DECIMALS

CALIBRATION_GROUPS = 10


@dataclass(frozen=True)
class LabelledRows:
    """Rows whose class is known: true class codes and predicted ones (rows,), probabilities (rows, classes).

    `classes` names the columns. The figures are about the first `known` of them. A champion may have more classes
    than the model that it is compared with; no row has one of these. `weights` (rows,) say how much each row counts;
    None if all count alike.
    """

    codes: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    classes: tuple[str, ...]
    known: int
    weights: np.ndarray | None = None

    @property
    def binary(self) -> bool:
        """Whether there are two classes, of which the second is the positive one."""
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

    def take(self, rows: np.ndarray) -> "LabelledRows":
        """Some of the rows, by their numbers or by a mask."""
        return replace(
            self,
            codes=self.codes[rows],
            probabilities=self.probabilities[rows],
            predicted=self.predicted[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def times(self, times: np.ndarray) -> "LabelledRows":
        """The rows, each of which counts so many times as much."""
        return replace(self, weights=times if self.weights is None else times * self.weights)


def _of_rankings(score: Callable[..., float], rows: LabelledRows) -> float | None:
    """The mean of a ranking's figure over the classes that have both own and other rows."""
    own = {c: rows.codes == c for c in rows.positives}
    values = [
        score(is_own, rows.probabilities[:, c], sample_weight=rows.weights)
        for c, is_own in own.items()
        if 0 < is_own.sum() < len(is_own)
    ]
    return float(np.mean(values)) if values else None


def _of_predictions(score: Callable[..., float], rows: LabelledRows) -> float | None:
    """The mean of a figure of the predicted classes over the classes that have rows."""
    present = [c for c in rows.positives if (rows.codes == c).any()]
    if not present:
        return None
    how = {"labels": present, "average": "macro", "zero_division": 0.0}
    return float(score(rows.codes, rows.predicted, sample_weight=rows.weights, **how))


def _log_loss(rows: LabelledRows) -> float:
    return float(log_loss(rows.codes, rows.probabilities, labels=range(len(rows.classes)), sample_weight=rows.weights))


def _brier_score(rows: LabelledRows) -> float:
    if rows.binary:
        second = rows.probabilities[:, 1]
        return float(brier_score_loss(rows.codes == 1, second, pos_label=True, sample_weight=rows.weights))
    labels = range(len(rows.classes))
    return float(brier_score_loss(rows.codes, rows.probabilities, labels=labels, sample_weight=rows.weights))


def _accuracy(rows: LabelledRows) -> float:
    return float(accuracy_score(rows.codes, rows.predicted, sample_weight=rows.weights))


FIGURES: Mapping[str, Callable[[LabelledRows], float | None]] = {
    "roc_auc": partial(_of_rankings, roc_auc_score),
    "average_precision": partial(_of_rankings, average_precision_score),
    "log_loss": _log_loss,
    "brier_score": _brier_score,
    "accuracy": _accuracy,
    "precision": partial(_of_predictions, precision_score),
    "recall": partial(_of_predictions, recall_score),
    "f1": partial(_of_predictions, f1_score),
}


def measure(rows: LabelledRows, threshold: float | None) -> dict[str, Any]:
    """The content of `metrics.json`.

    With two classes the second is the positive one, and it is predicted from the score `threshold` on. With more
    classes there is no threshold, and `roc_auc` (one against the rest), `average_precision`, `precision`, `recall` and
    `f1` are means over the classes that have rows. A figure without a value is None: a ranking needs rows of the
    class and other rows, the figures of the positive class need rows of it.
    """
    labels = range(len(rows.classes))
    figures = {name: figure(rows) for name, figure in FIGURES.items()}
    class_rows = np.bincount(rows.codes, minlength=len(rows.classes)).tolist()
    return {
        "rows": len(rows.codes),
        "classes": list(rows.classes),
        "class_rows": dict(zip(rows.classes, class_rows, strict=True)),
        **{name: None if value is None else rounded(value) for name, value in figures.items()},
        "threshold": threshold,
        "confusion_matrix": confusion_matrix(rows.codes, rows.predicted, labels=labels).tolist(),
        "calibration": _calibration(rows),
        **({} if rows.weights is None else {"weighted": True}),
    }


def measure_calibrated(rows: LabelledRows, second: np.ndarray | None) -> dict[str, Any]:
    """`calibrated` of `metrics.json`: what calibration would change, if `second` (rows,) are the calibrated scores.

    Nothing without them.
    """
    if second is None:
        return {}
    rows = replace(rows, probabilities=np.column_stack([1 - second, second]))
    figures = {name: rounded(figure(rows)) for name, figure in (("log_loss", _log_loss), ("brier_score", _brier_score))}
    return {"calibrated": {**figures, "calibration": _calibration(rows)}}


def best_threshold(codes: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The lowest score at which predicting the second class has the greatest F1."""
    precision, recall, thresholds = precision_recall_curve(codes, scores, sample_weight=weights)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return float(thresholds[np.argmax(f1[:-1])])


def predict_codes(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """The predicted class codes: the second class from the threshold on, or the most probable class."""
    if threshold is None:
        return probabilities.argmax(axis=1)
    return (probabilities[:, 1] >= threshold).astype(np.intp)


def _calibration(rows: LabelledRows) -> list[dict[str, Any]]:
    """Up to ten groups of about equally many rows, by score: the mean score and how often it came true.

    Equal scores are in one group. A group of weighted rows also has their `weight`.
    """
    scores, weights = rows.scores, rows.weights
    came_true = rows.codes == (1 if rows.binary else rows.predicted)
    edges = np.quantile(scores, np.linspace(0, 1, CALIBRATION_GROUPS + 1)[1:-1])
    groups = np.searchsorted(np.unique(edges), scores, side="left")
    return [
        {
            "rows": int(inside.sum()),
            **({} if weights is None else {"weight": rounded(weights[inside].sum())}),
            "mean_predicted": rounded(_mean(scores, inside, weights)),
            "observed": rounded(_mean(came_true, inside, weights)),
        }
        for inside in (groups == number for number in np.unique(groups))
    ]


def _mean(values: np.ndarray, inside: np.ndarray, weights: np.ndarray | None) -> float:
    """The mean of the values of some rows."""
    return float(np.average(values[inside], weights=None if weights is None else weights[inside]))


def effective_rows(weights: np.ndarray) -> float:
    """How many rows of equal weight say as much as rows of these weights (Kish, Survey Sampling, 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def rounded(value: float) -> float:
    """A figure as it is written."""
    return round(float(value), DECIMALS)
