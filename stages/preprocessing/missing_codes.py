"""Numbers and times that may be codes for "missing", such as -999 among values from 0 to 120.

A value of a list of usual codes is suspected if there are several of it, and if it is far from all other values, or is
below zero where nothing else is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from table_schema import TIME_TYPES

# Nines, also 97 and 98 beside 99, sevens and eights, as surveys have them.
NINES = [10**digits - less for digits in range(2, 10) for less in (1, 2, 3)]
LIKE_NINES = [*NINES, *(10**digits // 9 * digit for digits in range(2, 10) for digit in (7, 8))]
NUMBERS = [float(number) for number in (*LIKE_NINES, *(-number for number in (*LIKE_NINES, *range(1, 10))))]
TIMES = [datetime(9999, 12, 31), datetime(9999, 1, 1), datetime(1970, 1, 1), datetime(1900, 1, 1), datetime(1, 1, 1)]
# A value below zero, where nothing else is, is suspected if it is met so often, and there are so many other values.
OFTEN, MANY, FAR_BELOW = 10, 10, -7


@dataclass
class Extremes:
    """The least and the greatest of some values without usual codes, and for each such code how often it is met.

    `texts` has a text of each code.
    """

    least: Any = None
    greatest: Any = None
    codes: Counter[Any] = field(default_factory=Counter)
    texts: dict[Any, str] = field(default_factory=dict)

    def add(self, other: "Extremes") -> None:
        """Take in those of further values."""
        self.least = min((end for end in (self.least, other.least) if end is not None), default=None)
        self.greatest = max((end for end in (self.greatest, other.greatest) if end is not None), default=None)
        self.codes.update(other.codes)
        self.texts = other.texts | self.texts

    def suspects(self, distinct: float) -> list[Any]:
        """The values that may be codes; `distinct`: how many different values there are."""
        if self.least is None or self.least == self.greatest:
            return []
        return [
            code
            for code, count in sorted(self.codes.items())
            if (count > 1 and self._is_far(code))
            or (count >= OFTEN and distinct - len(self.codes) >= MANY and self._is_below_zero(code))
        ]

    def describe(self, codes: Sequence[Any], values: int) -> str:
        """A sentence on some codes among so many values."""
        shown = " and ".join(
            f"{self.codes[code]:,} ({self.codes[code] / values:.1%}) are {self.texts[code]}" for code in codes
        )
        return f"of {values:,} values, {shown}, and the others lie from {_shown(self.least)} to {_shown(self.greatest)}"

    def _is_far(self, code: Any) -> bool:
        return bool(max(self.least - code, code - self.greatest) > self.greatest - self.least)

    def _is_below_zero(self, code: Any) -> bool:
        """Whether a number is below zero and no other is, or none but other codes far from zero, as -8 and -9."""
        if not isinstance(code, float) or code > 0 or self.least < 0:
            return False
        below = [other for other in self.codes if other < 0]
        return len(below) == 1 or max(below) <= FAR_BELOW


def extremes(kind: str, texts: pl.Series, values: pl.Series) -> Extremes:
    """The extremes of texts whose `values` are of a type of Table Schema; nothing of a type without an order."""
    if kind in TIME_TYPES:
        codes, values = pl.Series(TIMES), values.cast(pl.Datetime("us"))
    elif values.dtype.is_numeric():
        codes, values = pl.Series(NUMBERS), values.cast(pl.Float64)
    else:
        return Extremes()
    is_code = values.is_in(codes.implode())
    others = values.filter(~is_code)
    met = pl.DataFrame({"value": values, "text": texts}).filter(is_code).group_by("value")
    rows = met.agg(pl.len(), pl.col("text").first()).rows()
    counts, shown = Counter({code: count for code, count, _ in rows}), {code: text for code, _, text in rows}
    return Extremes(others.min(), others.max(), counts, shown)


def _shown(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value).removesuffix(" 00:00:00")
