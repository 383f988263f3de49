"""How well a day's scores rank its rows, estimated before labels have come. Two classes, rows of equal weight.

`validate` fits how often rows of a score are positive: log-odds = a + b x + c x^2, x the log-odds of the score. That is
the true form if x is normal among the positive rows and among the others (the binormal model of ROC analysis: Dorfman
and Alf, Journal of Mathematical Psychology 6, 1969). Platt's targets keep the coefficients finite (Probabilistic
outputs for support vector machines, Advances in Large Margin Classifiers, 1999). A row of a later day whose calibrated
probability is p then stands for p positive and 1 - p other rows, and the estimate is the figure of these rows. NannyML
calls this confidence-based performance estimation.

The estimate takes for granted that equal scores mean equal risk as they did in validation. If they do not (concept
drift), it is wrong, and nothing in the scores shows it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from intervals import area_interval
from metrics import rounded
from share_interval import quantile, share_interval

# Scores are counted by their log-odds, which makes the memory independent of the rows. A bucket is 0.0005 wide.
MOST_LOG_ODDS, BUCKETS = 16.0, 2**16
TOLERANCE, MOST_STEPS = 1e-10, 100
# A curve of three coefficients needs as many values.
LEAST_VALUES = 3
# Four fifths of the rows calibrate the others, where a figure must not come from the rows that it is of.
FOLDS = 5


def log_odds(scores: np.ndarray) -> np.ndarray:
    """The log-odds of scores from 0 to 1, at most 16 from 0."""
    with np.errstate(divide="ignore"):
        return np.clip(logit(scores), -MOST_LOG_ODDS, MOST_LOG_ODDS)


def fit_calibrator(codes: np.ndarray, scores: np.ndarray) -> dict[str, Any] | None:
    """`calibrator` of metrics.json; None if the scores have fewer than three values.

    `codes` (rows,) are 0 and 1, both among them; `scores` (rows,) are the probabilities of the second class.
    """
    at = log_odds(scores)
    if len(np.unique(at)) < LEAST_VALUES:
        return None
    positives = int((codes == 1).sum())
    target = np.where(codes == 1, (positives + 1) / (positives + 2), 1 / (len(codes) - positives + 2))
    inputs = _powers(at)
    model = LogisticRegression(
        C=np.inf, solver="newton-cholesky", fit_intercept=False, tol=TOLERANCE, max_iter=MOST_STEPS
    )
    is_positive, share = np.repeat([1, 0], len(at)), np.concatenate([target, 1 - target])
    model.fit(np.tile(inputs, (2, 1)), is_positive, sample_weight=share)
    p = model.predict_proba(inputs)[:, 1]
    covariance = np.linalg.pinv(inputs.T @ (inputs * (p * (1 - p))[:, None]), hermitian=True)
    return {
        "coefficients": [rounded(value) for value in model.coef_[0]],
        "covariance": [[rounded(value) for value in row] for row in covariance],
        "range": [rounded(at.min()), rounded(at.max())],
    }


def calibrated_of_others(codes: np.ndarray, scores: np.ndarray) -> np.ndarray | None:
    """How often rows of these scores (rows,) are positive, each by a calibrator that has not seen the row.

    The rows are in FOLDS parts with equal shares of both classes, and the other parts calibrate each part. None if
    the rows are too few for that.
    """
    if np.bincount(codes, minlength=2).min() < FOLDS:
        return None
    part = np.empty(len(codes), dtype=np.intp)
    part[np.argsort(codes, kind="stable")] = np.arange(len(codes)) % FOLDS
    found = np.empty(len(codes))
    for number in range(FOLDS):
        inside = part == number
        calibrator = fit_calibrator(codes[~inside], scores[~inside])
        if not calibrator:
            return None
        found[inside] = calibrated(scores[inside], calibrator)
    return found


def calibrated(scores: np.ndarray, calibrator: Mapping[str, Any]) -> np.ndarray:
    """How often rows of these scores (rows,) are positive."""
    return _probabilities(log_odds(scores), calibrator["coefficients"], calibrator)


def _probabilities(at: np.ndarray, coefficients: Sequence[float], calibrator: Mapping[str, Any]) -> np.ndarray:
    """The same of log-odds, with other coefficients. Beyond the validation rows, the curve is flat."""
    return expit(_powers(at.clip(*calibrator["range"])) @ np.asarray(coefficients))


def _powers(at: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones_like(at), at, at**2])


class ScoreCounts:
    """How many rows have each score, in buckets."""

    def __init__(self) -> None:
        self._rows = np.zeros(BUCKETS, dtype=np.int64)

    def add(self, scores: np.ndarray) -> None:
        """Count scores from 0 to 1."""
        buckets = np.rint((log_odds(scores) / MOST_LOG_ODDS + 1) / 2 * (BUCKETS - 1)).astype(np.intp)
        self._rows += np.bincount(buckets, minlength=BUCKETS)

    def passed_on(self) -> list[int]:
        """What `take` adds to the counts of another shard."""
        return list(map(int, self._rows))

    def take(self, counts: Sequence[int]) -> None:
        """Add the counts of a shard."""
        self._rows += np.array(counts, dtype=np.int64)

    def estimate(self, calibrator: Mapping[str, Any], confidence: float) -> dict[str, Any]:
        """`estimate` of evaluation.json: ROC AUC, average precision and their intervals, of all rows; at least one.

        An interval has two parts, added as independent errors: what chance does to labels of so many rows, and how
        exactly so many validation rows determine the calibrator (its covariance, by differences in the figure).
        """
        used = np.flatnonzero(self._rows)
        at, rows = (2 * used / (BUCKETS - 1) - 1) * MOST_LOG_ODDS, self._rows[used]
        fitted = np.array(calibrator["coefficients"])

        def expected(coefficients: np.ndarray) -> tuple[dict[str, float], float, float]:
            return _expected(at, rows, _probabilities(at, coefficients, calibrator))

        figures, own, others = expected(fitted)
        error = dict.fromkeys(figures, 0.0)
        variances, axes = np.linalg.eigh(np.array(calibrator["covariance"]))
        for step in (axes * np.sqrt(variances.clip(0))).T:
            more, less = (expected(fitted + sign * step)[0] for sign in (1, -1))
            error = {name: math.hypot(value, (more[name] - less[name]) / 2) for name, value in error.items()}
        area, precision = figures["roc_auc"], figures["average_precision"]
        chance = {
            "roc_auc": area_interval(area, own, others, confidence),
            "average_precision": share_interval(precision * own, own, confidence),
        }
        z = quantile(confidence)
        return {
            "rows": int(rows.sum()),
            **{name: rounded(value) for name, value in figures.items()},
            "intervals": {name: _wider(figures[name], chance[name], z * error[name]) for name in figures},
        }


def _expected(at: np.ndarray, rows: np.ndarray, p: np.ndarray) -> tuple[dict[str, float], float, float]:
    """The figures, and how many positive and other rows they expect."""
    shares = np.concatenate([rows * p, rows * (1 - p)])
    is_positive, scores = np.repeat([1, 0], len(at)), np.tile(at, 2)
    figures = {
        "roc_auc": float(roc_auc_score(is_positive, scores, sample_weight=shares)),
        "average_precision": float(average_precision_score(is_positive, scores, sample_weight=shares)),
    }
    return figures, float(rows @ p), float(rows @ (1 - p))


def _wider(value: float, bounds: list[float], half: float) -> list[float]:
    """The bounds of a figure from 0 to 1, each farther away by an independent error."""
    low, high = (math.hypot(value - bound, half) for bound in bounds)
    return [rounded(max(0.0, value - low)), rounded(min(1.0, value + high))]
