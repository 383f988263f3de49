"""The trees in scikit-learn's predictor against LightGBM's own scores, and models that must be refused."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import FIXTURES, load_fixture
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from stagekit import BadInput
from stagekit.model_text import parse_model_text

from lightgbm_model import LightGBMModel, build_model, check_node_layout, read_model

SCORED = ["binary", "binary_complete", "binary_categories", "multiclass", "constant", "steep"]


def parse_model(text: str) -> LightGBMModel:
    return build_model(parse_model_text(text))


def as_numbers(rows: list[list[str]]) -> np.ndarray:
    return np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])


@pytest.mark.parametrize("name", SCORED)
def test_model_scores_exactly_as_lightgbm(name: str) -> None:
    fixture = load_fixture(name)
    scores = parse_model(fixture.model).probabilities(as_numbers(fixture.rows))
    assert np.abs(scores - as_numbers(fixture.scores)).max() == 0.0


def test_fixtures_hold_what_is_hard_to_score() -> None:
    binary, categories = load_fixture("binary"), load_fixture("binary_categories")
    thresholds = {float(t) for line in re.findall(r"(?m)^threshold=(.*)$", binary.model) for t in line.split()}
    cells = [cell for row in binary.rows for cell in row]
    assert "" in cells
    assert "-0.0" in cells
    assert "1e+300" in cells
    assert thresholds & {float(cell) for cell in cells if cell}
    # LightGBM's bounds of zero are thresholds, and a number of just that size counts as zero.
    assert {1e-35, -1e-35} <= {float(f"{t:.0e}") for t in thresholds}
    assert {"1.0000000180025095e-35", "-1.0000000180025095e-35"} <= set(cells)
    assert {"256.0", "-1.0", "2.7"} <= {row[2] for row in categories.rows}
    assert "num_leaves=1\n" in load_fixture("constant").model


def test_scores_do_not_depend_on_rows_together() -> None:
    fixture = load_fixture("multiclass")
    model, rows = parse_model(fixture.model), as_numbers(fixture.rows)
    alone = np.vstack([model.probabilities(rows[n : n + 1]) for n in range(len(rows))])
    assert (alone == model.probabilities(rows)).all()
    assert (alone == model.probabilities(np.asfortranarray(rows))).all()


def test_scoring_leaves_the_features_as_they_are() -> None:
    fixture = load_fixture("binary_categories")
    rows = as_numbers(fixture.rows)
    before = rows.copy()
    parse_model(fixture.model).probabilities(rows)
    np.testing.assert_array_equal(rows, before)


def test_scoring_refuses_rows_of_another_width() -> None:
    model = parse_model(load_fixture("binary").model)
    with pytest.raises(ValueError, match=r"expected \(rows, 4\)"):
        model.probabilities(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("linear_trees", "linear_tree"),
        ("rf", "boosting=rf"),
        ("zero_as_missing", "zero_as_missing"),
        ("custom_objective", "custom objective"),
        ("cross_entropy", "'cross_entropy'"),
        ("multiclassova", "'multiclassova'"),
        ("wide_categories", "code 255"),
    ],
)
def test_model_that_cannot_be_scored_is_refused_by_name(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        read_model(FIXTURES / f"refused_{name}.model.txt", "models/x/model.txt")


def edit(text: str, key: str, change: str, position: int = 0) -> str:
    """Replace one word of the first line `key=...`, and mend tree_sizes, so that nothing else is wrong."""

    def replaced(match: re.Match[str]) -> str:
        words = match[2].split(" ")
        words[position] = change
        return match[1] + " ".join(words)

    return resize(re.sub(rf"(?m)^({key}=)(.*)$", replaced, text, count=1))


def resize(text: str) -> str:
    blocks = text.partition("\nend of trees")[0].split("\nTree=")[1:]
    sizes = " ".join(str(len(block.encode()) + 6) for block in blocks)
    return re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", text)


# Each would send the native predictor outside of its tables, round and round, or into other trees than LightGBM's.
EDITS = {
    "child_out_of_range": ("left_child", "999999", "name each node"),
    "child_far_negative": ("left_child", "-999999", "name each node"),
    "child_is_root": ("left_child", "0", "name each node"),
    "child_named_twice": ("right_child", "2", "name each node"),
    "child_too_large_for_64_bits": ("left_child", "9" * 30, "tree 0"),
    "feature_out_of_range": ("split_feature", "4", "outside of 0 to 3"),
    "feature_negative": ("split_feature", "-1", "outside of 0 to 3"),
    "threshold_nan": ("threshold", "nan", "no number"),
    "threshold_with_underscore": ("threshold", "1_0", "expected numbers"),
    "child_with_digits_of_another_script": ("left_child", "１", "no whole number"),
    "decision_wider_than_a_byte": ("decision_type", "264", "decision_type"),
    "threshold_text": ("threshold", "x", "tree 0"),
    "leaf_nan": ("leaf_value", "nan", "not finite"),
    "leaf_infinite": ("leaf_value", "inf", "not finite"),
    "decision_unknown": ("decision_type", "64", "decision_type"),
    "decision_negative": ("decision_type", "-2", "decision_type"),
    "decision_categorical_without_sets": ("decision_type", "1", "names a set"),
    "leaves_too_many": ("num_leaves", "13", "numbers, expected"),
    "leaves_huge": ("num_leaves", "99999999999", "numbers, expected"),
    "leaves_none": ("num_leaves", "0", "numbers, expected"),
    "leaves_negative": ("num_leaves", "-5", "numbers, expected"),
    "classes_many": ("num_class", "2", "objective"),
    "version_other": ("version", "v3", "version=v3"),
    "features_fewer": ("max_feature_idx", "2", "feature_names"),
    "unknown_field": ("num_cat", "0\nleaf_shape=1", "leaf_shape"),
    "field_twice": ("num_cat", "0\nnum_cat=0", "no new key=value"),
    "trees_renumbered": ("Tree", "5", "numbered 5"),
    "sigmoid_zero": ("objective", "sigmoid:0", "sigmoid"),
}


@pytest.mark.parametrize(("key", "change", "said"), EDITS.values(), ids=EDITS)
def test_edited_model_is_refused(key: str, change: str, said: str, tmp_path: Path) -> None:
    text = load_fixture("binary").model
    edited = edit(text, key, change, position=1 if key == "objective" else 0)
    assert edited != text
    (tmp_path / "model.txt").write_text(edited)
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        read_model(tmp_path / "model.txt", "models/x/model.txt")
    assert "models/x/model.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "change", "position", "said"),
    [
        ("cat_boundaries", "1", 0, "rise from 0"),
        ("cat_boundaries", "99", -1, "cat_threshold"),
        ("cat_boundaries", "-1", -1, "cat_threshold"),
        ("cat_threshold", "-1", 0, "tree"),
        ("cat_threshold", "4294967296", 0, "tree"),
        ("num_cat", "77", 0, "cat_boundaries"),
        ("num_cat", "-1", 0, "cat_boundaries"),
    ],
)
def test_edited_categories_are_refused(key: str, change: str, position: int, said: str, tmp_path: Path) -> None:
    text = load_fixture("binary_categories").model
    if key == "num_cat":
        text = re.sub(r"(?m)^num_cat=[1-9].*$", f"num_cat={change}", text, count=1)
    else:
        text = edit(text, key, change, position)
    (tmp_path / "model.txt").write_text(resize(text))
    with pytest.raises(BadInput, match=re.escape(said)):
        read_model(tmp_path / "model.txt", "model.txt")


def widen_first_set(text: str, last_word: int) -> str:
    """The first set of categories with 256 bits: code 0, and those of `last_word`, whose bits are codes 224 to 255."""
    text = re.sub(r"(?m)^cat_boundaries=.*$", "cat_boundaries=0 8", text, count=1)
    return resize(re.sub(r"(?m)^cat_threshold=.*$", f"cat_threshold=1 0 0 0 0 0 0 {last_word}", text, count=1))


def test_category_254_is_the_last_that_a_set_may_name() -> None:
    text = load_fixture("binary_categories").model
    rows = np.zeros((3, 4))
    rows[:, 2] = 253, 254, 255
    scores = parse_model(widen_first_set(text, 1 << 30)).probabilities(rows)[:, 1]
    assert scores[0] == scores[2] != scores[1]
    with pytest.raises(ValueError, match="code 255"):
        parse_model(widen_first_set(text, 1 << 31))


def test_cycle_between_nodes_is_refused(tmp_path: Path) -> None:
    """Two nodes that are each other's child are each named once, as is every other node but the root."""
    text = load_fixture("binary").model
    left = [int(word) for word in re.search(r"(?m)^left_child=(.*)$", text)[1].split()]
    right = [int(word) for word in re.search(r"(?m)^right_child=(.*)$", text)[1].split()]
    children = [left, right]
    side_of = {child: (side, parent) for side in (0, 1) for parent, child in enumerate(children[side])}
    inner = next(child for child in side_of if child > 0 and side_of[child][1] > 0)  # neither root nor its child
    parent = side_of[inner][1]
    parent_side, grandparent = side_of[parent]
    # The grandparent takes the inner node's left child in place of the parent; the inner node takes the parent.
    children[parent_side][grandparent], children[0][inner] = children[0][inner], parent
    for key, values in (("left_child", left), ("right_child", right)):
        text = re.sub(rf"(?m)^{key}=.*$", f"{key}={' '.join(map(str, values))}", text, count=1)
    (tmp_path / "model.txt").write_text(resize(text))
    with pytest.raises(BadInput, match="points back"):
        read_model(tmp_path / "model.txt", "model.txt")


@pytest.mark.parametrize("name", ["binary_categories", "multiclass", "constant"])
def test_truncated_model_is_refused_wherever_it_is_cut(name: str) -> None:
    text = load_fixture(name).model
    end = text.index("\nend of trees") + len("\nend of trees")
    for length in [*range(0, end, 61), end - 1]:
        with pytest.raises((ValueError, KeyError)):
            parse_model(text[:length])


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"tree\n", b"\x80\x04\x95pickle", b"tree\nversion=v4\n\nend of trees\n"],
    ids=["empty", "not_utf8", "head_only", "pickle", "no_header"],
)
def test_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.txt is damaged"):
        read_model(tmp_path / "model.txt", "model.txt")


@given(seed=st.integers(0, 2**32), name=st.sampled_from(["binary", "binary_categories", "multiclass"]))
def test_randomly_edited_model_is_refused_or_scores_without_a_crash(seed: int, name: str) -> None:
    draw = random.Random(seed)
    fixture = load_fixture(name)
    words = re.split(r"([ =\n])", fixture.model.partition("\nend of trees")[0])
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(words))
        words[at] = draw.choice(["", "0", "-1", "1", "255", "4294967295", "-9999999999", "nan", "1e308", words[at] * 2])
    text = resize("".join(words) + "\nend of trees\n")
    try:
        model = parse_model(text)
    except (ValueError, KeyError, OverflowError):
        return
    scores = model.probabilities(np.zeros((2, len(model.feature_names))))
    assert scores.shape == (2, model.classes)


def test_node_layout_of_another_scikit_learn_is_refused() -> None:
    check_node_layout(PREDICTOR_RECORD_DTYPE)
    changed = [
        (name, "<f4" if name == "num_threshold" else kind) for name, kind in PREDICTOR_RECORD_DTYPE.descr if name
    ]
    with pytest.raises(ImportError, match=r"scikit-learn \d+\.\d+.*num_threshold"):
        check_node_layout(np.dtype(changed))
    with pytest.raises(ImportError, match="bitset_idx"):
        check_node_layout(np.dtype([pair for pair in changed if pair[0] != "bitset_idx"]))
