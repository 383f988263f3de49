"""Feature values as ranks of one byte: how many of a model's thresholds are below a value, or a category's code.

A value is <= the k-th threshold (from 0, sorted) if and only if at most k thresholds are below it. So trees that
compare ranks with k take exactly the paths that they take with the values, and read one byte instead of eight.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from stagekit.model_text import CATEGORIES

MISSING = CATEGORIES  # also of a category that the training data did not hold
THRESHOLDS = MISSING - 1  # the most of one column: its ranks go from 0 to 254
ZERO_THRESHOLD = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: it reads such a number as 0.0


@dataclass(frozen=True)
class RankColumn:
    """How a column of ranks is made: from a feature and sorted thresholds of its splits, or None for a category."""

    feature: int
    thresholds: np.ndarray | None

    def ranks(self, features: np.ndarray) -> np.ndarray:
        """The column, uint8 of shape (rows,), of float64 features of shape (rows, features); NaN is missing."""
        values = features[:, self.feature]
        if self.thresholds is None:
            codes = np.trunc(values)
            return np.where((codes >= 0) & (codes < MISSING), codes, MISSING).astype(np.uint8)
        below = np.searchsorted(self.thresholds, np.where(np.abs(values) <= ZERO_THRESHOLD, 0.0, values))
        return np.where(np.isnan(values), MISSING, below).astype(np.uint8)


def compare_ranks(trees: Sequence[TreePredictor], categorical: Collection[int]) -> tuple[RankColumn, ...]:
    """Change trees that compare feature values to compare ranks; returns the columns of ranks that they read.

    A feature has one column, several if it has more thresholds than one column takes, or none if no tree splits it.
    """
    nodes = np.concatenate([tree.nodes for tree in trees])
    features = np.where(nodes["is_leaf"] == 1, -1, nodes["feature_idx"])
    columns: list[RankColumn] = []
    for feature in np.unique(features[features >= 0]).tolist():
        splits = features == feature
        if feature in categorical:
            nodes["feature_idx"][splits] = len(columns)
            columns.append(RankColumn(feature, None))
            continue
        thresholds, position = np.unique(nodes["num_threshold"][splits], return_inverse=True)
        nodes["feature_idx"][splits] = len(columns) + position // THRESHOLDS
        nodes["bin_threshold"][splits] = position % THRESHOLDS
        starts = range(0, len(thresholds), THRESHOLDS)
        columns += [RankColumn(feature, thresholds[start : start + THRESHOLDS]) for start in starts]
    ends = np.cumsum([len(tree.nodes) for tree in trees])[:-1]
    for tree, part in zip(trees, np.split(nodes, ends), strict=True):
        tree.nodes = part
    return tuple(columns)


def order_similar(ranks: np.ndarray) -> np.ndarray:
    """An order of rows, for ranks of shape (columns, rows), in which neighbours agree in many columns.

    Such rows take the same path through most nodes of a tree, so the processor predicts the branches well. Columns
    with few different ranks are sorted by first.
    """
    kinds = [np.count_nonzero(np.bincount(column)) for column in ranks]
    fewest_last = np.argsort(kinds, kind="stable")[::-1]
    return np.lexsort(ranks[fewest_last]) if len(ranks) else np.arange(ranks.shape[1])
