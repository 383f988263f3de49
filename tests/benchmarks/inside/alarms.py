"""Draws days from scored days without a fault, and with one, and applies the rules of `evaluate` and `confirm` to them.

Usage: alarms.py MODEL ROWS QUARTERS TRIALS DAY [DAY ...], in prediction's image. Each drawn day has ROWS rows of one
DAY, with replacement, so that it has that day's own pattern. Prints one JSON object.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import set_config
from stagekit import read_partition
from stagekit.contract import read_document, read_encoder

import pooling
from breaches import UNUSABLE, find_breaches, find_crossed
from confirm import decide
from drift import Bins, psi, psi_by_chance, read_bins, score_of
from intervals import intervals
from lightgbm_model import features_that_read_missing_as_zero
from metrics import FIGURES, LabelledRows, predict_codes
from pooling import describe_labelled
from rules import MONITORING
from scoring import load_trees, open_features

ROOT, QUARTER, LONGEST, SEED = Path("/data"), 90, 30, 1
MOVED, TIMES, SPOILT, REJECTED, UNREADABLE = "amount", 3.0, 0.6, 1 / 6, 0.3
# Numbers of draws, and how many above a PSI are enough to show that far more than one in a thousand are.
FEW_DRAWS = ((24, 8), (600, 20), (4_000, 20))


def explained(expected: Sequence[int], actual: Sequence[int], confidence: float) -> float:
    """What `psi_by_chance` says, or the PSI itself if a few draws show that chance explains it: no breach either way.

    All draws for each PSI would take most of the time.
    """
    counts = [np.asarray(expected), np.asarray(actual)]
    found, together = float(psi(*(part / part.sum() for part in counts))), sum(counts) / sum(map(sum, counts))
    draw, limit = np.random.default_rng(SEED), min(MONITORING["feature_psi"], MONITORING["score_psi"])
    for draws, enough in FEW_DRAWS:
        drawn = [draw.multinomial(part.sum(), together, size=draws) / part.sum() for part in counts]
        if np.count_nonzero(psi(*drawn) > found - limit) >= enough:
            return found
    return psi_by_chance(expected, actual, confidence)


@dataclass(frozen=True)
class Pool:
    """The rows of a real scored day: values, probabilities, codes; the shares of rejected rows, unreadable labels."""

    features: np.ndarray
    probabilities: np.ndarray
    codes: np.ndarray
    rejected: float
    unreadable: float = 0.0


class Watch:
    """A model and its baseline, and the rules."""

    def __init__(self, name: str) -> None:
        model = read_partition(ROOT, name, ["model.txt", "encoder.json", "metrics.json", "baseline.json"])
        self.encoder, self.trained = read_encoder(model), read_document(model, "metrics.json")
        self.trees = load_trees(model, self.encoder)
        self.read_as_zero = sorted(features_that_read_missing_as_zero(model / "model.txt"))
        baseline = read_document(model, "baseline.json")
        self.features = [(one, read_bins(one)) for one in baseline["features"]]
        self.score = (baseline["score"], read_bins(baseline["score"], missing=False))

    def pool(self, ds: str) -> Pool:
        """The rows of a scored day whose label is known."""
        features = read_partition(ROOT, f"features/{ds}", ["features.csv"])
        chunks = list(open_features(features, self.encoder))
        keys = [key for chunk in chunks for key in zip(*chunk.texts, strict=True)]
        values = np.concatenate([chunk.numbers for chunk in chunks])
        with (ROOT / f"labels/{ds}/labels.csv").open(newline="") as file:
            known = {tuple(row[:-1]): self.encoder.classes.index(row[-1]) for row in list(csv.reader(file))[1:]}
        rows = [number for number, key in enumerate(keys) if key in known]
        codes = np.array([known[keys[number]] for number in rows])
        counted = features.step("features.csv")["result"]
        share = sum(counted["rejected"].values()) / counted["rows_in"]
        return Pool(values[rows], self.trees.probabilities(values[rows]), codes, share)

    def evaluation(self, pool: Pool, rows: int, draw: np.random.Generator) -> dict[str, Any]:
        """The evaluation of a day of so many rows of a pool, as far as the rules look at it."""
        drawn = draw.integers(0, len(pool.codes), rows)
        probabilities = pool.probabilities[drawn]
        predicted = predict_codes(probabilities, self.trained["threshold"])
        unreadable = int(draw.binomial(rows, pool.unreadable))
        columns = (values[unreadable:] for values in (pool.codes[drawn], probabilities, predicted))
        labelled = LabelledRows(*columns, self.encoder.classes, 2)
        drift = [
            {**one, **self._shares(one, bins, pool.features[drawn, number], MONITORING["feature_psi"])}
            for number, (one, bins) in enumerate(self.features)
        ]
        score = {**self.score[0], **self._shares(*self.score, score_of(probabilities), MONITORING["score_psi"])}
        evaluation = {
            "ds": "a day",
            "model": {},
            "rows": rows,
            "trained_on_day": False,
            "missing_as_zero": self._missing_as_zero(pool.features[drawn]),
            "target": dict.fromkeys(UNUSABLE, 0) | {"rows": rows, "unreadable": unreadable, "examples": []},
            "metrics": self._metrics(labelled),
            "labelled": describe_labelled(labelled),
            "trained": self.trained,
            "drift": {"features": drift, "score": score},
            "quality": {"rows_in": rows, "rejected": {"data.csv": int(draw.binomial(rows, pool.rejected))}},
        }
        return {**evaluation, "breaches": find_breaches(evaluation, MONITORING)}

    def _missing_as_zero(self, features: np.ndarray) -> dict[str, int]:
        counts = np.isnan(features[:, self.read_as_zero]).sum(axis=0).tolist()
        return {
            self.encoder.feature_names[one]: rows for one, rows in zip(self.read_as_zero, counts, strict=True) if rows
        }

    def _shares(self, one: Any, bins: Bins, values: np.ndarray, limit: float) -> dict[str, Any]:
        """What `compare_shares` says; what chance explains only above the limit, where it matters."""
        actual = bins.count(values).tolist()
        shares = [np.array(counts) / sum(counts) for counts in (one["counts"], actual)]
        value = float(psi(*shares))
        by_chance = explained(one["counts"], actual, MONITORING["confidence"]) if value > limit else 0.0
        expected, found = (share.tolist() for share in shares)
        return {"expected": expected, "actual": found, "psi": value, "by_chance": by_chance}

    def _metrics(self, rows: LabelledRows) -> dict[str, Any]:
        counts = np.bincount(rows.codes, minlength=2).tolist()
        values = {name: FIGURES[name](rows) for name in {MONITORING["metric"], *MONITORING["floors"]}}
        return {
            **values,
            "rows": len(rows.codes),
            "class_rows": dict(zip(rows.classes, counts, strict=True)),
            "intervals": intervals(rows, MONITORING["confidence"], values),
        }


def drift(watch: Watch, pool: Pool, _: np.random.Generator) -> Pool:
    """The amounts are three times as large."""
    return _with_values(watch, pool, lambda values: values * TIMES)


def empty(watch: Watch, pool: Pool, _: np.random.Generator) -> Pool:
    """The amounts are missing."""
    return _with_values(watch, pool, lambda values: np.full_like(values, np.nan))


def quality(_: Watch, pool: Pool, draw: np.random.Generator) -> Pool:
    """The scores of six rows in ten are those of other rows."""
    probabilities = pool.probabilities.copy()
    spoilt = np.flatnonzero(draw.random(len(probabilities)) < SPOILT)
    probabilities[spoilt] = probabilities[draw.permutation(spoilt)]
    return replace(pool, probabilities=probabilities)


def flip(_: Watch, pool: Pool, __: np.random.Generator) -> Pool:
    """The labels are the wrong way round."""
    return replace(pool, codes=1 - pool.codes)


def _with_values(watch: Watch, pool: Pool, change: Callable[[np.ndarray], np.ndarray]) -> Pool:
    values = pool.features.copy()
    column = watch.encoder.feature_names.index(MOVED)
    values[:, column] = change(values[:, column])
    return replace(pool, features=values, probabilities=watch.trees.probabilities(values))


def rejected(_: Watch, pool: Pool, __: np.random.Generator) -> Pool:
    """One row in six is rejected."""
    return replace(pool, rejected=REJECTED)


def unreadable(_: Watch, pool: Pool, __: np.random.Generator) -> Pool:
    """Three labels in ten cannot be read."""
    return replace(pool, unreadable=UNREADABLE)


FAULTS = {
    **{"drift": drift, "quality": quality, "empty": empty, "flip": flip},
    **{"rejected": rejected, "unreadable": unreadable},
}


def alarms(day: dict[str, Any], before: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
    """What is alarmed on a day, as `confirm` decides it with the days before, the newest first."""
    return {(one["what"], one["subject"]) for one in decide(iter([day, *before]), MONITORING)[0]}


def bare_alarms(day: dict[str, Any]) -> set[tuple[str, str]]:
    """What is alarmed on a day if every limit is a bare number."""
    return {(one["what"], one["subject"]) for one, _ in find_crossed(day, MONITORING)}


def false_alarms(watch: Watch, pools: Sequence[Pool], rows: int, quarters: int) -> dict[str, float]:
    """Alarms per quarter without a fault, by the rules and by limits alone; an alarm that goes on is one."""
    draw = np.random.default_rng(SEED)
    begun: Counter[str] = Counter()
    for _ in range(quarters):
        days: list[dict[str, Any]] = []
        alarmed: dict[str, set[tuple[str, str]]] = {"with": set(), "without": set()}
        for number in range(QUARTER):
            day = watch.evaluation(pools[number % len(pools)], rows, draw)
            now = {"with": alarms(day, days), "without": bare_alarms(day)}
            begun.update(name for name in now if now[name] - alarmed[name])
            days, alarmed = [day, *days[: MONITORING["days"] - 1]], now
    return {name: begun[name] / quarters for name in ("with", "without")}


def days_to_find(
    watch: Watch, pools: Sequence[Pool], spoilt: Sequence[Pool], rows: int, trials: int
) -> list[int | None]:
    """For each trial, the number of days with a fault until the first alarm; None after LONGEST days."""
    draw = np.random.default_rng(SEED)
    return [_days_of_trial(watch, trial, pools, spoilt, rows, draw) for trial in range(trials)]


def _days_of_trial(
    watch: Watch,
    trial: int,
    pools: Sequence[Pool],
    spoilt: Sequence[Pool],
    rows: int,
    draw: np.random.Generator,
) -> int | None:
    sound: list[dict[str, Any]] = []
    faulty: list[dict[str, Any]] = []

    def before() -> Iterator[dict[str, Any]]:
        """The days without the fault, the newest first, each made when it is first looked at."""
        for number in range(MONITORING["days"]):
            if number == len(sound):
                sound.append(watch.evaluation(pools[(trial - 1 - number) % len(pools)], rows, draw))
            yield sound[number]

    for day in range(LONGEST):
        faulty.insert(0, watch.evaluation(spoilt[(trial + day) % len(pools)], rows, draw))
        if decide(chain(faulty, before()), MONITORING)[0]:
            return day + 1
    return None


def main() -> None:
    name, rows, quarters, trials, *days = sys.argv[1:]
    pooling.psi_by_chance = explained
    set_config(assume_finite=True, skip_parameter_validation=True)  # these checks would take half of the time
    watch = Watch(name)
    pools = [watch.pool(ds) for ds in days]
    draw = np.random.default_rng(SEED)
    result: dict[str, Any] = {"rows": int(rows), **false_alarms(watch, pools, int(rows), int(quarters))}
    for fault, spoil in FAULTS.items():
        spoilt = [spoil(watch, pool, draw) for pool in pools]
        result[fault] = days_to_find(watch, pools, spoilt, int(rows), int(trials))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
