"""What an expert would doubt about a validated model, as the sentences of a result line's `warnings`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata
from stagekit.contract import CATEGORY, Encoder, Feature

from metrics import effective_rows

# With fewer rows some feature separates the classes by chance: of 30 rows with 5 of a class, one in 70,000 does.
LEAST_ROWS, LEAST_OF_CLASS = 30, 5
# What a feature alone must reach to decide the target: the area under the ROC curve, or the share of right classes.
DECIDES, LEAST_RECALL = 0.999, 0.99
MOST_ROWS, MOST_VALUES, MOST_NAMES, SEED = 100_000, 256, 5, 20260101
# How far probabilities may be from what came true: on average over the rows, and as a factor of the mean.
MOST_GAP, MOST_FACTOR, ERRORS = 0.05, 1.5, 3.0


def find_warnings(
    encoder: Encoder,
    features: np.ndarray,
    codes: np.ndarray,
    figures: Mapping[str, Any],
    weights: np.ndarray | None = None,
) -> list[str]:
    """The warnings on a model, from its validation rows and its `metrics.json`.

    `features` is float64 of shape (rows, features), `codes` the true class codes (rows,), `weights` those of the rows.
    """
    informative = 1.0 if weights is None else effective_rows(weights) / len(weights)
    return [*_on_deciding_features(encoder, features, codes), *_on_calibration(figures["calibration"], informative)]


def _on_deciding_features(encoder: Encoder, features: np.ndarray, codes: np.ndarray) -> Iterator[str]:
    """Features that alone say the class of almost every row: mostly something that is known only afterwards."""
    step = -(-len(codes) // MOST_ROWS)
    features, codes = features[::step], codes[::step]
    counts = np.bincount(codes, minlength=len(encoder.classes))
    if len(codes) < LEAST_ROWS or min(counts.max(), len(codes) - counts.max()) < LEAST_OF_CLASS:
        return
    equal, decide = [], []
    for number, feature in enumerate(encoder.features):
        values = features[:, number]
        if _equals(feature, values, encoder.classes, codes):
            equal.append(feature.name)
        elif _orders(values, codes, counts) or _names(values, codes, counts):
            decide.append(feature.name)
    doubt = "is it known before the class is?"
    if equal:
        yield f"{_listed(equal)} equals the target in at least {DECIDES:.1%} of the validation rows: {doubt}"
    if decide:
        yield f"{_listed(decide)} alone decides the target in at least {DECIDES:.1%} of the validation rows: {doubt}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def _equals(feature: Feature, values: np.ndarray, classes: Sequence[str], codes: np.ndarray) -> bool:
    """Whether the value is the class itself."""
    named = {name: code for code, name in enumerate(feature.values)}
    try:
        of_class = [named.get(name, math.nan) if feature.kind == CATEGORY else float(name) for name in classes]
    except ValueError:
        return False
    return bool((values == np.array(of_class)[codes]).mean() >= DECIDES)


def _orders(values: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> bool:
    """Whether a limit on the value separates some class from the rest: the area under the ROC curve, by the ranks."""
    ranks = rankdata(np.where(np.isnan(values), -np.inf, values))
    own, others = counts.astype(float), len(codes) - counts.astype(float)
    enough = (own >= LEAST_OF_CLASS) & (others >= LEAST_OF_CLASS)
    above = np.bincount(codes, weights=ranks, minlength=len(counts)) - own * (own + 1) / 2
    areas = above[enough] / (own * others)[enough]
    return bool((np.abs(areas - 0.5) >= DECIDES - 0.5).any())


def _names(values: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> bool:
    """Whether each of a few values has its class: learned from one half of the rows, checked with the other."""
    distinct, known = np.unique(values, return_inverse=True, equal_nan=True)
    if len(distinct) > MOST_VALUES:
        return False
    table = np.zeros((len(distinct), len(counts)), dtype=np.int64)
    learn, test = np.array_split(np.random.default_rng(SEED).permutation(len(codes)), 2)
    np.add.at(table, (known[learn], codes[learn]), 1)
    right = table.argmax(axis=1)[known[test]] == codes[test]
    tested = np.bincount(codes[test], minlength=len(counts))
    recall = np.bincount(codes[test], weights=right, minlength=len(counts))[tested > 0] / tested[tested > 0]
    return bool(right.mean() >= DECIDES and recall.min() >= LEAST_RECALL)


def _on_calibration(groups: Sequence[Mapping[str, float]], informative: float) -> Iterator[str]:
    """Probabilities that do not come true, by more than so few rows explain (Guo and others, ICML 2017, section 2).

    `informative` is how much a weighted row says, as a share of what a row says if all have the same weight.
    """
    rows, predicted, observed = (
        np.array([one[key] for one in groups]) for key in ("rows", "mean_predicted", "observed")
    )
    weight = np.array([one.get("weight", one["rows"]) for one in groups])
    share, variance = weight / weight.sum(), predicted * (1 - predicted) / (rows * informative)
    gap, by_chance = share @ np.abs(predicted - observed), share @ np.sqrt(2 / np.pi * variance)
    mean, true = share @ predicted, share @ observed
    error = ERRORS * math.sqrt((share**2) @ variance)
    far = abs(mean - true) > error and max(mean, true) > MOST_FACTOR * min(mean, true)
    if far or gap - ERRORS * by_chance > MOST_GAP:
        yield (
            f"probabilities are far from calibrated: on average {mean:.3g}, and {true:.3g} came true; in groups of "
            f"similar rows the two differ by {gap:.3g}. Use them to rank rows, not as probabilities"
        )
