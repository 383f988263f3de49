"""Figures of rows with weights: a weight of 2 is the row twice. A day without all its weights has the plain figures."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from conftest import DAY, EARLIER_DAY, World, csv_text, load_fixture
from scored import EVALUATION, MODEL, evaluate, targets_of
from stagekit.contract import HIGHER_IS_BETTER, Encoder, Feature

from intervals import intervals
from metrics import LabelledRows, effective_rows, measure, predict_codes
from warn import find_warnings

COMPARISON = f"comparisons/{DAY}/comparison.json"
TWICE = [1 + number % 2 for number in range(200)]
UNEVEN = [0.25 + number % 11 for number in range(200)]


def train(world: World, weights: Sequence[Any] | None, ds: str = DAY) -> None:
    """A trained day whose val.csv has these weights."""
    encoder, header, lines = world.fixture.encoder, *rows_of(world.val())
    if weights is None:
        world.train(ds)
        return
    rows = [[line[0], str(weight), *line[1:]] for line, weight in zip(lines, weights, strict=True)]
    val = csv_text([header[0], "drawn", *header[1:]], rows)
    world.train(ds, val=val, encoder=json.dumps({**encoder, "weight": "drawn"}))


def train_on_repeated(world: World, times: Sequence[int], ds: str = DAY) -> None:
    """A trained day whose val.csv has each row so many times."""
    header, lines = rows_of(world.val())
    rows = [line for line, number in zip(lines, times, strict=True) for _ in range(number)]
    world.train(ds, val=csv_text(header, rows), reference=repeated_reference(world, times))


def repeated_reference(world: World, times: Sequence[int]) -> str:
    names = ["row", *(f"probability_{name}" for name in world.fixture.classes)]
    scores = [line for line, number in zip(world.fixture.scores, times, strict=True) for _ in range(number)]
    return csv_text(names, [[number, *line] for number, line in enumerate(scores)])


def rows_of(text: str) -> tuple[list[str], list[list[str]]]:
    header, *lines = (line.split(",") for line in text.splitlines())
    return header, lines


def validate(world: World, ds: str = DAY) -> dict[str, Any]:
    result = world.run("validate", "--ds", ds)
    assert result.code == 0, result.errors
    return world.json(f"models/{ds}/metrics.json")


def figures(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: metrics[name] for name in (*HIGHER_IS_BETTER, "threshold")}


def compare(world: World) -> Any:
    return world.run("compare", "--ds", DAY, "--champion", MODEL, "--rules-json", json.dumps({"resamples": 50}))


@pytest.mark.parametrize("name", ["binary", "multiclass"])
def test_weight_of_2_is_the_row_twice(world: World, name: str) -> None:
    world.fixture = load_fixture(name)
    train(world, TWICE)
    weighted, curves = validate(world), world.json(f"models/{DAY}/curves.json")
    train_on_repeated(world, TWICE)
    again = validate(world)
    assert figures(weighted) == pytest.approx(figures(again), abs=1e-9)
    for curve, other in zip(curves["curves"], world.json(f"models/{DAY}/curves.json")["curves"], strict=True):
        assert curve["roc"]["tpr"] == pytest.approx(other["roc"]["tpr"], abs=1e-9)
        assert curve["precision_recall"]["precision"] == pytest.approx(other["precision_recall"]["precision"], abs=1e-9)
    assert (weighted["rows"], again["rows"]) == (200, 300)
    assert sum(map(sum, weighted["confusion_matrix"])) == sum(weighted["class_rows"].values()) == 200
    assert weighted["weighted"] is True
    assert sum(group["weight"] for group in weighted["calibration"]) == sum(TWICE)
    assert "weighted" not in again
    assert {"weight" in group for group in again["calibration"]} == {False}
    train(world, None)
    assert figures(validate(world)) != pytest.approx(figures(weighted), abs=1e-3)


@pytest.mark.parametrize("weight", ["0", "-1", "", "many"])
def test_weight_that_is_none_is_refused(world: World, weight: str) -> None:
    train(world, [*TWICE[:41], weight, *TWICE[42:]])
    result = world.run("validate", "--ds", DAY)
    assert result.code == 3
    assert "row 42" in result.errors
    assert not (world.root / f"models/{DAY}/metrics.json").exists()


def test_compare_weighs_both_models_by_the_weights_of_the_day(world: World) -> None:
    """Whether the champion was trained with weights or not."""
    found = []
    for weights in (TWICE, None):
        world.fixture = load_fixture("binary_complete")
        train(world, weights, EARLIER_DAY)
        validate(world, EARLIER_DAY)
        world.fixture = load_fixture("binary")
        train(world, UNEVEN)
        validate(world)
        world.encode_validation(MODEL, world.val())
        result = compare(world)
        assert result.code == 0, result.errors
        found.append(world.json(COMPARISON))
    assert figures(found[0]["candidate"]["metrics"]) == figures(world.json(f"models/{DAY}/metrics.json"))
    for one in found:
        assert one["candidate"]["metrics"]["weighted"] is one["champion"]["metrics"]["weighted"] is True
        assert one["interval"][0] < one["difference"] < one["interval"][1]
    assert found[0]["champion"]["metrics"]["roc_auc"] == found[1]["champion"]["metrics"]["roc_auc"]


def test_compare_with_a_weight_of_2_is_the_row_twice(world: World) -> None:
    differences = []
    for weighted in (True, False):
        for ds, name in ((EARLIER_DAY, "binary_complete"), (DAY, "binary")):
            world.fixture = load_fixture(name)
            (train if weighted else train_on_repeated)(world, TWICE, ds)
            validate(world, ds)
        rows = None if not weighted else world.val()
        world.encode_validation(MODEL, rows)
        assert compare(world).code == 0
        differences.append(world.json(COMPARISON)["difference"])
    assert differences[0] == pytest.approx(differences[1], abs=1e-9)


# --- a later day ---


def scored_with(world: World, weights: Sequence[Any]) -> World:
    """A day that a model with weights has scored; the day's own weights are these."""
    train(world, UNEVEN, EARLIER_DAY)
    validate(world, EARLIER_DAY)
    header, lines = rows_of(world.features())
    rows = [[*line[:2], weight, *line[2:]] for line, weight in zip(lines, weights, strict=True)]
    world.prepare(MODEL, csv_text([*header[:2], "drawn", *header[2:]], rows))
    result = world.run("predict", "--ds", DAY, "--model", MODEL)
    assert result.code == 0, result.errors
    world.target(targets_of(world))
    return world


def test_scores_do_not_depend_on_weights(world: World) -> None:
    found = []
    for weights in (UNEVEN, [""] * 200):
        scored_with(world, weights)
        found.append(world.read_csv(f"predictions/{DAY}/predictions.csv"))
    assert found[0] == found[1]
    assert [line[2:] for line in found[0][1:]] == [
        [line[2], *scores] for line, scores in zip(found[0][1:], world.fixture.scores, strict=True)
    ]


def test_day_with_weights_has_weighted_figures(world: World) -> None:
    """The same rows with the same weights have the figures of the validation."""
    scored_with(world, UNEVEN)
    result, found, trained = evaluate(world), world.json(EVALUATION), world.json(f"{MODEL}/metrics.json")
    bounds = found["metrics"]["intervals"]
    assert found["metrics"] == {key: value for key, value in trained.items() if key != "reproduction"}
    assert found["metrics"]["weighted"] is True
    assert found["no_estimate"] == "the model weighs its rows"
    assert all(low <= found["metrics"][name] <= high for name, (low, high) in bounds.items())
    assert found["drift"]["score"]["psi"] == 0.0
    assert "warnings" not in result


@pytest.mark.parametrize("lacking", [1, 200])
def test_day_that_lacks_a_weight_has_plain_figures_and_a_warning(world: World, lacking: int) -> None:
    scored_with(world, [*[""] * lacking, *UNEVEN[lacking:]])
    result, metrics = evaluate(world), world.json(EVALUATION)["metrics"]
    assert result["warnings"] == [
        f"{lacking} of 200 labelled rows have no drawn: the day's figures count each row once, "
        "those of the training weigh it"
    ]
    assert "weighted" not in metrics
    train(world, None)
    assert figures(metrics)["roc_auc"] == validate(world)["roc_auc"]


# --- how exact weighted figures are ---


def rows_with(weights: np.ndarray | None) -> LabelledRows:
    draw = np.random.default_rng(5)
    codes = draw.integers(0, 2, 300)
    score = np.clip(draw.normal(0.35 + 0.3 * codes, 0.2), 0.01, 0.99)
    probabilities = np.column_stack([1 - score, score])
    return LabelledRows(codes, probabilities, predict_codes(probabilities, 0.5), ("0", "1"), 2, weights)


def test_equal_weights_change_no_interval() -> None:
    assert intervals(rows_with(np.full(300, 4.0)), 0.95) == {
        name: pytest.approx(bounds, abs=1e-9) for name, bounds in intervals(rows_with(None), 0.95).items()
    }


def test_uneven_weights_say_less() -> None:
    weights = np.random.default_rng(6).choice([0.05, 6.0], 300)
    assert 100 < effective_rows(weights) < 200
    rows = rows_with(weights)
    plain, weighted, values = intervals(rows_with(None), 0.95), intervals(rows, 0.95), measure(rows, 0.5)
    for name, bounds in weighted.items():
        before = plain[name]
        assert bounds
        assert before
        assert bounds[0] < values[name] < bounds[1]
        assert bounds[1] - bounds[0] > before[1] - before[0]


def test_weighted_rows_that_are_calibrated_bring_no_warning() -> None:
    """One class was kept to a tenth, and its rows have ten times the weight."""
    draw = np.random.default_rng(7)
    true = draw.uniform(0.02, 0.98, 20_000)
    codes = (draw.uniform(size=true.size) < true).astype(int)
    kept = (codes == 1) | (draw.uniform(size=true.size) < 0.1)
    codes, true = codes[kept], true[kept]
    weights = np.where(codes == 1, 1.0, 10.0)
    probabilities = np.column_stack([1 - true, true])
    encoder = Encoder(("id",), "y", ("0", "1"), (Feature("x", "x", "number"),), {}, "drawn")
    found = {}
    for name, given in {"weighted": weights, "plain": None}.items():
        rows = LabelledRows(codes, probabilities, predict_codes(probabilities, 0.5), ("0", "1"), 2, given)
        noise = draw.normal(size=(codes.size, 1))
        found[name] = find_warnings(encoder, noise, codes, measure(rows, 0.5), given)
    assert found["weighted"] == []
    assert "far from calibrated" in found["plain"][0]
