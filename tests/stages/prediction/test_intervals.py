"""Intervals: against published values, and against how often they hold the true value, also where rows are few."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm
from stagekit.contract import HIGHER_IS_BETTER

from intervals import intervals
from metrics import LabelledRows, measure, predict_codes
from share_interval import is_above, share_interval

DRAWS = 200


def binary(draw: np.random.Generator, own: int, others: int, separation: float) -> LabelledRows:
    """Scores of two normal distributions, squeezed into 0 to 1."""
    scores = norm.cdf(np.concatenate([draw.normal(0, 1, others), draw.normal(separation, 1, own)]))
    codes = np.repeat([0, 1], [others, own])
    probabilities = np.column_stack([1 - scores, scores])
    return LabelledRows(codes, probabilities, predict_codes(probabilities, 0.5), ("0", "1"), 2)


@pytest.mark.parametrize(
    ("hits", "rows", "expected"), [(0, 10, [0.0, 0.2775]), (5, 10, [0.2366, 0.7634]), (10, 10, [0.7225, 1.0])]
)
def test_interval_of_a_share_is_wilsons(hits: int, rows: int, expected: list[float]) -> None:
    assert share_interval(hits, rows, 0.95) == pytest.approx(expected, abs=1e-4)


def test_share_of_no_rows_may_be_anything() -> None:
    assert share_interval(0, 0, 0.95) == [0.0, 1.0]


@pytest.mark.parametrize(("own", "others"), [(1, 29), (3, 97), (30, 970), (600, 20_000)])
def test_true_area_under_the_curve_is_outside_as_rarely_as_promised(own: int, others: int) -> None:
    draw, separation = np.random.default_rng(11), 1.9
    true = norm.cdf(separation / math.sqrt(2))
    draws = DRAWS if others < 10_000 else 50
    found = [intervals(binary(draw, own, others, separation), 0.95)["roc_auc"] for _ in range(draws)]
    outside = sum(not (bounds and bounds[0] <= true <= bounds[1]) for bounds in found)
    assert outside / draws <= 0.1


@pytest.mark.parametrize("classes", [2, 3])
def test_each_figure_is_inside_its_interval_which_shrinks_with_the_rows(classes: int) -> None:
    draw = np.random.default_rng(5)
    widths = []
    for count in (60, 6_000):
        codes = draw.integers(0, classes, count)
        probabilities = draw.dirichlet(np.ones(classes), count) * 0.5
        probabilities[np.arange(count), codes] += 0.5
        predicted = draw.integers(0, classes, count)
        rows = LabelledRows(codes, probabilities, predicted, tuple("abc"[:classes]), classes)
        figures, found = measure(rows, None), intervals(rows, 0.99)
        assert found.keys() == HIGHER_IS_BETTER.keys()
        for name, bounds in found.items():
            assert bounds
            assert bounds[0] <= figures[name] <= bounds[1]
        widths.append({name: bounds[1] - bounds[0] for name, bounds in found.items() if bounds})
    assert all(widths[1][name] < 0.5 * widths[0][name] for name in widths[0])


@pytest.mark.parametrize("classes", [2, 3])
def test_interval_of_a_loss_has_its_figure_in_the_middle(classes: int) -> None:
    draw = np.random.default_rng(6)
    codes, probabilities = draw.integers(0, classes, 500), draw.dirichlet(np.ones(classes), 500)
    probabilities[0] = np.eye(classes)[codes[0] - 1]  # certain and wrong
    rows = LabelledRows(codes, probabilities, codes, tuple("abc"[:classes]), classes)
    found, figures = intervals(rows, 0.9), measure(rows, None)
    for name in ("log_loss", "brier_score"):
        assert sum(found[name] or []) / 2 == pytest.approx(figures[name], rel=1e-6)


def test_class_without_rows_has_no_interval_for_its_figures() -> None:
    rows = binary(np.random.default_rng(8), 0, 1, 1.0)
    found = intervals(rows, 0.95)
    assert {name for name, bounds in found.items() if bounds is None} == {
        "roc_auc", "average_precision", "log_loss", "brier_score", "precision", "recall", "f1",
    }  # fmt: skip


@pytest.mark.parametrize("rows", [1, 3, 30, 300, 1_000_000])
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.1])
def test_share_is_above_its_limit_if_the_binomial_distribution_says_so(rows: int, limit: float) -> None:
    expected = int(rows * limit)
    for hits in {*range(expected, min(rows, expected + 12) + 1), min(rows, expected + 2 * math.isqrt(rows)), rows}:
        shown = hits > rows * limit and binom.sf(hits - 1, rows, limit) < (1 - 0.9995) / 2
        assert is_above(hits, rows, limit, 0.9995) == shown, hits


def test_share_above_nothing_or_everything() -> None:
    assert is_above(1, 30, 0, 0.9995)
    assert not is_above(0, 30, 0, 0.9995)
    assert not is_above(30, 30, 1, 0.9995)


def test_one_hit_of_three_shows_nothing() -> None:
    """Wilson's interval begins at 2 %, but at a share of 1 % it is so once in 34 days."""
    assert share_interval(1, 3, 0.9995)[0] > 0.01
    assert not is_above(1, 3, 0.01, 0.9995)
