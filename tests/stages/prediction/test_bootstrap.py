"""The bootstrap: each figure against scikit-learn's with the same weights, the interval against SciPy's."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

import bootstrap
from bootstrap import POISSON, interval, statistic
from metrics import Measured, predict_codes

METRICS = ("roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1")


def make_rows(classes: int, rows: int = 400, seed: int = 0, decimals: int = 2) -> Measured:
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
    return Measured(codes, probabilities, predicted, tuple(map(str, range(classes))), classes)


def of_scikit_learn(metric: str, rows: Measured, weights: np.ndarray) -> float:
    kept = weights > 0
    y, p, predicted, w = rows.codes[kept], rows.probabilities[kept], rows.predicted[kept], weights[kept]
    labels = [1] if rows.known == 2 else list(range(rows.known))
    each: dict[str, Callable[[], float]] = {
        "roc_auc": lambda: np.mean([roc_auc_score(y == c, p[:, c], sample_weight=w) for c in labels]),
        "average_precision": lambda: np.mean(
            [average_precision_score(y == c, p[:, c], sample_weight=w) for c in labels]
        ),
        "log_loss": lambda: log_loss(y, p, labels=range(rows.known), sample_weight=w),
        "brier_score": lambda: (
            brier_score_loss(y, p[:, 1], sample_weight=w, pos_label=1)
            if rows.known == 2
            else brier_score_loss(y, p, labels=range(rows.known), sample_weight=w)
        ),
        "accuracy": lambda: accuracy_score(y, predicted, sample_weight=w),
        "precision": lambda: precision_score(y, predicted, labels=labels, average="macro", sample_weight=w),
        "recall": lambda: recall_score(y, predicted, labels=labels, average="macro", sample_weight=w),
        "f1": lambda: f1_score(y, predicted, labels=labels, average="macro", sample_weight=w),
    }
    return float(each[metric]())


def of_drawn(metric: str, rows: Measured, index: np.ndarray) -> float:
    """A figure of two classes by its definition, for rows that were drawn."""
    y, p = rows.codes[index], rows.probabilities[index, 1]
    if metric == "log_loss":
        return float(-np.log(np.where(y == 1, p, 1 - p)).mean())
    if metric == "accuracy":
        return float(((p >= 0.4) == y).mean())
    own = int(y.sum())  # the Mann-Whitney statistic, from the ranks
    return float((stats.rankdata(p)[y == 1].sum() - own * (own + 1) / 2) / own / (len(y) - own))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_figure_of_a_draw_is_scikit_learns_with_the_same_weights(metric: str, classes: int) -> None:
    rows = make_rows(classes)
    figure = statistic(metric, rows)
    for seed in range(5):
        weights = np.random.default_rng(seed).poisson(1.0, len(rows.codes)).astype(np.uint8)
        assert figure(weights).mean() == pytest.approx(of_scikit_learn(metric, rows, weights), abs=1e-12)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "accuracy"])
def test_interval_is_that_of_scipys_paired_bootstrap(metric: str) -> None:
    ours, theirs = make_rows(2, 600, seed=1, decimals=6), make_rows(2, 600, seed=1, decimals=6)
    noise = np.random.default_rng(5).normal(size=600) * 0.15
    p = np.clip(theirs.probabilities[:, 1] + noise, 0.001, 0.999)
    theirs = Measured(ours.codes, np.column_stack([1 - p, p]), (p >= 0.4).astype(int), ours.classes, 2)
    bounds, rows = interval(metric, ours, theirs, resamples=3000, confidence=0.9)

    def difference(index: np.ndarray) -> float:
        return of_drawn(metric, ours, index.astype(int)) - of_drawn(metric, theirs, index.astype(int))

    expected = stats.bootstrap(
        (np.arange(600),), difference, n_resamples=3000, confidence_level=0.9, method="percentile",
        vectorized=False, rng=np.random.default_rng(9),
    )  # fmt: skip
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert rows == 600
    assert bounds[0] == pytest.approx(expected.confidence_interval.low, abs=0.1 * width)
    assert bounds[1] == pytest.approx(expected.confidence_interval.high, abs=0.1 * width)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 3])
def test_interval_of_a_model_and_itself_is_zero(metric: str, classes: int) -> None:
    rows = make_rows(classes)
    assert interval(metric, rows, rows, resamples=50, confidence=0.95)[0] == [0, 0]


def test_interval_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = make_rows(3, 3000), make_rows(3, 3000, seed=0, decimals=0)
    found = []
    for cpus in (1, 2, 7):
        monkeypatch.setattr(bootstrap, "available_cpus", lambda cpus=cpus: cpus)
        found.append(interval("average_precision", ours, theirs, resamples=40, confidence=0.95))
    assert found[0] == found[1] == found[2]


def test_narrower_confidence_lies_within_the_wider_one() -> None:
    ours, theirs = make_rows(2, 500), make_rows(2, 500, decimals=1)
    (low, high), _ = interval("roc_auc", ours, theirs, resamples=400, confidence=0.5)
    (lowest, highest), _ = interval("roc_auc", ours, theirs, resamples=400, confidence=0.99)
    assert lowest < low < high < highest


def test_weights_are_poisson_distributed() -> None:
    shares = np.bincount(POISSON, minlength=5) / len(POISSON)
    assert shares[:6] == pytest.approx(stats.poisson(1).pmf(range(6)), abs=2e-5)
    assert (POISSON.mean(), POISSON.var()) == pytest.approx((1, 1), abs=1e-3)


def test_draws_that_miss_a_class_do_not_count() -> None:
    codes = np.zeros(30, int)
    codes[0] = 1  # in a draw with probability 0.63
    scores = [np.linspace(0.1, 0.9, 30), np.linspace(0.9, 0.1, 30)]
    sides = [Measured(codes, np.column_stack([1 - s, s]), (s > 0.5).astype(int), ("0", "1"), 2) for s in scores]
    assert interval("roc_auc", *sides, resamples=200, confidence=0.95)[0] == [-1, -1]
    assert interval("recall", *sides, resamples=200, confidence=0.95)[0] == [-1, -1]


def test_many_rows_are_sampled_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "MOST_RANKED", 900)
    ours, theirs = make_rows(3, 1000), make_rows(3, 1000, decimals=0)
    assert interval("roc_auc", ours, theirs, resamples=10, confidence=0.9)[1] == 300
    assert interval("accuracy", ours, theirs, resamples=10, confidence=0.9)[1] == 900
