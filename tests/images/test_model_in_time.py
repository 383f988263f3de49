"""A model serves days that come after its own: a good one separates fraud from the rest there too, and is no oracle.
The threshold that it was given for its costs, numbers or the amount of each row, is nearly the best of these days.
Where its scores still mean what they meant, what `evaluate` estimates without labels is near the truth.

Every step runs in its image, as a Dag starts it. Not the stages but this test measures the area under the ROC curve,
of the later day's predictions against that day's own target.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby
from math import log
from operator import itemgetter

import pytest

from tests.harness import ROOT, Data, data_volume

ROWS = 30_000
LATER_DAYS = (7, 60)
# Below, the features would hardly say what fraud is; above, something would give the label away.
LOWEST, HIGHEST = 0.85, 0.97
COSTS = {"false_positive": 5, "false_negative": 100}
AMOUNTS = {**COSTS, "false_negative": "amount"}
# How much more than the best threshold of a later day the chosen one may cost there, as the mean of the days: on one
# day alone, 130 frauds of the validation rows do not say more.
MOST_REGRET = 0.03
# Few large amounts decide, so these rows say less of the threshold (docs/decisions/0040-costs-are-rules.md).
MOST_REGRET_OF_AMOUNTS = 0.15
# How far an estimate may be from the figure a week later. After 60 days, risks have moved: an estimate cannot see that.
MOST_ERROR, ESTIMATED_DAYS = 0.02, 7


def roc_auc(scored: Sequence[tuple[float, bool]]) -> float:
    """The share of pairs of a positive and another row in which the positive scores higher, ties counting one half.

    From the sum of the positives' ranks, equal scores sharing their mean rank: Mann and Whitney, "On a test of
    whether one of two random variables is stochastically larger than the other", Ann. Math. Statist. 18 (1947).
    """
    ranks = 0.0
    below = 0
    for _, group in groupby(sorted(scored), key=itemgetter(0)):
        positive = [label for _, label in group]
        ranks += sum(positive) * (below + (len(positive) + 1) / 2)
        below += len(positive)
    positives = sum(label for _, label in scored)
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(scored) - positives))


def train(data: Data, ds: str, seed: int) -> None:
    """A validated model of the day."""
    data.generate(ds, f"--rows={ROWS}", f"--seed={seed}")
    data.prepare(ds)
    data.split(ds)
    data.train(ds)
    data.validate(ds, f"--rules-json={json.dumps({'costs': COSTS})}")


def score(data: Data, ds: str, seed: int, model: str) -> list[tuple[float, bool]]:
    """Score and label of each row of the day that has both; dirty rows lack one of them."""
    data.generate(ds, f"--rows={ROWS}", f"--seed={seed}")
    data.score(ds, model)
    return [(score, label) for _, score, label, _ in read_scored(data, ds)]


def read_scored(data: Data, ds: str) -> list[tuple[str, float, bool, bool]]:
    """Key, score, label and prediction of each row of a day that has all of them."""
    targets = data.rows(f"raw/{ds}/target.csv")
    times = Counter(row["transaction_id"] for row in targets)
    labels = {row["transaction_id"]: row["is_fraud"] for row in targets if times[row["transaction_id"]] == 1}
    return [
        (
            row["transaction_id"],
            float(row["probability_1"]),
            labels[row["transaction_id"]] == "1",
            row["prediction"] == "1",
        )
        for row in data.rows(f"predictions/{ds}/predictions.csv")
        if row["transaction_id"] in labels
    ]


def regret(scored: Sequence[tuple[float, bool]], threshold: float, missed: Sequence[float] | None = None) -> float:
    """How much more a threshold costs than the one that turns out to be the best, as a share of the best's cost.

    :param missed: what each row costs if it is positive and missed; that of COSTS if it is left out
    """
    missed = missed or [float(COSTS["false_negative"])] * len(scored)
    rows = [(score, label, cost) for (score, label), cost in zip(scored, missed, strict=True)]
    total = sum(cost for _, label, cost in rows if label)  # if nothing is positive
    least, found = total, total
    for score, group in groupby(sorted(rows, reverse=True), key=itemgetter(0)):
        total += sum(-cost if label else COSTS["false_positive"] for _, label, cost in group)
        least = min(least, total)
        found = total if score >= threshold else found
    return found / least - 1


def test_roc_auc_is_the_share_of_pairs_in_order() -> None:
    assert roc_auc([(0.1, False), (0.4, False), (0.4, True), (0.8, True)]) == 3.5 / 4
    assert roc_auc([(0.3, True), (0.2, False), (0.1, True)]) == 1 / 2
    assert roc_auc([(0.5, False), (0.5, True), (0.5, True)]) == 1 / 2


def test_model_ranks_later_days_well_but_not_too_well() -> None:
    """Another seed and season is among the nightly tests."""
    with data_volume("in-time") as data:
        check_later_days(data, 42, "2026-05-04")


def check_later_days(data: Data, seed: int, ds: str) -> None:
    """Train on a day, score and measure later ones."""
    train(data, ds, seed)
    regrets = []
    for days in LATER_DAYS:
        later = str(date.fromisoformat(ds) + timedelta(days=days))
        scored = score(data, later, seed, f"models/{ds}")
        assert len(scored) > 0.95 * ROWS, later
        found = roc_auc(scored)
        print(f"seed {seed}: AUC of models/{ds} on {later}: {found:.4f} ({len(scored)} rows)")
        assert LOWEST < found < HIGHEST, later
        if days <= ESTIMATED_DAYS:
            estimate = data.evaluate(later, {}).line["estimate"]["roc_auc"]
            print(f"estimated without labels: {estimate:.4f}")
            assert abs(estimate - found) < MOST_ERROR, later
        regrets.append(regret(scored, data.json(f"models/{ds}/metrics.json")["threshold"]))
        print(f"its threshold costs {regrets[-1]:.2%} more than the best one of {later}")
    assert sum(regrets) / len(regrets) < MOST_REGRET
    check_amounts(data, ds, str(date.fromisoformat(ds) + timedelta(days=LATER_DAYS[0])))


def check_amounts(data: Data, ds: str, later: str) -> None:
    """A missed fraud costs its amount: the threshold of such costs, what it is worth later, and what a day has cost."""
    default = data.json(f"models/{ds}/metrics.json")["default_threshold"]
    line = data.validate(ds, f"--rules-json={json.dumps({'costs': AMOUNTS})}").line
    assert line["cost"] < line["default_cost"]
    data.predict(later, f"models/{ds}")
    found = read_scored(data, later)
    amounts = {row["transaction_id"]: row["amount"] for row in data.rows(f"raw/{later}/data.csv")}
    missed = [float(amounts[key]) for key, *_ in found]
    scored = [(score, label) for _, score, label, _ in found]
    threshold = data.json(f"models/{ds}/metrics.json")["threshold"]
    regrets = {name: regret(scored, value, missed) for name, value in (("its", threshold), ("the default", default))}
    print(f"with the amounts as costs: {regrets}")
    assert regrets["its"] < min(MOST_REGRET_OF_AMOUNTS, regrets["the default"])
    paid = [
        0.0 if label == positive else amount if label else COSTS["false_positive"]
        for (_, _, label, positive), amount in zip(found, missed, strict=True)
    ]
    data.evaluate(later, {})
    metrics = data.json(f"reports/{later}/evaluation.json")["metrics"]
    assert metrics["cost"] == pytest.approx(sum(paid) / len(paid))
    check_probabilities(data, ds, later, metrics["calibrated"]["log_loss"])


def check_probabilities(data: Data, ds: str, later: str, log_loss: float) -> None:
    """The function that docs/use.md shows gives the probabilities that the stage has measured."""
    (shown,) = re.findall(r"(?s)```python\n(from math .*?)```", (ROOT / "docs/use.md").read_text(encoding="utf-8"))
    exec(shown, names := {})
    calibrator = data.json(f"models/{ds}/metrics.json")["calibrator"]
    labels = {row["transaction_id"]: row["is_fraud"] for row in data.rows(f"labels/{later}/labels.csv")}
    losses = [
        -log(found if labels[row["transaction_id"]] == "1" else 1 - found)
        for row in data.rows(f"predictions/{later}/predictions.csv")
        if row["transaction_id"] in labels
        for found in [names["probability"](float(row["probability_1"]), calibrator)]
    ]
    assert sum(losses) / len(losses) == pytest.approx(log_loss, abs=1e-9)
