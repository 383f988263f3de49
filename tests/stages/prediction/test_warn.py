"""Warnings on a validated model: a feature that gives the class away, probabilities that do not come true."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DAY, World
from stagekit.contract import Encoder, Feature

from warn import find_warnings

ROWS = 400
CALIBRATED = {"calibration": [{"rows": 200, "mean_predicted": p, "observed": p} for p in (0.1, 0.6)]}


def day(classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The codes of some rows, and a feature that says nothing."""
    draw = np.random.default_rng(1)
    return draw.choice(classes, ROWS, p=[0.9, *[0.1 / (classes - 1)] * (classes - 1)]), draw.normal(size=ROWS)


def warned(
    codes: np.ndarray, values: np.ndarray, kind: str = "number", names: tuple[str, ...] = (), classes: int = 2
) -> list[str]:
    """The warnings on `x` beside a feature that says nothing."""
    features = (Feature("noise", "noise", "number"), Feature("x", "x", kind, names))
    encoder = Encoder(("id",), "y", tuple(map(str, range(classes))), features, {})
    noise = np.random.default_rng(2).normal(size=len(codes))
    return find_warnings(encoder, np.column_stack([noise, values]), codes, CALIBRATED)


Make = Callable[[np.ndarray, np.ndarray], np.ndarray]
GIVES_AWAY: dict[str, tuple[Make, str, int, str]] = {
    "the_class_itself": (lambda codes, _: codes, "number", 2, "x equals the target"),
    "one_of_three_classes_itself": (lambda codes, _: codes, "number", 3, "x equals the target"),
    "higher_for_the_class": (lambda codes, noise: codes * 100 + noise, "number", 2, "x alone decides"),
    "lower_for_the_class": (lambda codes, noise: noise - codes * 100, "number", 2, "x alone decides"),
    "missing_for_the_class": (lambda codes, noise: np.where(codes, np.nan, noise), "number", 2, "x alone decides"),
    "known_for_the_class_alone": (lambda codes, noise: np.where(codes, noise, np.nan), "number", 2, "x alone decides"),
    "above_for_one_of_three": (lambda codes, noise: (codes == 2) * 100 + noise, "number", 3, "x alone decides"),
    "values_of_each_class": (lambda codes, noise: np.where(codes, 5, np.rint(noise) % 3 + 6), "category", 2, "decides"),
}


@pytest.mark.parametrize(("make", "kind", "classes", "said"), GIVES_AWAY.values(), ids=GIVES_AWAY)
def test_feature_that_gives_the_class_away_is_named(make: Make, kind: str, classes: int, said: str) -> None:
    codes, noise = day(classes)
    warnings = warned(codes, make(codes, noise), kind, tuple("abcdefghij") if kind == "category" else (), classes)
    assert len(warnings) == 1
    assert said in warnings[0]
    assert "noise" not in warnings[0]
    assert warnings[0].endswith("is it known before the class is?")


def test_category_with_the_names_of_the_classes_equals_the_target() -> None:
    codes, _ = day()
    assert "x equals the target" in warned(codes, 1 - codes, "category", ("1", "0"))[0]


CODES, NOISE = day()
GIVES_NOTHING_AWAY = {
    "nothing": NOISE,
    "a_good_feature": CODES * 2 + NOISE,
    "wrong_in_one_of_fifty": np.where(np.arange(ROWS) % 50 == 0, 1 - CODES, CODES),
    "constant": np.zeros(ROWS),
    "missing": np.full(ROWS, np.nan),
    "a_value_of_its_own_in_each_row": np.random.default_rng(3).permutation(ROWS),
}


@pytest.mark.parametrize("values", GIVES_NOTHING_AWAY.values(), ids=GIVES_NOTHING_AWAY)
@pytest.mark.parametrize("kind", ["number", "category"])
def test_other_features_are_not_named(values: np.ndarray, kind: str) -> None:
    assert warned(CODES, np.abs(np.rint(values)) if kind == "category" else values, kind) == []


@pytest.mark.parametrize("rows", [10, 25])
def test_few_rows_are_told_apart_by_chance(rows: int) -> None:
    codes = np.arange(rows) % 2
    assert warned(codes, codes * 3.0 - 1) == []


@pytest.mark.parametrize(
    ("predicted", "observed", "rows", "said"),
    [
        ((0.05, 0.4), (0.05, 0.4), 1000, ""),
        ((0.05, 0.4), (0.06, 0.38), 1000, ""),
        ((0.05, 0.4), (0.2, 0.9), 1000, "on average 0.225, and 0.55 came true"),
        ((0.9, 0.3), (0.3, 0.9), 1000, "in groups of similar rows the two differ by 0.6"),
        ((0.5, 0.6), (0.01, 0.02), 1000, "on average 0.55, and 0.015 came true"),
        ((0.004, 0.04), (0.001, 0.01), 10_000, "on average 0.022, and 0.0055 came true"),
        ((0.05, 0.4), (0.2, 0.6), 10, ""),
    ],
)
def test_probabilities_that_do_not_come_true_are_named(
    predicted: tuple[float, ...], observed: tuple[float, ...], rows: int, said: str
) -> None:
    """Ten rows differ as much by chance."""
    groups: list[dict[str, Any]] = [
        {"rows": rows, "mean_predicted": p, "observed": o} for p, o in zip(predicted, observed, strict=True)
    ]
    encoder = Encoder(("id",), "y", ("0", "1"), (Feature("x", "x", "number"),), {})
    codes, noise = day()
    warnings = find_warnings(encoder, noise[:, None], codes, {"calibration": groups})
    assert ["probabilities are far from calibrated" in one and said in one for one in warnings] == [True] * bool(said)


def test_validate_says_it_in_its_log_and_result_and_keeps_it_in_the_mark(world: World) -> None:
    size = world.fixture.features.index("size")
    codes = [int(float(row[size] or 0) > 0) for row in world.fixture.rows]
    world.train(val=world.val(codes))
    result = world.run("validate", "--ds", DAY)
    said = "size alone decides the target in at least 99.9% of the validation rows: is it known before the class is?"
    assert said in result.errors
    assert said in result.result["warnings"]
    mark = json.loads((world.root / f"models/{DAY}/_meta.json").read_text())
    assert said in mark["steps"]["validate"]["result"]["warnings"]
