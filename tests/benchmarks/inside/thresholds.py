"""What thresholds of costs are worth on a later day: chosen by the labels of validation rows, or by their chances.

Usage: thresholds.py DAY LATER ROWS, in prediction's image. The validation rows of the model of DAY are cut into sets of
ROWS rows, each of which chooses. Prints one JSON object: for each pair of costs and each way to choose, how much more
than the best threshold of LATER each chosen one costs there, as a share; `all` is of all validation rows at once.
"""

import json
import sys
from collections.abc import Sequence

import numpy as np
from alarms import ROOT, Watch
from stagekit import read_partition

from decision import cheapest_threshold, costs_of_rows
from estimate import calibrated, fit_calibrator
from scoring import read_validation

SEED = 1
COSTS: Sequence[tuple[float, float | str]] = ((5, "amount"), (2, "amount"), (5, 100), (1, 10), (1, 5))


def regret(codes: np.ndarray, scores: np.ndarray, costs: np.ndarray, threshold: float) -> float:
    """How much more a threshold costs than the best one, as a share of the best's cost."""
    order = np.argsort(-scores, kind="stable")
    change = np.where(codes == 1, -costs[:, 1], costs[:, 0])[order]
    totals = costs[codes == 1, 1].sum() + np.append(0.0, np.cumsum(change))
    ends = np.append(np.diff(-scores[order], prepend=-np.inf) > 0, True)  # rows of equal scores go together
    positive = int((scores >= threshold).sum())
    return float(totals[positive] / totals[ends].min() - 1)


def chances_of(codes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """As `validate` has them."""
    calibrator = fit_calibrator(codes, scores)
    assert calibrator
    return calibrated(scores, calibrator)


def main() -> None:
    ds, later, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    watch = Watch(f"models/{ds}")
    encoder, day = watch.encoder, watch.pool(later)
    names = encoder.feature_names
    rows = read_validation(
        read_partition(ROOT, f"processed/{ds}", ["val.csv"]), encoder.target, encoder.classes, [], names
    )
    scores = watch.trees.probabilities(rows.features)[:, 1]
    order = np.random.default_rng(SEED).permutation(len(scores))
    sets = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    result = {}
    for false_positive, false_negative in COSTS:
        costs = {"false_positive": false_positive, "false_negative": false_negative}
        of_rows, of_day = (costs_of_rows(costs, names, one.features) for one in (rows, day))

        found: dict[str, list[float]] = {"labels": [], "chances": [], "all": []}
        for some, ways in [(order, ["all"]), *((some, ["labels", "chances"]) for some in sets)]:
            for way in ways:
                chances = chances_of(rows.codes[some], scores[some]) if way == "chances" else rows.codes[some]
                threshold = cheapest_threshold(of_rows[some], chances, scores[some], None)
                found[way].append(round(regret(day.codes, day.probabilities[:, 1], of_day, threshold), 6))
        result[f"{false_positive} / {false_negative}"] = found
    print(json.dumps(result))


if __name__ == "__main__":
    main()
