"""Draws days from scored days without a fault, and with one, and applies the rules of `evaluate` and `confirm` to them.

Usage: alarms.py MODEL ROWS QUARTERS TRIALS DAY [DAY ...], in prediction's image. Each drawn day has ROWS rows of one
DAY, with replacement, so that it has that day's own pattern. Prints one JSON object.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from stagekit import read_partition
from stagekit.contract import read_document, read_encoder

from breaches import find_breaches
from confirm import confirm_breaches
from drift import Bins, psi, psi_by_chance, read_bins, score_of
from intervals import intervals
from lightgbm_model import features_that_read_missing_as_zero
from metrics import FIGURES, LabelledRows, predict_codes
from rules import MONITORING
from scoring import load_trees, open_features

ROOT, QUARTER, LONGEST, SEED = Path("/data"), 90, 30, 1
MOVED, TIMES, SPOILT = "amount", 3.0, 0.6


@dataclass(frozen=True)
class Pool:
    """The rows of a real scored day: values, probabilities, true codes; the share of rows that were rejected."""

    features: np.ndarray
    probabilities: np.ndarray
    codes: np.ndarray
    rejected: float


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

    def breaches(self, pool: Pool, rows: int, draw: np.random.Generator, *, evidence: bool) -> list[dict[str, Any]]:
        """The breaches of a day of so many rows of a pool; without evidence every limit is a bare number."""
        drawn = draw.integers(0, len(pool.codes), rows)
        probabilities = pool.probabilities[drawn]
        predicted = predict_codes(probabilities, self.trained["threshold"])
        labelled = LabelledRows(pool.codes[drawn], probabilities, predicted, self.encoder.classes, 2)
        drift = [
            {
                **one,
                **self._shares(one, bins, pool.features[drawn, number], MONITORING["feature_psi"], evidence=evidence),
            }
            for number, (one, bins) in enumerate(self.features)
        ]
        score = self._shares(*self.score, score_of(probabilities), MONITORING["score_psi"], evidence=evidence)
        evaluation = {
            "rows": rows,
            "trained_on_day": False,
            "missing_as_zero": self._missing_as_zero(pool.features[drawn]),
            "target": {"rows": 0},
            "metrics": self._metrics(labelled, evidence=evidence),
            "trained": self.trained if evidence else {**self.trained, "class_rows": None},
            "drift": {"features": drift, "score": score},
            "quality": {"rows_in": rows, "rejected": {"data.csv": int(draw.binomial(rows, pool.rejected))}},
        }
        rules = MONITORING if evidence else {**MONITORING, "confidence": 1e-9}
        return find_breaches(evaluation, rules)

    def _missing_as_zero(self, features: np.ndarray) -> dict[str, int]:
        counts = np.isnan(features[:, self.read_as_zero]).sum(axis=0).tolist()
        return {
            self.encoder.feature_names[one]: rows for one, rows in zip(self.read_as_zero, counts, strict=True) if rows
        }

    def _shares(self, one: Any, bins: Bins, values: np.ndarray, limit: float, *, evidence: bool) -> dict[str, Any]:
        """PSI, and what chance explains where it matters: below the limit it cannot."""
        actual = bins.count(values).tolist()
        value = float(psi(*(np.array(counts) / sum(counts) for counts in (one["counts"], actual))))
        needed = evidence and value > limit
        by_chance = psi_by_chance(one["counts"], actual, MONITORING["confidence"]) if needed else 0.0
        return {"psi": value, "by_chance": by_chance}

    def _metrics(self, rows: LabelledRows, *, evidence: bool) -> dict[str, Any]:
        metrics = dict.fromkeys([MONITORING["metric"], *MONITORING["floors"]])
        values = {name: FIGURES[name](rows) for name in metrics}
        bare = {name: None if value is None else [value, value] for name, value in values.items()}
        counts = np.bincount(rows.codes, minlength=2).tolist()
        return {
            **values,
            "rows": len(rows.codes),
            "class_rows": dict(zip(rows.classes, counts, strict=True)),
            "intervals": intervals(rows, MONITORING["confidence"]) if evidence else bare,
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


FAULTS = {"drift": drift, "quality": quality, "empty": empty, "flip": flip}


def alarms(days: Iterator[Sequence[dict[str, Any]]], rule: Mapping[str, int]) -> Iterator[set[tuple[str, str]]]:
    """What is alarmed on each day, as `confirm` decides it from the days before."""
    found: dict[str, Sequence[dict[str, Any]]] = {}
    for number, breaches in enumerate(days):
        found = {str(number): breaches, **dict(list(found.items())[: rule["of"] - 1])}
        yield {(one["what"], one["subject"]) for one in confirm_breaches(found, rule)["confirmed"]}


def false_alarms(watch: Watch, pools: Sequence[Pool], rows: int, quarters: int, *, evidence: bool) -> float:
    """Alarms per quarter without a fault; an alarm that goes on is one."""
    draw, rule = np.random.default_rng(SEED), MONITORING["days"] if evidence else {"agree": 1, "of": 1}
    begun = 0
    for _ in range(quarters):
        days = (watch.breaches(pools[day % len(pools)], rows, draw, evidence=evidence) for day in range(QUARTER))
        before: set[tuple[str, str]] = set()
        for now in alarms(days, rule):
            begun += bool(now - before)
            before = now
    return begun / quarters


def days_to_find(watch: Watch, pools: Sequence[Pool], rows: int, trials: int) -> list[int | None]:
    """For each trial, the number of days with a fault until the first alarm; None after LONGEST days."""
    draw = np.random.default_rng(SEED)
    found: list[int | None] = []
    for trial in range(trials):
        days = (watch.breaches(pools[(trial + day) % len(pools)], rows, draw, evidence=True) for day in range(LONGEST))
        found.append(next((day for day, now in enumerate(alarms(days, MONITORING["days"]), start=1) if now), None))
    return found


def main() -> None:
    name, rows, quarters, trials, *days = sys.argv[1:]
    watch = Watch(name)
    pools = [watch.pool(ds) for ds in days]
    draw = np.random.default_rng(SEED)
    result: dict[str, Any] = {
        "rows": int(rows),
        "without": false_alarms(watch, pools, int(rows), int(quarters), evidence=False),
        "with": false_alarms(watch, pools, int(rows), int(quarters), evidence=True),
    }
    for fault, spoil in FAULTS.items():
        spoilt = [spoil(watch, pool, draw) for pool in pools]
        result[fault] = days_to_find(watch, spoilt, int(rows), int(trials))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
