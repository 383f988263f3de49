"""How exact each figure is, given the rows that it comes from: an interval for each, without resampling.

A resampled interval is too narrow where a class has few rows, and a day may have three. These are score intervals: they
ask for which true values the figure that was found would be usual. Each takes the time of one pass over the rows.

  roc_auc            Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
                     part 2, Statistics in Medicine 25 (2006), method 5
  average_precision  as a share of the rows of the class: the binomial interval of Boyd, Eng and Page, Area under the
                     precision-recall curve, ECML PKDD (2013), in Wilson's form, which also holds at 0 and 1
  accuracy, precision, recall   shares of rows, Wilson
  f1                 2j / (1 + j), j being the share of hits among all rows that are of the class or predicted as it
  log_loss, brier_score   means of one loss a row: Student's t

With more than two classes a figure is a mean over classes, and so is each bound: as wide as if all erred together.

Weighted rows say less than as many rows of equal weight. So each interval is that of their effective number, and of a
share that of the rows that it is a share of.
"""

import math
from collections.abc import Callable, Collection, Iterable

import numpy as np
from scipy.special import stdtrit
from sklearn.metrics import average_precision_score, roc_auc_score

from metrics import FIGURES, LabelledRows, effective_rows, rounded
from share_interval import quantile, share_interval

BISECTIONS = 60

Bounds = list[float]


def intervals(
    rows: LabelledRows, confidence: float, figures: Collection[str] = tuple(FIGURES)
) -> dict[str, Bounds | None]:
    """Two bounds for each figure; None for a figure that has no value, or whose rows are too few for an interval."""
    of_class = {code: _Class(rows, code) for code in rows.positives}
    ranked = [one for one in of_class.values() if one.own and one.others]
    present = [one for one in of_class.values() if one.own]
    everywhere = np.ones(len(rows.codes), dtype=bool)
    bounds: dict[str, Callable[[], Bounds | None]] = {
        "roc_auc": lambda: _mean(one.roc_auc(confidence) for one in ranked),
        "average_precision": lambda: _mean(one.average_precision(confidence) for one in ranked),
        "log_loss": lambda: _of_losses(_log_losses(rows), rows.weights, confidence),
        "brier_score": lambda: _of_losses(_brier_scores(rows), rows.weights, confidence),
        "accuracy": lambda: _of_share(rows, rows.codes == rows.predicted, everywhere, confidence),
        "precision": lambda: _mean(one.precision(confidence) for one in present),
        "recall": lambda: _mean(one.recall(confidence) for one in present),
        "f1": lambda: _mean(one.f1(confidence) for one in present),
    }
    return {name: bounds[name]() for name in figures}


def _number(rows: LabelledRows, some: np.ndarray) -> float:
    """How many rows there are of some, which are a mask: the effective number if they have weights."""
    if rows.weights is None or not some.any():
        return int(some.sum())
    return effective_rows(rows.weights[some])


def _of_share(rows: LabelledRows, part: np.ndarray, whole: np.ndarray, confidence: float) -> Bounds:
    """The interval of the share of the rows `part` in the rows `whole`, which are masks."""
    number = _number(rows, whole)
    if rows.weights is None or not number:
        return share_interval(int(part.sum()), number, confidence)
    return share_interval(number * rows.weights[part].sum() / rows.weights[whole].sum(), number, confidence)


class _Class:
    """A class against the rest: its own rows, the other rows, the predicted rows, and the numbers of the first two."""

    def __init__(self, rows: LabelledRows, code: int) -> None:
        self._rows, self._scores = rows, rows.probabilities[:, code]
        self._is_own, self._is_predicted = rows.codes == code, rows.predicted == code
        self._is_hit = self._is_own & self._is_predicted
        self.own, self.others = _number(rows, self._is_own), _number(rows, ~self._is_own)

    def precision(self, confidence: float) -> Bounds:
        return _of_share(self._rows, self._is_hit, self._is_predicted, confidence)

    def recall(self, confidence: float) -> Bounds:
        return _of_share(self._rows, self._is_hit, self._is_own, confidence)

    def roc_auc(self, confidence: float) -> Bounds:
        area = float(roc_auc_score(self._is_own, self._scores, sample_weight=self._rows.weights))
        return area_interval(area, self.own, self.others, confidence)

    def average_precision(self, confidence: float) -> Bounds:
        value = float(average_precision_score(self._is_own, self._scores, sample_weight=self._rows.weights))
        return share_interval(value * self.own, self.own, confidence)

    def f1(self, confidence: float) -> Bounds:
        shares = _of_share(self._rows, self._is_hit, self._is_own | self._is_predicted, confidence)
        return [rounded(2 * share / (1 + share)) for share in shares]


def area_interval(area: float, own: float, others: float, confidence: float) -> Bounds:
    """The interval of an area under the ROC curve, of so many rows of the class and other rows."""
    z = quantile(confidence)
    low, low_of_rest = (_lowest_area(value, own, others, z) for value in (area, 1 - area))
    return [rounded(low), rounded(1 - low_of_rest)]


def _lowest_area(area: float, own: float, others: float, z: float) -> float:
    """The lowest true area under the ROC curve from which `area` is no more than z standard deviations away."""
    pairs, mean = own * others, (own + others) / 2 - 1

    def is_too_low(true: float) -> bool:
        variance = true * (1 - true) * (1 + mean * (1 - true) / (2 - true) + mean * true / (1 + true)) / pairs
        return area - true > z * math.sqrt(variance)

    low, high = 0.0, area
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_too_low(middle) else (low, middle)
    return low


def _log_losses(rows: LabelledRows) -> np.ndarray:
    """The log loss of each row, with scikit-learn's smallest probability."""
    true = np.take_along_axis(rows.probabilities, rows.codes[:, None], axis=1)[:, 0]
    smallest = np.finfo(rows.probabilities.dtype).eps
    return -np.log(np.clip(true, smallest, 1 - smallest))


def _brier_scores(rows: LabelledRows) -> np.ndarray:
    """The squared error of each row: of the second of two classes, or summed over more classes."""
    if rows.binary:
        return np.square(rows.probabilities[:, 1] - (rows.codes == 1))
    own = np.take_along_axis(rows.probabilities, rows.codes[:, None], axis=1)[:, 0]
    return np.square(rows.probabilities).sum(axis=1) - 2 * own + 1


def _of_losses(losses: np.ndarray, weights: np.ndarray | None, confidence: float) -> Bounds | None:
    """The interval of the mean of losses; None for a single row."""
    number = len(losses) if weights is None else effective_rows(weights)
    if number < 2:
        return None
    mean = np.average(losses, weights=weights)
    deviation = losses.std(ddof=1) if weights is None else _deviation(losses, mean, weights, number)
    half = stdtrit(number - 1, (1 + confidence) / 2) * deviation / math.sqrt(number)
    return [rounded(max(0.0, mean - half)), rounded(mean + half)]


def _deviation(losses: np.ndarray, mean: float, weights: np.ndarray, number: float) -> float:
    """The standard deviation of weighted losses, of so many effective rows."""
    return math.sqrt(np.average(np.square(losses - mean), weights=weights) * number / (number - 1))


def _mean(bounds: Iterable[Bounds]) -> Bounds | None:
    """The mean of each bound; None if there are none."""
    found = list(bounds)
    return [rounded(sum(side) / len(found)) for side in zip(*found, strict=True)] if found else None
