"""The area under the ROC curve with its variance, and the covariance of two on the same rows.

DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver operating characteristic
curves (Biometrics, 1988), by midranks as in Sun and Xu, Fast implementation of DeLong's algorithm (IEEE Signal
Processing Letters, 2014).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

# The half width of an interval of 95 %, in standard errors.
Z = 1.959963984540054


@dataclass(frozen=True)
class Area:
    """The area, and for each positive and each negative row the share of the others that it is ranked right against."""

    value: float
    positives: Any
    negatives: Any

    def covariance(self, other: "Area") -> float:
        """The covariance of two areas of the same rows; of an area with itself, its variance."""
        return sum(
            float(np.cov(a, b)[0, 1]) / len(a)
            for a, b in ((self.positives, other.positives), (self.negatives, other.negatives))
        )


def area(scores: Any, codes: Any) -> Area | None:
    """The area of scores, of which the greater should be those of the rows with code 1.

    None if a class has fewer than two rows: then nothing is known about the variance.
    """
    positive = codes == 1
    many, few = int((~positive).sum()), int(positive.sum())
    if min(many, few) < 2:
        return None
    ranks = _midranks(scores)
    above = (ranks[positive] - _midranks(scores[positive])) / many
    below = 1 - (ranks[~positive] - _midranks(scores[~positive])) / few
    return Area(float(above.mean()), above, below)


def _midranks(values: Any) -> Any:
    """The rank of each value from 1 on; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
