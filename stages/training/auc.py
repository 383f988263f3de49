"""The area under the ROC curve with its variance, and the covariance of two on the same rows.

DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver operating characteristic
curves (Biometrics, 1988), by midranks as in Sun and Xu, Fast implementation of DeLong's algorithm (IEEE Signal
Processing Letters, 2014). With more than two classes, the mean of the areas of each class against the rest.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

# The half width of an interval of 95 %, in standard errors.
Z = 1.959963984540054


@dataclass(frozen=True)
class Area:
    """The area, and for each row what it adds to the error: the covariance of two areas is the product of theirs."""

    value: float
    errors: Any

    def covariance(self, other: "Area") -> float:
        """The covariance of two areas of the same rows; of an area with itself, its variance."""
        return float(self.errors @ other.errors)


def area(scores: Any, codes: Any) -> Area | None:
    """The area of scores of shape (rows,), of which the greater should be those of the rows with code 1.

    Of scores of shape (rows, classes), the mean over the classes. A class with fewer than two own or two other rows is
    left out, because nothing is known about its variance; None if no class is left.
    """
    if scores.ndim == 1:
        return _against_rest(scores, codes == 1)
    found = [_against_rest(scores[:, code], codes == code) for code in range(scores.shape[1])]
    known = [one for one in found if one]
    if not known:
        return None
    return Area(sum(one.value for one in known) / len(known), sum(one.errors for one in known) / len(known))


def _against_rest(scores: Any, own: Any) -> Area | None:
    """The area of scores, of which the greater should be those of the own rows."""
    many, few = int((~own).sum()), int(own.sum())
    if min(many, few) < 2:
        return None
    ranks = _midranks(scores)
    # For each row the share of the other kind that it is ranked right against.
    above = (ranks[own] - _midranks(scores[own])) / many
    below = 1 - (ranks[~own] - _midranks(scores[~own])) / few
    errors = np.empty(len(own))
    for side, shares in ((own, above), (~own, below)):
        errors[side] = (shares - shares.mean()) / sqrt(len(shares) * (len(shares) - 1))
    return Area(float(above.mean()), errors)


def _midranks(values: Any) -> Any:
    """The rank of each value from 1 on; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
