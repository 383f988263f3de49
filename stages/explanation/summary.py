"""What a day's contributions are altogether: how strong each feature is, and how its value moves the score."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stagekit.contract import Encoder

from contributions import Explained

DECIMALS = 10
MOST_CODES = 256


class Bins:
    """Contributions by the value of a feature, in the bins that the model's baseline.json has for it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.labels = list(document["labels"])
        edges, self._last = document.get("edges"), len(self.labels) - 1
        self._edges = None if edges is None else np.array(edges)
        self._of_code = np.full(MOST_CODES + 1, self._last)
        for number, codes in enumerate(document.get("codes") or ()):
            self._of_code[[code for code in codes if 0 <= code < MOST_CODES]] = number
        self.rows = np.zeros(len(self.labels), dtype=np.int64)
        self.sums = np.zeros(len(self.labels))

    def add(self, values: np.ndarray, contributions: np.ndarray) -> None:
        """Count more rows, each of shape (rows,)."""
        bins = self._bins_of(values)
        self.rows += np.bincount(bins, minlength=len(self.rows))
        self.sums += np.bincount(bins, contributions, minlength=len(self.rows))

    def _bins_of(self, values: np.ndarray) -> np.ndarray:
        """The bin of each value; the last is for missing values and for categories that are in no other bin."""
        if self._edges is not None:
            return np.where(np.isnan(values), self._last, np.searchsorted(self._edges, values, side="left"))
        known = (values >= 0) & (values < MOST_CODES)
        found: np.ndarray = self._of_code[np.where(known, values, MOST_CODES).astype(np.intp)]
        return found

    def describe(self) -> dict[str, Any]:
        """Label, rows and mean contribution of each bin; the mean of no rows is null."""
        means = [rounded(total / rows) if rows else None for total, rows in zip(self.sums, self.rows, strict=True)]
        return {"labels": self.labels, "rows": self.rows.tolist(), "means": means}


class Summary:
    """Gathers a day's contributions while they are written."""

    def __init__(self, encoder: Encoder, baseline: Mapping[str, Any] | None, hidden: Sequence[bool]) -> None:
        """`baseline` is the model's, if it has one; the features with `hidden` get no bins, which name values."""
        self._encoder, self.rows, self._absolute = encoder, 0, np.zeros(len(encoder.features))
        known = {one["name"]: one for one in (baseline or {}).get("features", ())}
        self._bins = {
            number: Bins(known[feature.name])
            for number, feature in enumerate(encoder.features)
            if len(encoder.classes) == 2 and feature.name in known and not hidden[number]
        }

    def add(self, values: np.ndarray, explained: Explained) -> None:
        """Count more rows: their values and contributions, of shape (rows, features)."""
        self.rows += len(values)
        self._absolute += np.abs(explained.contributions).sum(axis=0)
        for number, bins in self._bins.items():
            bins.add(values[:, number], explained.contributions[:, number])

    def describe(self, model: str) -> dict[str, Any]:
        """The content of contributions.json, the strongest feature first."""
        strengths = [rounded(total / self.rows) for total in self._absolute]
        features = [
            {
                "name": self._encoder.feature_names[number],
                "mean_absolute": strengths[number],
                "bins": self._bins[number].describe() if number in self._bins else None,
            }
            for number in sorted(range(len(strengths)), key=lambda number: -strengths[number])
        ]
        return {
            "version": 1,
            "rows": self.rows,
            "classes": list(self._encoder.classes),
            "model": model,
            "features": features,
        }


def rounded(figure: float) -> float:
    """A figure as it is written."""
    return round(float(figure), DECIMALS)
