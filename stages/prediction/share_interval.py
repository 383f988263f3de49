"""What a share of a few rows says about the share of all: an interval. Standard library only."""

import math
from statistics import NormalDist

from rules import DECIMALS


def quantile(confidence: float) -> float:
    """The standard normal quantile z: a value lies between -z and z with this confidence."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def share_interval(hits: float, rows: float, confidence: float) -> list[float]:
    """The interval of a share, `hits` of `rows`; from 0 to 1 if there are no rows.

    Wilson's score interval, which has a width also for 0 or all of a few rows (Wilson, Probable inference, the law of
    succession, and statistical inference, Journal of the American Statistical Association 22, 1927).
    """
    if not rows:
        return [0.0, 1.0]
    z, share = quantile(confidence), hits / rows
    middle = share + z * z / (2 * rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    total = 1 + z * z / rows
    return [round(max(0.0, (middle - half) / total), DECIMALS), round(min(1.0, (middle + half) / total), DECIMALS)]
