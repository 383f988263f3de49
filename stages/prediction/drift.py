"""How far a day has moved from the validation rows: the population stability index of each feature, and of the score.

PSI = sum over the bins of (a - e) ln(a / e), e and a being the expected and the actual share of the rows in a bin
(Siddiqi, Credit Risk Scorecards, 2006, chapter 6). It is 0 for equal shares and never negative; 0.1 is a small
change and 0.25 a large one. A share counts as at least 0.0001, or an empty bin would make it infinite.

Few rows move by chance alone: without any change, PSI is about (1/n + 1/N) times a chi-square variable with one
degree of freedom less than there are bins, for n rows against N (Yurdakul and Naranjo, Statistical properties of the
population stability index, Journal of Risk Model Validation 14, 2020). That holds for large n only: of 30 rows a decile
is often empty, which counts 0.7 by the smallest share. So what chance explains is drawn, not approximated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from stagekit.contract import CATEGORY, Encoder, Feature

from metrics import rounded

SMALLEST_SHARE = 1e-4
# Pairs of samples without a change are drawn to see how large PSI gets: so many that ten lie beyond the quantile. With
# fewer, the quantile is one of the last that were drawn, which chance exceeds more often than it should.
BEYOND, MOST_DRAWS, SEED = 10, 100_000, 20260101
DECILES = np.arange(1, 10) / 10
MOST_CATEGORIES = 15
MOST_CODES = 256
MISSING, OTHER = "missing", "other"


@dataclass(frozen=True)
class Bins:
    """The bins of a histogram: by inner `edges`, each the last value of its bin, or by each bin's category `codes`.

    With `missing` the last bin is for missing values, and for categories that are in no other bin.
    """

    labels: tuple[str, ...]
    edges: tuple[float, ...] | None = None
    codes: tuple[tuple[int, ...], ...] = ()
    missing: bool = True

    def count(self, values: np.ndarray) -> np.ndarray:
        """The rows in each bin, int64 of shape (labels,), for float64 values; NaN is missing."""
        last = len(self.labels) - 1
        if self.edges is None:
            of_code = np.full(MOST_CODES + 1, last)
            for number, of_bin in enumerate(self.codes):
                of_code[list(of_bin)] = number
            codes = np.trunc(values)  # as the model reads them
            known = (codes >= 0) & (codes < MOST_CODES)
            bins = of_code[np.where(known, codes, MOST_CODES).astype(np.intp)]
        else:
            bins = np.where(np.isnan(values), last, np.searchsorted(np.array(self.edges), values, side="left"))
        return np.bincount(bins, minlength=last + 1)

    def describe(self) -> dict[str, Any]:
        """The bins as `baseline.json` has them."""
        by = {"codes": list(map(list, self.codes))} if self.edges is None else {"edges": list(self.edges)}
        return {"labels": list(self.labels), **by}


def read_bins(document: Mapping[str, Any], *, missing: bool = True) -> Bins:
    """The bins that `describe` wrote. Errors: ValueError if labels, edges and codes do not belong together."""
    edges = None if document.get("edges") is None else tuple(document["edges"])
    codes = tuple(map(tuple, document.get("codes") or []))
    bins = Bins(tuple(document["labels"]), edges, codes, missing)
    made = len(codes) if edges is None else len(edges) + 1
    if len(bins.labels) != made + missing or any(not 0 <= code < MOST_CODES for of_bin in codes for code in of_bin):
        raise ValueError(f"{len(bins.labels)} labels for {made} bins")
    return bins


def make_bins(feature: Feature, values: np.ndarray) -> Bins:
    """The bins of a feature, from its validation rows: deciles, or the most frequent categories."""
    if feature.kind == CATEGORY:
        return _category_bins(feature, values)
    edges = _deciles(values[~np.isnan(values)])
    return Bins((*_labels(edges), MISSING), edges)


def _deciles(values: np.ndarray) -> tuple[float, ...]:
    """The distinct deciles, each a value that occurs."""
    return tuple(np.unique(np.quantile(values, DECILES, method="inverted_cdf")).tolist()) if len(values) else ()


def _labels(edges: Sequence[float]) -> list[str]:
    texts = [f"{edge:.6g}" for edge in edges]
    if not texts:
        return ["any value"]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"up to {texts[0]}", *between, f"above {texts[-1]}"]


def _category_bins(feature: Feature, values: np.ndarray) -> Bins:
    """The most frequent values, then all others, then what is missing or was never seen."""
    codes = np.trunc(values)
    known = codes[(codes >= 0) & (codes < len(feature.values))]
    counts = np.bincount(known.astype(np.intp), minlength=len(feature.values))
    by_frequency = np.argsort(-counts, kind="stable").tolist()
    frequent, others = by_frequency[:MOST_CATEGORIES], sorted(by_frequency[MOST_CATEGORIES:])
    labels = [feature.values[code] for code in frequent]
    own = [(code,) for code in frequent]
    if others:
        return Bins((*labels, OTHER, MISSING), None, (*own, tuple(others)))
    return Bins((*labels, MISSING), None, tuple(own))


def score_of(probabilities: np.ndarray) -> np.ndarray:
    """The second class's probability, or with more classes the greatest."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1)


def make_baseline(encoder: Encoder, features: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """The content of `baseline.json`: how the validation rows and their scores are spread over bins."""
    described = []
    for number, feature in enumerate(encoder.features):
        values = features[:, number]
        bins = make_bins(feature, values)
        counts = bins.count(values).tolist()
        described.append({"name": feature.name, "kind": feature.kind, **bins.describe(), "counts": counts})
    scores = score_of(probabilities)
    edges = _deciles(scores)
    of_score = Bins(tuple(_labels(edges)), edges, missing=False)
    return {
        "version": 1,
        "rows": len(features),
        "features": described,
        "score": {**of_score.describe(), "counts": of_score.count(scores).tolist()},
    }


def compare_shares(expected: Sequence[int], actual: Sequence[int], confidence: float) -> dict[str, Any]:
    """The shares of the rows in each bin, their PSI, and the PSI `by_chance`, from the rows in each bin."""
    shares = [np.asarray(counts) / max(1, sum(counts)) for counts in (expected, actual)]
    return {
        "expected": [rounded(share) for share in shares[0]],
        "actual": [rounded(share) for share in shares[1]],
        "psi": rounded(psi(*shares)),
        "by_chance": rounded(psi_by_chance(expected, actual, confidence)),
    }


def psi(expected: np.ndarray, actual: np.ndarray) -> Any:
    """The population stability index of two lists of shares, or of each pair of lists in two arrays of lists."""
    e, a = np.maximum(expected, SMALLEST_SHARE), np.maximum(actual, SMALLEST_SHARE)
    return ((a - e) * np.log(a / e)).sum(axis=-1)


def psi_by_chance(expected: Sequence[int], actual: Sequence[int], confidence: float) -> float:
    """The PSI that two samples of these sizes stay below with this confidence if nothing has changed.

    Both are drawn from the shares of all rows together, many times: the parametric bootstrap of a test of equal shares
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16). The time depends on the confidence, not
    on the rows.
    """
    sizes = sum(expected), sum(actual)
    if not all(sizes):
        return 0.0
    both = (np.asarray(expected) + np.asarray(actual)) / sum(sizes)
    draw, draws = np.random.default_rng(SEED), round(min(MOST_DRAWS, BEYOND / (1 - confidence)))
    drawn = [draw.multinomial(size, both, size=draws) / size for size in sizes]
    return float(np.quantile(psi(*drawn), confidence))
