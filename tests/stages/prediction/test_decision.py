"""Costs and a capacity: the threshold that costs least, and no more positives a day than people can handle."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import DAY, World, load_fixture

from decision import cheapest_threshold, costs_of_rows, mean_cost, threshold_of_capacity

COSTS = {"false_positive": 1, "false_negative": 20}


def rules(**given: Any) -> str:
    return f"--rules-json={json.dumps(given)}"


def day_of_scores(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """True classes and scores, which are calibrated."""
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-random.normal(-4, 1.7, rows)))
    return (random.random(rows) < scores).astype(np.intp), scores


def cost_in_hindsight(codes: np.ndarray, scores: np.ndarray, costs: np.ndarray) -> float:
    """The least mean cost that any threshold has on these rows."""
    order = np.argsort(-scores)
    change = np.where(codes == 1, -costs[:, 1], costs[:, 0])[order]
    return float((costs[codes == 1, 1].sum() + min(0.0, np.cumsum(change).min())) / len(codes))


@pytest.mark.parametrize("costs", [COSTS, {"false_positive": 2, "false_negative": "amount"}])
def test_threshold_is_nearly_the_best_of_a_later_day(costs: dict[str, Any]) -> None:
    amounts = np.random.default_rng(5).gamma(4, 10, (50_000, 1))
    of_rows = costs_of_rows(costs, ["amount"], amounts)
    threshold = cheapest_threshold(of_rows, *day_of_scores(1, 50_000), None)
    codes, scores = day_of_scores(2, 50_000)
    found = mean_cost(of_rows, codes, (scores >= threshold).astype(np.intp), None)
    assert found is not None
    assert found <= 1.03 * cost_in_hindsight(codes, scores, of_rows)


def test_weight_of_two_is_the_row_twice() -> None:
    codes, scores = day_of_scores(3, 2000)
    costs = costs_of_rows(COSTS, [], np.empty((2000, 0)))
    weights = np.where(codes == 1, 2.0, 1.0)
    twice = np.repeat(np.arange(2000), weights.astype(int))
    assert cheapest_threshold(costs, codes, scores, weights) == cheapest_threshold(
        costs[twice], codes[twice], scores[twice], None
    )


@pytest.mark.parametrize(("capacity", "positives"), [(0, 0), (1, 1), (2, 1), (3, 3), (4, 4), (5, 5), (9, 5)])
def test_rows_of_equal_scores_are_positive_together_or_not_at_all(capacity: int, positives: int) -> None:
    scores = np.array([0.1, 0.7, 0.9, 0.7, 0.2])
    assert (scores >= threshold_of_capacity(capacity, scores)).sum() == positives


def test_costs_move_the_threshold_and_metrics_say_what_both_cost(world: World) -> None:
    world.validated()
    default = world.json(f"models/{DAY}/metrics.json")
    result = world.run("validate", "--ds", DAY, rules(costs={"false_positive": 1, "false_negative": 50}))
    assert result.code == 0, result.errors
    found = world.json(f"models/{DAY}/metrics.json")
    assert found["default_threshold"] == default["threshold"]
    assert found["threshold"] < default["threshold"]
    assert found["cost"] < found["default_cost"]
    (_, false_positives), (false_negatives, _) = found["confusion_matrix"]
    assert found["cost"] == pytest.approx((false_positives + 50 * false_negatives) / found["rows"])
    assert found["decision"] == {"costs": {"false_positive": 1, "false_negative": 50}}
    assert result.result is not None
    assert (result.result["cost"], result.result["default_cost"]) == (found["cost"], found["default_cost"])


def test_without_costs_the_files_are_the_same(world: World) -> None:
    world.validated()
    before = (world.root / "models" / DAY / "metrics.json").read_bytes()
    assert world.run("validate", "--ds", DAY, rules(costs={}, capacity=None)).code == 0
    assert (world.root / "models" / DAY / "metrics.json").read_bytes() == before


def test_predict_makes_no_more_positives_than_the_capacity(world: World) -> None:
    world.train()
    assert world.run("validate", "--ds", DAY, rules(capacity=7)).code == 0
    world.prepare(f"models/{DAY}")
    result = world.run("predict", "--ds", DAY, "--model", f"models/{DAY}")
    assert result.code == 0, result.errors
    rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
    positive = [float(row[-1]) for row in rows if row[2] == "1"]
    others = [float(row[-1]) for row in rows if row[2] == "0"]
    assert 0 < len(positive) <= 7
    assert min(positive) > max(others)
    assert len(positive) + others.count(max(others)) > 7


@pytest.mark.parametrize("capacity", [9, 10_000])
def test_costs_and_capacity_make_the_fewer_positives_of_both(world: World, capacity: int) -> None:
    """The validation rows are a twentieth of the day: their share of the capacity is no row, or few."""
    costs = {"false_positive": 1, "false_negative": 1}
    positives, thresholds = {}, {}
    for name, given in (("costs", {}), ("both", {"capacity": capacity})):
        world.train(rows_of_day=20 * len(world.fixture.rows))
        assert world.run("validate", "--ds", DAY, rules(costs=costs, **given)).code == 0
        thresholds[name] = world.json(f"models/{DAY}/metrics.json")["threshold"]
        world.prepare(f"models/{DAY}")
        assert world.run("predict", "--ds", DAY, "--model", f"models/{DAY}").code == 0
        rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
        positives[name] = sorted((float(row[-1]) for row in rows if row[2] == "1"), reverse=True)
    assert thresholds["both"] == thresholds["costs"]
    best = positives["costs"]
    assert 20 < len(best) < len(world.fixture.rows) - 20
    # Rows with equal scores that do not all fit are left out.
    fitting = [score for number, score in enumerate(best[:capacity]) if capacity >= len(best) or score > best[capacity]]
    assert positives["both"] == fitting
    assert fitting


def test_rows_without_a_label_are_rows_of_the_day(world: World) -> None:
    """A capacity is of the whole day: on a day with as many rows again, half as many of its sample are positive."""
    positives, rows = [], len(world.fixture.rows)
    for labelled, unlabelled in ((20, 0), (10, 10), (20, 20)):
        world.train(rows_of_day=labelled * rows, unlabelled=unlabelled * rows)
        assert world.run("validate", "--ds", DAY, "--force", rules(capacity=600)).code == 0
        matrix = world.json(f"models/{DAY}/metrics.json")["confusion_matrix"]
        positives.append(sum(row[1] for row in matrix))
    assert positives[0] == positives[1] > positives[2] > 0


def test_capacity_of_less_than_a_validation_row_has_figures_of_one(world: World) -> None:
    world.train(rows_of_day=20 * len(world.fixture.rows))
    assert world.run("validate", "--ds", DAY, rules(capacity=2)).code == 0
    found = world.json(f"models/{DAY}/metrics.json")
    assert found["threshold"] == max(float(row[-1]) for row in world.fixture.scores)
    assert sum(row[1] for row in found["confusion_matrix"]) > 0


def test_evaluate_says_what_the_day_costs(world: World) -> None:
    world.train()
    assert world.run("validate", "--ds", DAY, rules(costs={"false_positive": 1, "false_negative": 30})).code == 0
    world.prepare(f"models/{DAY}")
    assert world.run("predict", "--ds", DAY, "--model", f"models/{DAY}").code == 0
    rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
    world.target([[*row[:2], code] for row, code in zip(rows, world.codes(), strict=True)])
    assert world.run("evaluate", "--ds", DAY).code == 0
    found, trained = world.json(f"reports/{DAY}/evaluation.json")["metrics"], world.json(f"models/{DAY}/metrics.json")
    assert (found["cost"], found["default_cost"]) == (trained["cost"], trained["default_cost"])


def test_cost_must_be_a_column_with_numbers(world: World) -> None:
    world.train()
    result = world.run("validate", "--ds", DAY, rules(costs={"false_positive": 1, "false_negative": "prise"}))
    assert result.code == 3
    assert "the cost false_negative is the column 'prise', which is no feature with numbers" in result.errors


def test_costs_need_two_classes(world: World) -> None:
    world.fixture = load_fixture("multiclass")
    world.train()
    result = world.run("validate", "--ds", DAY, rules(costs=COSTS))
    assert result.code == 3
    assert "has 3 classes" in result.errors


@pytest.mark.parametrize(
    "fault",
    ['{"costs": {"false_positive": 1}}', '{"costs": 5}', '{"capacity": 0}', '{"capacity": true}', '{"cost": {}}'],
)
def test_rules_of_the_decision_are_checked(world: World, fault: str) -> None:
    world.train()
    result = world.run("validate", "--ds", DAY, f"--rules-json={fault}")
    assert result.code == 2
    assert "--rules-json" in result.errors
