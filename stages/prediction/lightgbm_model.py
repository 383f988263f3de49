"""LightGBM's text model, scored by scikit-learn's histogram-boosting predictor. No lightgbm, no pickle.

A LightGBM tree and a node table of `TreePredictor` mean the same: a value <= the threshold goes left, a category
whose bit is set goes left, a leaf holds a number, the raw score is the sum over all trees. The trees read the values
as ranks of one byte (threshold_ranks.py), which changes no path. The decision type of a node (LightGBM,
include/LightGBM/tree.h): bit 0 categorical, bit 1 missing goes left, bits 2-3 how a missing value is recorded (0 not
at all: it counts as 0.0; 1 zero is missing; 2 NaN is missing).

The native predictor follows child indices without checking them, so this module checks every index first. It refuses
by name what a model may hold and it cannot score.
"""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import sklearn
from scipy.special import expit
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from stagekit import BadInput, available_cpus

from threshold_ranks import MISSING, RankColumn, compare_ranks, order_similar

# What scikit-learn's native predictor reads from a node; its own definition is private and may change.
NODE_FIELDS = {
    "value": "f8", "feature_idx": "i8", "num_threshold": "f8", "missing_go_to_left": "u1", "left": "u4",
    "right": "u4", "is_leaf": "u1", "bin_threshold": "u1", "is_categorical": "u1", "bitset_idx": "u4",
}  # fmt: skip
BITSET_WORDS = 8  # 8 words of 32 bits: categories 0 to 255
THREAD_ROWS = 4_096  # fewer rows are not worth a thread
# Rows that go through all trees together: few enough to stay in a processor's cache from one tree to the next, and
# many, so that sorted neighbours are alike.
CACHED_ROWS = 65_536
MISSING_IS_ZERO, ZERO_IS_MISSING, MISSING_IS_NAN = 0, 1, 2

HEADER_KEYS = frozenset(
    {
        *("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective"),
        *("feature_names", "monotone_constraints", "feature_infos", "tree_sizes"),
    }
)
TREE_KEYS = frozenset(
    {
        *("num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child"),
        *("right_child", "leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight"),
        *("internal_count", "cat_boundaries", "cat_threshold", "is_linear", "shrinkage"),
    }
)


class Unsupported(ValueError):
    """The model uses a feature of LightGBM that this module cannot score."""


def features_that_read_missing_as_zero(path: Path) -> set[int]:
    """The numbers of the features that a split reads as 0.0 where they are missing: no training row lacked them."""
    found: set[int] = set()
    split: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            key, _, value = line.partition("=")
            if key == "split_feature":
                split = value.split()
            elif key == "decision_type":
                kinds = map(int, value.split())
                numerical = [(int(one), kind >> 2) for one, kind in zip(split, kinds, strict=True) if not kind & 1]
                found |= {one for one, missing in numerical if missing == MISSING_IS_ZERO}
    return found


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
    try:
        return parse_model(path.read_text(encoding="utf-8"))
    except Unsupported as error:
        raise BadInput(
            f"{label} uses {error}, which the prediction image cannot score",
            expected="gradient-boosted trees (gbdt, dart, goss) with LightGBM's binary or multiclass objective",
            do="train the model without it",
        ) from None
    except (ValueError, KeyError, OverflowError) as error:
        text = f"no {error} line" if isinstance(error, KeyError) else str(error)
        raise BadInput(
            f"{label} is damaged: {text}", expected="a whole text model of LightGBM, version v4",
            do="train the model again; a published model is never edited",
        ) from None  # fmt: skip


def parse_model(text: str) -> LightGBMModel:
    """Turn the text of a model into trees. ValueError or KeyError if it is damaged."""
    body, end, _ = text.partition("\nend of trees")
    if not text.startswith("tree\n"):
        raise ValueError(f"it begins with {text[:20]!r}, not with 'tree'")
    if not end:
        raise ValueError("the line 'end of trees' is missing, the file is cut off")
    head, *blocks = body.split("\nTree=")
    header = _read_header(head)
    names = tuple(header["feature_names"].split(" "))
    if len(names) != int(header["max_feature_idx"]) + 1:
        raise ValueError(f"{len(names)} feature_names for max_feature_idx={header['max_feature_idx']}")
    classes, sigmoid = _read_objective(header)
    _check_tree_sizes(header, blocks)
    parsed = [_read_tree(block, index, len(names)) for index, block in enumerate(blocks)]
    if not parsed or len(parsed) % int(header["num_tree_per_iteration"]):
        raise ValueError(f"{len(parsed)} trees for {header['num_tree_per_iteration']} per iteration")
    columns = compare_ranks(parsed, _categorical_features(parsed))
    return LightGBMModel(names, classes, sigmoid, tuple(parsed), columns)


def _read_header(head: str) -> dict[str, str]:
    lines = [line for line in head.splitlines()[1:] if line]
    if "average_output" in lines:
        raise Unsupported("averaged trees (boosting=rf)")
    header = _read_fields(lines, HEADER_KEYS)
    if header["version"] != "v4":
        raise Unsupported(f"text format version={header['version']}")
    return header


def _read_fields(lines: Iterable[str], known: frozenset[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or key in fields:
            raise ValueError(f"the line {line[:60]!r} is no new key=value")
        if key not in known:
            raise Unsupported(f"the field {key!r}")
        fields[key] = value
    return fields


def _read_objective(header: dict[str, str]) -> tuple[int, float]:
    """The number of classes and the slope of the sigmoid (1.0 when multiclass)."""
    if not header.get("objective"):
        raise Unsupported("a custom objective")
    name, *options = header["objective"].split()
    option = _read_fields((text.replace(":", "=", 1) for text in options), frozenset(["sigmoid", "num_class"]))
    count, per_iteration = int(header["num_class"]), int(header["num_tree_per_iteration"])
    if name == "binary" and count == per_iteration == 1:
        sigmoid = float(option["sigmoid"])
        if not 0 < sigmoid < math.inf:
            raise ValueError(f"sigmoid:{sigmoid} is no positive number")
        return 2, sigmoid
    if name == "multiclass" and count == per_iteration == int(option["num_class"]) >= 3:
        return count, 1.0
    if name in ("binary", "multiclass"):
        raise ValueError(f"objective {header['objective']!r} with num_class={count}, {per_iteration} trees each")
    raise Unsupported(f"the objective {name!r}")


def _check_tree_sizes(header: dict[str, str], blocks: Sequence[str]) -> None:
    """LightGBM cuts the text at `tree_sizes`: if they are wrong, it reads other trees than this module."""
    sizes = [int(size) for size in header["tree_sizes"].split()]
    found = [len("Tree=") + len(block.encode()) + len("\n") for block in blocks]
    if sizes != found:
        wrong = next(
            (i for i, (a, b) in enumerate(zip(sizes, found, strict=False)) if a != b), min(len(sizes), len(found))
        )
        raise ValueError(f"{len(found)} trees, {len(sizes)} tree_sizes, the first that do not fit are of tree {wrong}")


def _read_tree(block: str, index: int, features: int) -> TreePredictor:
    number, *lines = block.splitlines()
    try:
        if "is_linear=1" in lines:
            raise Unsupported("linear trees (linear_tree=true)")
        fields = _read_fields([line for line in lines if line], TREE_KEYS)
        if int(number) != index:
            raise ValueError(f"it is numbered {number}")
        return _build_tree(fields, features)
    except Unsupported:
        raise
    except KeyError as error:
        raise ValueError(f"tree {index}: no {error} line") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"tree {index}: {error}") from None


def _build_tree(fields: dict[str, str], features: int) -> TreePredictor:
    """Node table of a tree: the splits first, in LightGBM's order, then the leaves."""
    leaves = int(fields["num_leaves"])
    values = _numbers(fields, "leaf_value", leaves, np.float64)
    splits = leaves - 1
    nodes = np.zeros(splits + leaves, dtype=PREDICTOR_RECORD_DTYPE)
    nodes["is_leaf"][splits:] = 1
    nodes["value"][splits:] = values
    if not np.isfinite(values).all():
        raise ValueError("a leaf_value is not finite")
    bitsets = _read_bitsets(fields)
    if splits:
        inner = nodes[:splits]  # a view
        inner["left"], inner["right"] = _read_children(fields, splits)
        _fill_decisions(inner, fields, features)
    return TreePredictor(nodes, bitsets, bitsets)


def _numbers(fields: dict[str, str], key: str, count: int, kind: type) -> np.ndarray:
    words = fields[key].split()
    if len(words) != count or count < 1:
        raise ValueError(f"{key} holds {len(words)} numbers, expected {count}")
    return np.array([(float if kind is np.float64 else int)(word) for word in words], dtype=kind)


def _read_children(fields: dict[str, str], splits: int) -> tuple[np.ndarray, np.ndarray]:
    """Child indices in the node table. Each node but the root has one parent, with a smaller index: no cycles."""
    left, right = (_numbers(fields, key, splits, np.int64) for key in ("left_child", "right_child"))
    children = np.stack([left, right])
    children = np.where(children < 0, splits + ~children, children)
    if sorted(children.ravel().tolist()) != list(range(1, 2 * splits + 1)):
        raise ValueError("left_child and right_child do not name each node but the root once")
    if (children <= np.arange(splits)).any():
        raise ValueError("left_child or right_child points back towards the root")
    return children[0], children[1]


def _fill_decisions(inner: np.ndarray, fields: dict[str, str], features: int) -> None:
    count, bitsets = len(inner), int(fields["num_cat"])
    feature = _numbers(fields, "split_feature", count, np.int64)
    threshold = _numbers(fields, "threshold", count, np.float64)
    decision = _numbers(fields, "decision_type", count, np.int64)
    categorical = (decision & 1) == 1
    missing = np.where(categorical, MISSING_IS_NAN, decision >> 2)
    if ((feature < 0) | (feature >= features)).any():
        raise ValueError(f"split_feature names a feature outside of 0 to {features - 1}")
    if np.isnan(threshold).any():
        raise ValueError("a threshold is no number")
    if (missing == ZERO_IS_MISSING).any():
        raise Unsupported("zero_as_missing=true")
    if not np.isin(missing, (MISSING_IS_ZERO, MISSING_IS_NAN)).all() or (decision < 0).any():
        raise Unsupported(f"a decision_type among {sorted(set(decision.tolist()))}")
    sets = np.where(categorical, threshold, 0.0)
    if not np.isin(sets[categorical], np.arange(bitsets)).all():
        raise ValueError(f"a categorical split names a set outside of 0 to {bitsets - 1}")
    default_left = np.where(missing == MISSING_IS_NAN, (decision & 2) == 2, threshold >= 0.0)
    inner["feature_idx"] = feature
    inner["num_threshold"] = threshold
    inner["is_categorical"] = categorical
    inner["bitset_idx"] = sets
    inner["missing_go_to_left"] = default_left & ~categorical


def _read_bitsets(fields: dict[str, str]) -> np.ndarray:
    """The categories that go left, uint32 of shape (categorical splits, 8); at least one row."""
    count = int(fields["num_cat"])
    if count == 0:
        return np.zeros((1, BITSET_WORDS), dtype=np.uint32)
    bounds = _numbers(fields, "cat_boundaries", count + 1, np.int64)
    words = _numbers(fields, "cat_threshold", int(bounds[-1]), np.uint32)
    if bounds[0] != 0 or (np.diff(bounds) < 1).any():
        raise ValueError("cat_boundaries do not rise from 0")
    too_wide = Unsupported(f"categories of code {MISSING} and above")
    if (np.diff(bounds) > BITSET_WORDS).any():
        raise too_wide
    bitsets = np.zeros((count, BITSET_WORDS), dtype=np.uint32)
    for row, (start, stop) in enumerate(pairwise(bounds.tolist())):
        bitsets[row, : stop - start] = words[start:stop]
    if (bitsets[:, MISSING // 32] >> (MISSING % 32) & 1).any():
        raise too_wide
    return bitsets


def _categorical_features(trees: Iterable[TreePredictor]) -> set[int]:
    categorical: set[int] = set()
    numerical: set[int] = set()
    for tree in trees:
        splits = tree.nodes[tree.nodes["is_leaf"] == 0]
        is_categorical = splits["is_categorical"] == 1
        categorical.update(splits["feature_idx"][is_categorical].tolist())
        numerical.update(splits["feature_idx"][~is_categorical].tolist())
    if both := sorted(categorical & numerical):
        raise ValueError(f"feature {both[0]} is split as a category and as a number")
    return categorical
