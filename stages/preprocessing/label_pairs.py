"""Which columns say the same as the target: to each of their values belongs one label, and to each label one value."""

from collections.abc import Sequence

import polars as pl

# A column with more values is no other spelling of classes.
MOST_PAIRS = 50


class LabelPairs:
    """The pairs of value and label that were seen, for each column that may still equal the target."""

    def __init__(self, columns: Sequence[str], target: str) -> None:
        self._target = target
        self._pairs: dict[str, set[tuple[str, str]]] = {name: set() for name in columns if name != target}

    def look_at(self, rows: pl.DataFrame) -> None:
        """Take in some rows that have the target."""
        rows = rows.filter(pl.col(self._target) != "")
        for name, pairs in [*self._pairs.items()]:
            pairs.update(
                rows.select(pl.col(name).fill_null(""), self._target).unique().head(MOST_PAIRS + 1).iter_rows()
            )
            values, labels = ({pair[side] for pair in pairs} for side in (0, 1))
            if len(pairs) > MOST_PAIRS or not len(values) == len(labels) == len(pairs):
                del self._pairs[name]

    def equal(self) -> dict[str, str]:
        """The columns that equal a target of two labels or more, each with its pairs as text."""
        return {
            name: ", ".join(f"{a!r} is {b!r}" for a, b in sorted(p)[:3])
            for name, p in self._pairs.items()
            if len(p) > 1
        }
