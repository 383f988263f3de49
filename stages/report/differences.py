"""Whether two measured figures can be distinguished, in words."""

from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any

Bounds = Sequence[float] | None
UNCLEAR, UNTESTED = "no clear difference", "chance not tested"


def bounds_of(metrics: Mapping[str, Any] | None, key: str) -> Bounds:
    """The interval of a figure; None if it was not measured."""
    return ((metrics or {}).get("intervals") or {}).get(key)


def difference_bounds(a: float, a_bounds: Bounds, b: float, b_bounds: Bounds) -> tuple[float, float] | None:
    """The interval of b - a of two samples, from the interval of each; None if neither has one.

    MOVER: Zou and Donner, Construction of confidence limits about effect measures (Statistics in Medicine, 2008). A
    figure without an interval counts as exact.
    """
    if not a_bounds and not b_bounds:
        return None
    (low_a, high_a), (low_b, high_b) = a_bounds or (a, a), b_bounds or (b, b)
    return b - a - hypot(b - low_b, high_a - a), b - a + hypot(high_b - b, a - low_a)


def verdict(difference: float, bounds: Bounds, more_is_better: bool) -> str:
    """ "better" or "worse" if the interval of the difference is on one side of zero, else what cannot be said.

    `bounds` is None if how much chance explains was not measured.
    """
    if not difference:
        return ""
    if bounds is None:
        return UNTESTED
    if bounds[0] <= 0 <= bounds[1]:
        return UNCLEAR
    return "better" if (difference > 0) == more_is_better else "worse"
