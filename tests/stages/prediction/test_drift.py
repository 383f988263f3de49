"""Bins and PSI against a table worked out by hand, and against what holds for any rows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from stagekit.contract import Encoder, Feature

from drift import compare_shares, make_baseline, make_bins, psi, psi_by_chance, read_bins

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=20).filter(any)
VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=200)


def test_psi_is_that_of_a_table_worked_out_by_hand() -> None:
    # e, a, (a - e) ln(a / e): 0.25 0.20 0.011157; 0.50 0.40 0.022314; 0.25 0.40 0.070501.
    found = compare_shares([50, 100, 50], [20, 40, 40], 0.99)
    assert found["expected"] == [0.25, 0.5, 0.25]
    assert found["actual"] == [0.2, 0.4, 0.4]
    assert found["psi"] == pytest.approx(0.011157 + 0.022314 + 0.070501, abs=1e-6)


def test_psi_of_an_empty_bin_counts_it_as_one_in_ten_thousand() -> None:
    found = compare_shares([100, 0], [50, 50], 0.99)
    assert found["psi"] == pytest.approx(-0.5 * math.log(0.5) + (0.5 - 1e-4) * math.log(0.5 / 1e-4), abs=1e-9)


@given(COUNTS, st.data())
def test_psi_is_never_negative_and_the_same_both_ways(expected: list[int], data: st.DataObject) -> None:
    counts = st.lists(st.integers(0, 10_000), min_size=len(expected), max_size=len(expected)).filter(any)
    actual = data.draw(counts)
    shares = [np.array(counts) / sum(counts) for counts in (expected, actual)]
    there, back = psi(*shares), psi(*reversed(shares))
    assert there >= 0
    assert there == pytest.approx(back, abs=1e-9)


@given(COUNTS, st.integers(1, 50))
def test_psi_of_equal_shares_is_zero(counts: list[int], times: int) -> None:
    assert psi(np.array(counts) / sum(counts), np.array(counts) * times / (sum(counts) * times)) == 0


@pytest.mark.parametrize("confidence", [0.99, 0.999, 0.9995])
@pytest.mark.parametrize(("baseline", "rows"), [(5_000, 20_000), (5_000, 2_000), (5_000, 30_000), (200_000, 1_000_000)])
def test_psi_by_chance_of_many_rows_is_a_quantile_of_the_chi_square_distribution(
    baseline: int, rows: int, confidence: float
) -> None:
    """A quantile of 1,000 pairs was too small by a sixth at the confidence of the rules."""
    found = psi_by_chance([baseline // 10] * 10, [rows // 10] * 10, confidence)
    assert found == pytest.approx((1 / baseline + 1 / rows) * chi2.ppf(confidence, df=9), rel=0.1)


def test_psi_by_chance_of_any_confidence_ends_soon() -> None:
    assert psi_by_chance([500] * 10, [3] * 10, 1 - 1e-12) > psi_by_chance([500] * 10, [3] * 10, 0.9995)


def test_psi_by_chance_of_few_rows_counts_on_empty_bins() -> None:
    found = psi_by_chance([500] * 10, [3] * 10, 0.99)
    assert found > 1.5 > (1 / 5_000 + 1 / 30) * chi2.ppf(0.99, df=9)


def test_rows_of_the_baseline_itself_stay_below_what_chance_explains() -> None:
    """Small samples of the very rows that the baseline was made from once were reported as moved."""
    baseline, draw = np.array([480, 900, 20, 600, 2_000, 1_000, 0]), np.random.default_rng(7)
    for rows in (30, 140, 1_000):
        samples = draw.multinomial(rows, baseline / baseline.sum(), size=50)
        found = [compare_shares(baseline.tolist(), sample.tolist(), 0.99) for sample in samples]
        assert sum(one["psi"] > one["by_chance"] for one in found) <= 3


@given(VALUES)
def test_every_value_is_in_one_bin_and_every_edge_is_a_value(values: list[float]) -> None:
    column = np.array(values)
    bins = make_bins(Feature("x", "x", "number"), column)
    counts = bins.count(column)
    assert counts.sum() == len(values)
    assert counts[-1] == np.isnan(column).sum()
    assert set(bins.edges) <= set(column.tolist())
    assert sorted(set(bins.edges)) == list(bins.edges)
    assert psi(counts / len(values), counts / len(values)) == 0


def test_deciles_of_distinct_values_are_ten_bins_of_equal_size() -> None:
    values = np.random.default_rng(1).permutation(1000).astype(float)
    bins = make_bins(Feature("x", "x", "number"), values)
    assert bins.count(values).tolist() == [100] * 10 + [0]
    assert bins.edges == tuple(range(99, 999, 100))
    assert (bins.labels[0], bins.labels[1], bins.labels[-2:]) == ("up to 99", "99 to 199", ("above 899", "missing"))


def test_values_beyond_those_of_the_baseline_are_in_the_outer_bins() -> None:
    bins = make_bins(Feature("x", "x", "number"), np.arange(100.0))
    counts = bins.count(np.array([-1e9, 1e9, np.nan, np.nan]))
    assert (counts[0], counts[-2], counts[-1]) == (1, 1, 2)


def test_constant_feature_shows_what_lies_above_and_what_is_missing() -> None:
    bins = make_bins(Feature("x", "x", "number"), np.full(50, 7.0))
    assert bins.labels == ("up to 7", "above 7", "missing")
    assert bins.count(np.array([7.0, 6.0, 8.0, np.nan])).tolist() == [2, 1, 1]


def test_feature_without_any_value_has_a_bin_for_values() -> None:
    bins = make_bins(Feature("x", "x", "number"), np.full(3, np.nan))
    assert bins.labels == ("any value", "missing")
    assert bins.count(np.array([1.0, np.nan])).tolist() == [1, 1]


def test_categories_are_the_fifteen_most_frequent_then_others_then_missing() -> None:
    names = tuple(f"shop {number}" for number in range(20))
    codes = np.repeat(np.arange(20.0), np.arange(20, 0, -1))  # 20 rows of shop 0, 19 of shop 1 ...
    bins = make_bins(Feature("shop", "shop", "category", names), codes)
    assert bins.labels == (*names[:15], "other", "missing")
    assert bins.codes == (*((n,) for n in range(15)), tuple(range(15, 20)))
    unseen = np.array([np.nan, 20.0, 255.0, 1000.0, -1.0])
    assert bins.count(np.concatenate([codes, unseen])).tolist() == [*range(20, 5, -1), 5 + 4 + 3 + 2 + 1, 5]


def test_few_categories_need_no_bin_of_others() -> None:
    bins = make_bins(Feature("shop", "shop", "category", ("a", "b", "c")), np.array([1.0, 1.0, 2.0, np.nan]))
    assert bins.labels == ("b", "c", "a", "missing")
    assert bins.count(np.array([1.0, 0.0, np.nan])).tolist() == [1, 0, 1, 1]


def test_baseline_is_read_back_as_the_bins_that_it_was_made_of() -> None:
    draw = np.random.default_rng(2)
    features = np.column_stack([draw.normal(size=300), draw.integers(0, 30, 300)])
    features[::7] = np.nan
    names = tuple(map(str, range(30)))
    columns = (Feature("x", "x", "number"), Feature("c", "c", "category", names))
    encoder = Encoder(("id",), "y", ("no", "yes"), columns, {})
    scores = draw.random(300)
    baseline = make_baseline(encoder, features, np.column_stack([1 - scores, scores]))
    assert baseline["rows"] == 300
    for number, described in enumerate(baseline["features"]):
        assert read_bins(described).count(features[:, number]).tolist() == described["counts"]
        assert sum(described["counts"]) == 300
        assert described["counts"][-1] == 43
    score = baseline["score"]
    assert read_bins(score, missing=False).count(scores).tolist() == score["counts"] == [30] * 10


@pytest.mark.parametrize(
    "document",
    [{"labels": ["a"], "edges": [1.0]}, {"labels": ["a", "m"], "codes": [[256]]}],
)
def test_bins_that_do_not_fit_together_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"labels for "):
        read_bins(document)
