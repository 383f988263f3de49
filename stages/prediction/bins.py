"""Feature values as numbers of one byte: how many of a model's thresholds a value lies above, or a category's code.

A value is <= the k-th threshold (from 0, sorted) if and only if at most k thresholds lie below it. So trees that
compare these counts with k take the very paths that they take with the values, and read one byte instead of eight.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

MISSING = 255  # also of a category that the training data did not hold
THRESHOLDS = MISSING - 1  # of one column at most: its counts then go from 0 to 254
ZERO_THRESHOLD = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: it reads such a number as 0.0


@dataclass(frozen=True)
class Column:
    """What a column of bins is made of: a feature, and sorted thresholds of its splits; None where it is a category."""

    feature: int
    thresholds: np.ndarray | None

    def bins(self, features: np.ndarray) -> np.ndarray:
        """The column, uint8 of shape (rows,), of float64 features of shape (rows, features); NaN is missing."""
        values = features[:, self.feature]
        if self.thresholds is None:
            codes = np.trunc(values)
            return np.where((codes >= 0) & (codes < MISSING), codes, MISSING).astype(np.uint8)
        below = np.searchsorted(self.thresholds, np.where(np.abs(values) <= ZERO_THRESHOLD, 0.0, values))
        return np.where(np.isnan(values), MISSING, below).astype(np.uint8)


def compare_bins(trees: Sequence[TreePredictor], categorical: Collection[int]) -> tuple[Column, ...]:
    """Let trees that compare feature values compare bins instead; returns the columns of bins that they read.

    A feature has a column, or several where it has more thresholds than one holds; none where no tree splits it.
    """
    nodes = np.concatenate([tree.nodes for tree in trees])
    features = np.where(nodes["is_leaf"] == 1, -1, nodes["feature_idx"])
    columns: list[Column] = []
    for feature in np.unique(features[features >= 0]).tolist():
        splits = features == feature
        if feature in categorical:
            nodes["feature_idx"][splits] = len(columns)
            columns.append(Column(feature, None))
            continue
        thresholds, position = np.unique(nodes["num_threshold"][splits], return_inverse=True)
        nodes["feature_idx"][splits] = len(columns) + position // THRESHOLDS
        nodes["bin_threshold"][splits] = position % THRESHOLDS
        starts = range(0, len(thresholds), THRESHOLDS)
        columns += [Column(feature, thresholds[start : start + THRESHOLDS]) for start in starts]
    ends = np.cumsum([len(tree.nodes) for tree in trees])[:-1]
    for tree, part in zip(trees, np.split(nodes, ends), strict=True):
        tree.nodes = part
    return tuple(columns)


def order_alike(bins: np.ndarray) -> np.ndarray:
    """An order of rows, for bins of shape (columns, rows), in which neighbours agree in as many columns as may be.

    Such rows take the same way through most nodes of a tree, which the processor then foresees. The rows are sorted
    by the columns of few different bins first.
    """
    kinds = [np.count_nonzero(np.bincount(column)) for column in bins]
    fewest_last = np.argsort(kinds, kind="stable")[::-1]
    return np.lexsort(bins[fewest_last]) if len(bins) else np.arange(bins.shape[1])
