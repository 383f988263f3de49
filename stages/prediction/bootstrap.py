"""How sure a difference between two models is: a paired bootstrap over the rows that both were measured on.

A draw says how often each row counts, the same for both models; the interval is between two percentiles of the
differences (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The numbers are Poisson
distributed with mean 1, which is drawing with replacement but for the exact total, and much faster (Hanley and
MacGibbon, Creating non-parametric bootstrap samples using Poisson frequencies, 2006). A model's rows are sorted once,
not for each draw.

A draw may miss a class: then a mean over classes is over those that it has, and a draw without any value does not
count. The outcome does not depend on the number of threads: each draw has a generator of its own.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from stagekit import available_cpus

from metrics import Measured, rounded

SEED = 20260101
# Rankings are what takes time: one per class. Beyond so many ranked rows a sample of the rows is drawn from.
MOST_RANKED = 2_000_000
RANKED = {"roc_auc", "average_precision"}

# The number of times for each of 65,536 equally likely values of 16 bits: the Poisson distribution's inverse.
POISSON = np.searchsorted(
    np.cumsum([math.exp(-1) / math.factorial(k) for k in range(16)]), (np.arange(1 << 16) + 0.5) / (1 << 16)
).astype(np.uint8)

Statistic = Callable[[np.ndarray], np.ndarray]  # a figure's values, one per class, NaN for none, by the rows' weights


def interval(
    metric: str, candidate: Measured, champion: Measured, *, resamples: int, confidence: float
) -> tuple[list[float] | None, int]:
    """The interval of `candidate - champion`, None where no draw had a value; and how many rows it was drawn from."""
    rows = _sample(len(candidate.codes), len(candidate.positives) if metric in RANKED else 1)
    figures = [statistic(metric, _take(side, rows)) for side in (candidate, champion)]
    count = len(candidate.codes) if rows is None else len(rows)
    with ThreadPoolExecutor(available_cpus()) as pool:
        drawn = list(pool.map(partial(_difference, figures, count), range(resamples)))
    differences = np.array(drawn)
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return None, count
    tail = (1 - confidence) / 2
    return [rounded(bound) for bound in np.quantile(differences, [tail, 1 - tail])], count


def _sample(rows: int, rankings: int) -> np.ndarray | None:
    most = max(1, MOST_RANKED // rankings)
    if rows <= most:
        return None
    return np.sort(np.random.default_rng(SEED).choice(rows, most, replace=False, shuffle=False))


def _take(side: Measured, rows: np.ndarray | None) -> Measured:
    if rows is None:
        return side
    return Measured(side.codes[rows], side.probabilities[rows], side.predicted[rows], side.classes, side.known)


def _difference(figures: list[Statistic], rows: int, number: int) -> float:
    bits = np.random.default_rng([SEED, number]).integers(1 << 16, size=rows, dtype=np.uint16)
    weights = POISSON[bits]
    of_classes = figures[0](weights) - figures[1](weights)
    there = of_classes[~np.isnan(of_classes)]
    return float(there.mean()) if len(there) else np.nan


def statistic(metric: str, rows: Measured) -> Statistic:
    """A figure of metrics.json as a function of how often each row counts, uint8 of shape (rows,)."""
    if metric in RANKED:
        return _of_rankings(metric, rows)
    if metric in ("precision", "recall", "f1"):
        return partial(_of_predictions, metric, rows)
    values = _value_of_each_row(metric, rows)
    # Not a dot product: that of BLAS adds up in an order that depends on the number of threads.
    return lambda weights: np.array([(weights * values).sum() / max(1, weights.sum())])


def _value_of_each_row(metric: str, rows: Measured) -> np.ndarray:
    """What a figure is the mean of, over the rows."""
    if metric == "accuracy":
        return (rows.predicted == rows.codes).astype(np.float64)
    if metric == "log_loss":  # clipped as scikit-learn does
        own = np.take_along_axis(rows.probabilities, rows.codes[:, None], axis=1)[:, 0]
        smallest = np.finfo(np.float64).eps
        return -np.log(np.clip(own, smallest, 1 - smallest))
    if rows.binary:
        return (rows.probabilities[:, 1] - (rows.codes == 1)) ** 2
    squares = (rows.probabilities**2).sum(axis=1)
    own = np.take_along_axis(rows.probabilities, rows.codes[:, None], axis=1)[:, 0]
    return squares - 2 * own + 1


def _of_predictions(metric: str, rows: Measured, weights: np.ndarray) -> np.ndarray:
    """Precision, recall or F1 of each class, from the weighted confusion matrix; 0 where nothing was predicted."""
    width = len(rows.classes)
    cells = np.bincount(rows.codes * width + rows.predicted, weights=weights, minlength=width * width)
    matrix = cells.reshape(width, width)
    hits, actual, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    whole = {"precision": predicted, "recall": actual, "f1": (actual + predicted) / 2}[metric]
    values = np.divide(hits, whole, out=np.zeros(width), where=whole > 0)
    return np.where(actual > 0, values, np.nan)[rows.positives]


def _of_rankings(metric: str, rows: Measured) -> Statistic:
    rankings = [Ranking(rows.codes == code, rows.probabilities[:, code]) for code in rows.positives]
    if metric == "roc_auc":
        return lambda weights: np.array([ranking.roc_auc(weights) for ranking in rankings])
    return lambda weights: np.array([ranking.average_precision(weights) for ranking in rankings])


class Ranking:
    """Rows of a class and others, in the order of their scores; only the scores that the class has are looked at."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        is_own, ordered = positive[self._order], scores[self._order]
        self._own = self._order[is_own]
        # Of each distinct score of the class: where its rows begin and end among all rows, and end among its own.
        mine = ordered[is_own]
        self._last_own = np.flatnonzero(np.append(mine[1:] != mine[:-1], True)) if len(mine) else np.empty(0, np.intp)
        self._begin = np.searchsorted(-ordered, -mine[self._last_own], side="left")
        self._end = np.searchsorted(-ordered, -mine[self._last_own], side="right")

    def _count(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Rows of the class and all rows, both up to each score's end; all rows before it; and how many there are."""
        hits = np.cumsum(weights[self._own], dtype=np.int64)[self._last_own]
        rows = np.concatenate([[0], np.cumsum(weights[self._order], dtype=np.int64)])
        return hits, rows[self._end], rows[self._begin], int(rows[-1])

    def roc_auc(self, weights: np.ndarray) -> float:
        """The share of pairs of a row of the class and another in which the former has the greater score.

        Equal scores count one half. In whole numbers until the end; it is the area below scikit-learn's curve.
        """
        hits, ends, begins, total = self._count(weights)
        own = int(hits[-1]) if len(hits) else 0
        others = total - own
        if not own or not others:
            return math.nan
        of_score = np.diff(hits, prepend=0)
        # The others above and at each score: twice those below, once those at it.
        above, at = begins - (hits - of_score), ends - begins - of_score
        doubled = int((of_score * (2 * (others - above) - at)).sum())
        share: float = doubled / (2 * own * others)
        return share

    def average_precision(self, weights: np.ndarray) -> float:
        """The mean over the rows of the class of the precision at their score, which is scikit-learn's sum."""
        hits, ends, _, total = self._count(weights)
        own = int(hits[-1]) if len(hits) else 0
        if not own or own == total:
            return math.nan
        precision = hits / np.maximum(ends, 1)
        return float((np.diff(hits, prepend=0) * precision).sum()) / own
