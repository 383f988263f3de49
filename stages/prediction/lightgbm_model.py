"""LightGBM's text model, scored by scikit-learn's histogram-boosting predictor. No lightgbm, no pickle.

A LightGBM tree and a node table of `TreePredictor` mean the same: a value <= the threshold goes left, a category
whose bit is set goes left, a leaf holds a number, the raw score is the sum over all trees. The trees read the values
as ranks of one byte (threshold_ranks.py), which changes no path. The text is checked before (stagekit.model_text),
because the native predictor follows child indices as they are.
"""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
from scipy.special import expit
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from stagekit import available_cpus
from stagekit.model_text import (
    CATEGORICAL,
    LEFT_IF_MISSING,
    MISSING_IS_NAN,
    WORDS_OF_A_SET,
    ModelText,
    Tree,
    read_model_text,
)

from threshold_ranks import MISSING, RankColumn, compare_ranks, order_similar

# What scikit-learn's native predictor reads from a node; its own definition is private and may change.
NODE_FIELDS = {
    "value": "f8", "feature_idx": "i8", "num_threshold": "f8", "missing_go_to_left": "u1", "left": "u4",
    "right": "u4", "is_leaf": "u1", "bin_threshold": "u1", "is_categorical": "u1", "bitset_idx": "u4",
}  # fmt: skip
THREAD_ROWS = 4_096  # fewer rows are not worth a thread
# Rows that go through all trees together: few enough to stay in a processor's cache from one tree to the next, and
# many, so that sorted neighbours are alike.
CACHED_ROWS = 65_536


def check_node_layout(layout: np.dtype) -> None:
    """Raise ImportError unless the node table of this scikit-learn is the one that we fill."""
    found = {name: layout[name].str[1:] for name in layout.names or () if name in NODE_FIELDS}
    if found != NODE_FIELDS:
        raise ImportError(
            f"scikit-learn {sklearn.__version__} has tree nodes of the fields {dict(layout.fields or {})}; "
            f"expected: {NODE_FIELDS}; do: install the version in requirements.txt, or adapt lightgbm_model.py"
        )


check_node_layout(PREDICTOR_RECORD_DTYPE)


@dataclass(frozen=True)
class LightGBMModel:
    """A model that scores as LightGBM does.

    `trees` holds one tree per class and iteration, the classes of an iteration side by side (one tree per
    iteration when binary), which read the ranks of `columns`. `sigmoid` is the slope of the binary objective.
    """

    feature_names: tuple[str, ...]
    classes: int
    sigmoid: float
    trees: tuple[TreePredictor, ...]
    columns: tuple[RankColumn, ...]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probability of each class, float64 of shape (rows, classes), for float64 features (rows, features).

        NaN is a missing value; a category that the training data did not hold counts as missing.
        """
        raw = self.raw_scores(features)
        return _softmax(raw) if self.classes > 2 else _sigmoid(raw[0], self.sigmoid)

    def raw_scores(self, features: np.ndarray) -> np.ndarray:
        """Sum of the trees, float64 of shape (trees per iteration, rows), added up in LightGBM's order."""
        if features.ndim != 2 or features.shape[1] != len(self.feature_names):
            raise ValueError(f"features of shape {features.shape}; expected (rows, {len(self.feature_names)})")
        threads = max(1, min(available_cpus(), len(features) // THREAD_ROWS))
        blocks = max(threads, -(-len(features) // CACHED_ROWS))
        # Each thread takes its rows through all trees: OpenMP's threads would wait for each other after every tree.
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(self._score_block, np.array_split(features, blocks))), axis=1)

    @property
    def _width(self) -> int:
        return self.classes if self.classes > 2 else 1

    def _score_block(self, features: np.ndarray) -> np.ndarray:
        ranks = np.empty((len(self.columns), len(features)), dtype=np.uint8)
        for number, column in enumerate(self.columns):
            ranks[number] = column.ranks(features)
        order = order_similar(ranks)
        block = np.ascontiguousarray(ranks[:, order].T)
        sums = np.zeros((self._width, len(features)))
        for index, tree in enumerate(self.trees):
            sums[index % self._width] += tree.predict_binned(block, MISSING, 1)
        raw = np.empty_like(sums)
        raw[:, order] = sums
        return raw


def _exp(values: np.ndarray) -> np.ndarray:
    """e to the power of each value, by the C library, as LightGBM takes it.

    numpy's own exp picks another algorithm on some processors and differs in the last bit.
    """
    return np.fromiter((math.exp(v) if v < 709.0 else _exp_large(v) for v in values.tolist()), np.float64, len(values))


def _exp_large(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _sigmoid(raw: np.ndarray, slope: float) -> np.ndarray:
    """LightGBM's BinaryLogloss::ConvertOutput; columns: the first class, the second class."""
    positive = expit(slope * raw)  # 1 / (1 + exp(-x)) with the C library's exp, as LightGBM has it; see _exp
    return np.column_stack([1.0 - positive, positive])


def _softmax(raw: np.ndarray) -> np.ndarray:
    """LightGBM's Common::Softmax: the sum runs over the classes in order."""
    powers = [_exp(row) for row in raw - raw.max(axis=0)]
    total = np.zeros(raw.shape[1])
    for power in powers:
        total += power
    return np.column_stack([power / total for power in powers])


def read_model(path: Path, label: str) -> LightGBMModel:
    """Read a text model of LightGBM; `label` is its name in messages. BadInput if it cannot be used."""
    return build_model(read_model_text(path, label))


def build_model(text: ModelText) -> LightGBMModel:
    """Turn a model whose text was checked into trees that score."""
    trees = [_build_tree(tree) for tree in text.trees]
    columns = compare_ranks(trees, _categorical_features(text.trees))
    return LightGBMModel(text.feature_names, text.classes, text.sigmoid, tuple(trees), columns)


def _build_tree(tree: Tree) -> TreePredictor:
    """Node table of a tree: the splits first, in LightGBM's order, then the leaves."""
    splits = len(tree.features)
    nodes = np.zeros(splits + len(tree.leaves), dtype=PREDICTOR_RECORD_DTYPE)
    nodes["is_leaf"][splits:] = 1
    nodes["value"][splits:] = tree.leaves
    if splits:
        _fill_splits(nodes[:splits], tree)
    bitsets = np.zeros((max(1, len(tree.sets)), WORDS_OF_A_SET), dtype=np.uint32)
    for row, words in enumerate(tree.sets):
        bitsets[row, : len(words)] = words
    return TreePredictor(nodes, bitsets, bitsets)


def _fill_splits(inner: np.ndarray, tree: Tree) -> None:
    """Fill the nodes of the splits, which are a view of the table."""
    threshold, decision = np.array(tree.thresholds), np.array(tree.decisions)
    categorical = (decision & CATEGORICAL) > 0
    to_left = np.where(decision >> 2 == MISSING_IS_NAN, (decision & LEFT_IF_MISSING) > 0, threshold >= 0.0)
    for side, children in (("left", np.array(tree.left)), ("right", np.array(tree.right))):
        inner[side] = np.where(children < 0, len(inner) + ~children, children)
    inner["feature_idx"] = tree.features
    inner["num_threshold"] = threshold
    inner["is_categorical"] = categorical
    inner["bitset_idx"] = np.where(categorical, threshold, 0.0)
    inner["missing_go_to_left"] = to_left & ~categorical


def _categorical_features(trees: Iterable[Tree]) -> set[int]:
    return {
        feature
        for tree in trees
        for feature, decision in zip(tree.features, tree.decisions, strict=True)
        if decision & CATEGORICAL
    }
