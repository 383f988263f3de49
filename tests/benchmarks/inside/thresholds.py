"""What thresholds of costs are worth later: chosen by the labels of validation rows, or by their chances.

Usage: thresholds.py DAY LATER ROWS DAYS, in prediction's image. The validation rows of the model of DAY are cut into
sets of ROWS rows, each of which chooses. LATER has the rows of so many DAYS. Prints one JSON object: for each pair of
costs, how much more than the best threshold in hindsight costs what was chosen, as shares. `labels` and `chances` are
of all of LATER, for each set; `all` is of the labels of all validation rows at once. `of days` is that of `chances` on
single days, for each set and day; `best of days` is that of the best threshold of all of LATER on single days.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from alarms import ROOT, Watch
from stagekit import read_partition

from decision import cheapest_threshold, costs_of_rows
from estimate import calibrated, fit_calibrator
from scoring import read_validation

SEED = 1
COSTS: Sequence[tuple[float, float | str]] = ((5, "amount"), (2, "amount"), (5, 100), (1, 10), (1, 5))


@dataclass(frozen=True)
class Hindsight:
    """What each threshold costs on some rows whose labels are known."""

    scores: np.ndarray  # from the highest
    totals: np.ndarray  # with so many rows positive, from the highest score
    ends: np.ndarray  # whether a threshold can have so many: rows of equal scores go together

    def best(self) -> float:
        """The threshold that costs least."""
        positive = int(np.flatnonzero(self.ends)[np.argmin(self.totals[self.ends])])
        return float(self.scores[positive - 1]) if positive else float("inf")

    def regret(self, threshold: float) -> float:
        """How much more a threshold costs than the best one, as a share of the best's cost."""
        positive = int((self.scores >= threshold).sum())
        return round(float(self.totals[positive] / self.totals[self.ends].min() - 1), 6)


def hindsight(codes: np.ndarray, scores: np.ndarray, costs: np.ndarray) -> Hindsight:
    order = np.argsort(-scores, kind="stable")
    change = np.where(codes == 1, -costs[:, 1], costs[:, 0])[order]
    totals = costs[codes == 1, 1].sum() + np.append(0.0, np.cumsum(change))
    ends = np.append(np.diff(-scores[order], prepend=-np.inf) > 0, True)
    return Hindsight(scores[order], totals, ends)


def chances_of(codes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """As `validate` has them."""
    calibrator = fit_calibrator(codes, scores)
    assert calibrator
    return calibrated(scores, calibrator)


def main() -> None:
    ds, later, size, days = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    watch = Watch(f"models/{ds}")
    encoder, pool = watch.encoder, watch.pool(later)
    names = encoder.feature_names
    rows = read_validation(
        read_partition(ROOT, f"processed/{ds}", ["val.csv"]), encoder.target, encoder.classes, [], names
    )
    scores = watch.trees.probabilities(rows.features)[:, 1]
    random = np.random.default_rng(SEED)
    order = random.permutation(len(scores))
    sets = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    rows_of_days = np.array_split(random.permutation(len(pool.codes)), days)
    result = {}
    for false_positive, false_negative in COSTS:
        costs = {"false_positive": false_positive, "false_negative": false_negative}
        of_rows, of_pool = (costs_of_rows(costs, names, one.features) for one in (rows, pool))
        whole, *single = (
            hindsight(pool.codes[some], pool.probabilities[some, 1], of_pool[some])
            for some in (np.arange(len(pool.codes)), *rows_of_days)
        )

        def choose(some: np.ndarray, chances: np.ndarray, of_rows: np.ndarray = of_rows) -> float:
            return cheapest_threshold(of_rows[some], chances, scores[some], None)

        by_labels = [choose(some, rows.codes[some]) for some in sets]
        by_chances = [choose(some, chances_of(rows.codes[some], scores[some])) for some in sets]
        result[f"{false_positive} / {false_negative}"] = {
            "labels": [whole.regret(threshold) for threshold in by_labels],
            "chances": [whole.regret(threshold) for threshold in by_chances],
            "all": [whole.regret(choose(order, rows.codes[order]))],
            "of days": [day.regret(threshold) for day in single for threshold in by_chances],
            "best of days": [day.regret(whole.best()) for day in single],
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
