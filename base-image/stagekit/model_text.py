"""LightGBM's text model, read and checked before native code follows it. Standard library only.

LightGBM and scikit-learn follow child indices, features and categories of a tree without checking them, and LightGBM
reads on where a line has too few numbers. So every text is checked here first, and only what was checked goes on: no
line behind the trees, such as the parameters of the training. Refused by name is what a model of LightGBM may hold
and the stages cannot score.

The decision type of a split (LightGBM, include/LightGBM/tree.h): bit 0 categorical, bit 1 missing goes left, bits 2-3
how a missing value is recorded (0 not at all: it counts as 0.0; 1 zero is missing; 2 NaN is missing).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from stagekit.errors import BadInput

WORDS_OF_A_SET = 8  # words of 32 bits: categories 0 to 255
CATEGORIES = 255  # the last of these codes means "missing" where a model is scored
MISSING_IS_ZERO, ZERO_IS_MISSING, MISSING_IS_NAN = 0, 1, 2
CATEGORICAL, LEFT_IF_MISSING = 1, 2

END = "\nend of trees"
HEADER_KEYS = frozenset(
    {
        *("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective"),
        *("feature_names", "monotone_constraints", "feature_infos", "tree_sizes"),
    }
)
# Numbers of each split, and of each leaf, that a tree may have and that no score needs.
OF_SPLITS, OF_LEAVES = ("split_gain", "internal_value", "internal_weight"), ("leaf_weight",)
COUNTS_OF_SPLITS, COUNTS_OF_LEAVES = ("internal_count",), ("leaf_count",)
TREE_KEYS = frozenset(
    {
        *("num_leaves", "num_cat", "split_feature", "threshold", "decision_type", "left_child", "right_child"),
        *("leaf_value", "cat_boundaries", "cat_threshold", "is_linear", "shrinkage"),
        *(*OF_SPLITS, *OF_LEAVES, *COUNTS_OF_SPLITS, *COUNTS_OF_LEAVES),
    }
)
# Python also reads 1_000, other scripts' digits and Infinity as numbers; LightGBM does not.
WHOLE, REAL = re.compile(r"-?[0-9]+"), re.compile(r"[-+.0-9eEnaif ]*")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
LARGEST_COUNT = (1 << 31) - 1


class Unsupported(ValueError):
    """The model uses a feature of LightGBM that the stages cannot score."""


@dataclass(frozen=True)
class Tree:
    """The splits of a tree in LightGBM's order, then its leaves; the first split is the root.

    A child >= 0 is a split with a larger number than its parent, ~child is a leaf. The threshold of a categorical split
    is the number of its set in `sets`: words of 32 bits, a bit for each category that goes left.
    """

    features: Sequence[int]
    thresholds: Sequence[float]
    decisions: Sequence[int]
    left: Sequence[int]
    right: Sequence[int]
    leaves: Sequence[float]
    sets: Sequence[Sequence[int]]

    @property
    def depth(self) -> int:
        """How many splits the longest way from the root to a leaf has."""
        depths = [0] * len(self.features)
        for parent, children in enumerate(zip(self.left, self.right, strict=True)):
            for child in children:
                if child >= 0:
                    depths[child] = depths[parent] + 1
        return max(depths, default=-1) + 1


@dataclass(frozen=True)
class ModelText:
    """A model whose text was checked.

    `trees` holds one tree per class and iteration, the classes of an iteration side by side (one tree per iteration
    when binary). `sigmoid` is the slope of the binary objective. `text` is what was checked: LightGBM may read it.
    """

    feature_names: tuple[str, ...]
    classes: int
    sigmoid: float
    trees: tuple[Tree, ...]
    text: str

    @property
    def missing_as_zero(self) -> frozenset[int]:
        """The numbers of the features that a split reads as 0.0 where they are missing: no training row lacked them."""
        return frozenset(
            feature
            for tree in self.trees
            for feature, decision in zip(tree.features, tree.decisions, strict=True)
            if not decision & CATEGORICAL and decision >> 2 == MISSING_IS_ZERO
        )


def read_model_text(path: Path, label: str) -> ModelText:
    """Read and check a text model of LightGBM; `label` is its name in messages. BadInput if it cannot be used."""
    try:
        return parse_model_text(path.read_bytes().decode("utf-8"))
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


def parse_model_text(text: str) -> ModelText:
    """Check the text of a model. ValueError or KeyError if it is damaged."""
    body, end, _ = text.partition(END)
    if not text.startswith("tree\n"):
        raise ValueError(f"it begins with {text[:20]!r}, not with 'tree'")
    if not end:
        raise ValueError("the line 'end of trees' is missing, the file is cut off")
    if odd := CONTROL.search(body):
        raise ValueError(f"it has the character {odd[0]!r}")
    head, *blocks = body.split("\nTree=")
    header = _read_header(head)
    names = tuple(header["feature_names"].split(" "))
    if len(names) != _whole(header["max_feature_idx"]) + 1:
        raise ValueError(f"{len(names)} feature_names for max_feature_idx={header['max_feature_idx']}")
    classes, sigmoid = _read_objective(header)
    _check_tree_sizes(header, blocks)
    trees = tuple(_read_tree(block, index, len(names)) for index, block in enumerate(blocks))
    if not trees or len(trees) % _whole(header["num_tree_per_iteration"]):
        raise ValueError(f"{len(trees)} trees for {header['num_tree_per_iteration']} per iteration")
    _check_kinds(trees)
    return ModelText(names, classes, sigmoid, trees, f"{body}{END}\n")


def _read_header(head: str) -> dict[str, str]:
    lines = [line for line in head.split("\n")[1:] if line]
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


def _read_objective(header: Mapping[str, str]) -> tuple[int, float]:
    """The number of classes and the slope of the sigmoid (1.0 when multiclass)."""
    if not header.get("objective"):
        raise Unsupported("a custom objective")
    name, *options = header["objective"].split(" ")
    option = _read_fields((text.replace(":", "=", 1) for text in options), frozenset(["sigmoid", "num_class"]))
    count, per_iteration = _whole(header["num_class"]), _whole(header["num_tree_per_iteration"])
    if name == "binary" and count == per_iteration == 1:
        (sigmoid,) = _reals(option, "sigmoid", 1)
        if not 0 < sigmoid < math.inf:
            raise ValueError(f"sigmoid:{sigmoid} is no positive number")
        return 2, sigmoid
    if name == "multiclass" and count == per_iteration == _whole(option["num_class"]) >= 3:
        return count, 1.0
    if name in ("binary", "multiclass"):
        raise ValueError(f"objective {header['objective']!r} with num_class={count}, {per_iteration} trees each")
    raise Unsupported(f"the objective {name!r}")


def _check_tree_sizes(header: Mapping[str, str], blocks: Sequence[str]) -> None:
    """LightGBM cuts the text at `tree_sizes`: if they are wrong, it reads other trees than are checked here."""
    sizes = [_whole(size) for size in header["tree_sizes"].split(" ")]
    found = [len("Tree=") + len(block.encode()) + len("\n") for block in blocks]
    if sizes != found:
        wrong = next(
            (i for i, (a, b) in enumerate(zip(sizes, found, strict=False)) if a != b), min(len(sizes), len(found))
        )
        raise ValueError(f"{len(found)} trees, {len(sizes)} tree_sizes, the first that do not fit are of tree {wrong}")


# --- trees ---


def _read_tree(block: str, index: int, features: int) -> Tree:
    number, *lines = block.rstrip("\n").split("\n")
    try:
        if not block.endswith("\n"):
            raise ValueError("no empty line follows it, so LightGBM would read on")
        if "is_linear=1" in lines:
            raise Unsupported("linear trees (linear_tree=true)")
        fields = _read_fields(lines, TREE_KEYS)
        if _whole(number) != index:
            raise ValueError(f"it is numbered {number}")
        return _build_tree(fields, features)
    except Unsupported:
        raise
    except KeyError as error:
        raise ValueError(f"tree {index}: no {error} line") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"tree {index}: {error}") from None


def _build_tree(fields: Mapping[str, str], features: int) -> Tree:
    leaves = _whole(fields["num_leaves"])
    splits = leaves - 1
    values = _reals(fields, "leaf_value", leaves)
    if not leaves:
        raise ValueError("it has no leaf")
    if not all(map(math.isfinite, values)):
        raise ValueError("a leaf_value is not finite")
    if not splits:
        return Tree((), (), (), (), (), values, ())  # LightGBM reads nothing else of it
    sets = _read_sets(fields)
    _check_unused(fields, splits, leaves)
    left, right = _read_children(fields, splits)
    feature, threshold, decision = _read_decisions(fields, splits, features, len(sets))
    return Tree(feature, threshold, decision, left, right, values, sets)


def _check_unused(fields: Mapping[str, str], splits: int, leaves: int) -> None:
    """What no score needs must be as many numbers too: LightGBM reads it."""
    for keys, count in ((OF_SPLITS, splits), (OF_LEAVES, leaves)):
        for key in keys & fields.keys():
            _reals(fields, key, count)
    for keys, count in ((COUNTS_OF_SPLITS, splits), (COUNTS_OF_LEAVES, leaves)):
        for key in keys & fields.keys():
            if not all(0 <= number <= LARGEST_COUNT for number in _wholes(fields, key, count)):
                raise ValueError(f"{key} holds a number outside of 0 to {LARGEST_COUNT}")
    if "shrinkage" in fields:
        _reals(fields, "shrinkage", 1)
    if _whole(fields.get("is_linear", "0")):
        raise ValueError(f"is_linear is {fields['is_linear']}")


def _read_children(fields: Mapping[str, str], splits: int) -> tuple[list[int], list[int]]:
    """Children of the splits. Each node but the root has one parent, and a split's has a smaller number: no cycles."""
    left, right = (_wholes(fields, key, splits) for key in ("left_child", "right_child"))
    if sorted([*left, *right]) != [*range(-splits - 1, 0), *range(1, splits)]:
        raise ValueError("left_child and right_child do not name each node but the root once")
    if any(0 <= child <= parent for children in (left, right) for parent, child in enumerate(children)):
        raise ValueError("left_child or right_child points back towards the root")
    return left, right


def _read_decisions(
    fields: Mapping[str, str], splits: int, features: int, sets: int
) -> tuple[list[int], list[float], list[int]]:
    feature = _wholes(fields, "split_feature", splits)
    threshold = _reals(fields, "threshold", splits)
    decision = _wholes(fields, "decision_type", splits)
    if not all(0 <= number < features for number in feature):
        raise ValueError(f"split_feature names a feature outside of 0 to {features - 1}")
    if any(map(math.isnan, threshold)):
        raise ValueError("a threshold is no number")
    categorical = [number & CATEGORICAL for number in decision]
    missing = {number >> 2 for number, is_set in zip(decision, categorical, strict=True) if not is_set}
    if ZERO_IS_MISSING in missing:
        raise Unsupported("zero_as_missing=true")
    if not missing <= {MISSING_IS_ZERO, MISSING_IS_NAN} or not all(0 <= number < 1 << 4 for number in decision):
        raise Unsupported(f"a decision_type among {sorted(set(decision))}")
    known = frozenset(range(sets))
    if not all(number in known for number, is_set in zip(threshold, categorical, strict=True) if is_set):
        raise ValueError(f"a categorical split names a set outside of 0 to {sets - 1}")
    return feature, threshold, decision


def _read_sets(fields: Mapping[str, str]) -> list[list[int]]:
    """The sets of categories that go left, each as words of 32 bits."""
    count = _whole(fields["num_cat"])
    if count == 0:
        return []
    bounds = _wholes(fields, "cat_boundaries", count + 1)
    words = _wholes(fields, "cat_threshold", bounds[-1])
    if not all(0 <= word < 1 << 32 for word in words):
        raise ValueError("a cat_threshold has more than 32 bits")
    if bounds[0] != 0 or any(start >= stop for start, stop in pairwise(bounds)):
        raise ValueError("cat_boundaries do not rise from 0")
    sets = [words[start:stop] for start, stop in pairwise(bounds)]
    for one in sets:
        if len(one) > WORDS_OF_A_SET or (len(one) == WORDS_OF_A_SET and one[-1] >> CATEGORIES % 32):
            raise Unsupported(f"categories of code {CATEGORIES} and above")
    return sets


def _check_kinds(trees: Iterable[Tree]) -> None:
    """A feature is a category or a number in all trees."""
    kinds: dict[int, int] = {}
    for tree in trees:
        for feature, decision in zip(tree.features, tree.decisions, strict=True):
            if kinds.setdefault(feature, decision & CATEGORICAL) != decision & CATEGORICAL:
                raise ValueError(f"feature {feature} is split as a category and as a number")


# --- numbers ---


def _whole(text: str) -> int:
    if not WHOLE.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no whole number")
    return int(text)


def _words(fields: Mapping[str, str], key: str, count: int) -> list[str]:
    words = fields[key].split(" ") if fields[key] else []
    if len(words) != count:
        raise ValueError(f"{key} holds {len(words)} numbers, expected {count}")
    return words


def _wholes(fields: Mapping[str, str], key: str, count: int) -> list[int]:
    return [_whole(word) for word in _words(fields, key, count)]


def _reals(fields: Mapping[str, str], key: str, count: int) -> list[float]:
    if not REAL.fullmatch(fields[key]):
        raise ValueError(f"{key} holds {fields[key][:60]!r}, expected numbers")
    return [float(word) for word in _words(fields, key, count)]
