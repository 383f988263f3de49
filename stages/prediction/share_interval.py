"""What a share of a few rows says about the share of all: an interval, and whether it is above a limit.

Standard library only.
"""

import math
from statistics import NormalDist

from rules import DECIMALS

# A term of a sum whose terms get smaller ends it, once it is this share of the sum.
NEGLIGIBLE = 1e-12


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


def is_above(hits: int, rows: int, limit: float, confidence: float) -> bool:
    """Whether `hits` of `rows` show that the share of all is above a limit: the exact, one-sided binomial test.

    Wilson's interval is too narrow where the limit allows less than one row: for one hit of three it begins at 2 %.
    """
    return hits > rows * limit and _tail(hits, rows, limit) < (1 - confidence) / 2


def _tail(hits: int, rows: int, share: float) -> float:
    """The probability of so many hits or more, which are more than are expected, so that the terms get smaller."""
    if not share:
        return 0.0
    ways = math.lgamma(rows + 1) - math.lgamma(hits + 1) - math.lgamma(rows - hits + 1)
    term = math.exp(ways + hits * math.log(share) + (rows - hits) * math.log1p(-share))
    total = 0.0
    for number in range(hits, rows + 1):
        total += term
        if term <= total * NEGLIGIBLE:
            break
        term *= (rows - number) / (number + 1) * share / (1 - share)
    return total
