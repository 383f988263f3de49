"""The bootstrap: its interval against that of SciPy."""

import numpy as np
import pytest
from scipy import stats

import bootstrap
from bootstrap import interval
from metrics import FIGURES, LabelledRows, predict_codes


def make_rows(classes: int, rows: int = 400, seed: int = 0, decimals: int = 2) -> LabelledRows:
    """Rows whose scores say something, and are often equal."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, classes, rows)
    codes[:classes] = range(classes)
    raw = np.round(np.exp(draw.normal(size=(rows, classes)) + 1.2 * np.eye(classes)[codes]), decimals) + 0.01
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    if classes == 2:
        probabilities[:, 1] = np.round(probabilities[:, 1], decimals).clip(0.01, 0.99)
        probabilities[:, 0] = 1 - probabilities[:, 1]
    predicted = predict_codes(probabilities, 0.4 if classes == 2 else None)
    return LabelledRows(codes, probabilities, predicted, tuple(map(str, range(classes))), classes)


def of_drawn(metric: str, rows: LabelledRows, index: np.ndarray) -> float:
    """A figure of two classes by its definition, for rows that were drawn."""
    y, p = rows.codes[index], rows.probabilities[index, 1]
    if metric == "log_loss":
        return float(-np.log(np.where(y == 1, p, 1 - p)).mean())
    if metric == "accuracy":
        return float(((p >= 0.4) == y).mean())
    own = int(y.sum())  # the Mann-Whitney statistic, from the ranks
    return float((stats.rankdata(p)[y == 1].sum() - own * (own + 1) / 2) / own / (len(y) - own))


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "accuracy"])
def test_interval_is_that_of_scipys_paired_bootstrap(metric: str) -> None:
    ours, theirs = make_rows(2, 600, seed=1, decimals=6), make_rows(2, 600, seed=1, decimals=6)
    noise = np.random.default_rng(5).normal(size=600) * 0.15
    p = np.clip(theirs.probabilities[:, 1] + noise, 0.001, 0.999)
    theirs = LabelledRows(ours.codes, np.column_stack([1 - p, p]), (p >= 0.4).astype(int), ours.classes, 2)
    bounds, rows = interval(metric, ours, theirs, resamples=500, confidence=0.9)

    def difference(index: np.ndarray) -> float:
        return of_drawn(metric, ours, index.astype(int)) - of_drawn(metric, theirs, index.astype(int))

    expected = stats.bootstrap(
        (np.arange(600),), difference, n_resamples=1000, confidence_level=0.9, method="percentile",
        vectorized=False, rng=np.random.default_rng(9),
    )  # fmt: skip
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert rows == 600
    assert bounds[0] == pytest.approx(expected.confidence_interval.low, abs=0.12 * width)
    assert bounds[1] == pytest.approx(expected.confidence_interval.high, abs=0.12 * width)


@pytest.mark.parametrize("metric", FIGURES)
@pytest.mark.parametrize("classes", [2, 3])
def test_interval_of_a_model_and_itself_is_zero(metric: str, classes: int) -> None:
    rows = make_rows(classes)
    assert interval(metric, rows, rows, resamples=10, confidence=0.95)[0] == [0, 0]


def test_narrower_confidence_lies_within_the_wider_one() -> None:
    ours, theirs = make_rows(2, 500), make_rows(2, 500, decimals=1)
    (low, high), _ = interval("roc_auc", ours, theirs, resamples=100, confidence=0.5)
    (lowest, highest), _ = interval("roc_auc", ours, theirs, resamples=100, confidence=0.99)
    assert lowest < low < high < highest


def test_draws_that_miss_a_class_do_not_count() -> None:
    codes = np.zeros(30, int)
    codes[0] = 1  # in a draw with probability 0.63
    scores = [np.linspace(0.1, 0.9, 30), np.linspace(0.9, 0.1, 30)]
    sides = [LabelledRows(codes, np.column_stack([1 - s, s]), (s > 0.5).astype(int), ("0", "1"), 2) for s in scores]
    assert interval("roc_auc", *sides, resamples=60, confidence=0.95)[0] == [-1, -1]
    assert interval("recall", *sides, resamples=60, confidence=0.95)[0] == [-1, -1]


@pytest.mark.parametrize(("classes", "drawn_from"), [(2, 900), (3, 300)])
def test_interval_of_many_rows_comes_from_a_sample_and_names_its_size(
    monkeypatch: pytest.MonkeyPatch, classes: int, drawn_from: int
) -> None:
    monkeypatch.setattr(bootstrap, "MOST_ROWS", 900)
    ours, theirs = make_rows(classes, 1000), make_rows(classes, 1000, decimals=0)
    assert interval("roc_auc", ours, theirs, resamples=10, confidence=0.9)[1] == drawn_from


def test_interval_is_the_same_in_a_second_run() -> None:
    ours, theirs = make_rows(3, 300), make_rows(3, 300, decimals=0)
    assert len({str(interval("f1", ours, theirs, resamples=20, confidence=0.9)) for _ in range(3)}) == 1
