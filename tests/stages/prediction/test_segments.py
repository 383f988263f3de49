"""Segments: where a model is worse than elsewhere, found by evidence and not by chance."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from conftest import DAY, World, load_fixture
from stagekit import BadInput
from stagekit.contract import Encoder, Feature

from metrics import FIGURES, LabelledRows, predict_codes
from segments import (
    FEWEST_ROWS,
    MOST_VALUES,
    OTHER,
    judge_segments,
    measure_segments,
    segment_codes,
    segment_fields,
    weakest,
)

CHANNEL = Feature("channel", "channel", "category", ("chip", "online", "phone"))
CITY = Feature("city", "city", "category", tuple(f"city {number}" for number in range(40)))


def encoder(*features: Feature, sensitive: str = "") -> Encoder:
    schema = {"fields": [{"name": feature.field, "sensitive": feature.field == sensitive} for feature in features]}
    return Encoder(("id",), "fraud", ("0", "1"), features, schema)


def rows_of(random: np.random.Generator, blind: np.ndarray) -> LabelledRows:
    """Rows whose score says nothing where they are `blind`."""
    truth = 1 / (1 + np.exp(-random.normal(-1, 2, len(blind))))
    codes = (random.random(len(blind)) < truth).astype(np.intp)
    scores = np.where(blind, random.permutation(truth), truth)
    probabilities = np.column_stack([1 - scores, scores])
    return LabelledRows(codes, probabilities, predict_codes(probabilities, 0.5), ("0", "1"), 2)


Parts = list[dict[str, Any]]


def parts_of(
    random: np.random.Generator,
    feature: Feature,
    codes: np.ndarray,
    blind: np.ndarray,
    metrics: Iterable[str] = FIGURES,
) -> Parts:
    fields = segment_fields(encoder(feature), [feature.name])
    return measure_segments(rows_of(random, blind), segment_codes(codes[:, None], fields), fields, metrics, 0.95)


def test_segment_that_became_blind_is_the_only_weak_one() -> None:
    random = np.random.default_rng(1)
    codes = random.integers(0, 3, 6000).astype(float)
    before = parts_of(random, CHANNEL, codes, codes == 2)
    found = judge_segments(parts_of(random, CHANNEL, codes, codes >= 1), "roc_auc", 0.8, before)
    assert [part["value"] for part in found["parts"] if part["weak"]] == ["online"]
    assert sum(part["rows"] for part in found["parts"]) == 6000
    assert len(weakest(found)) == 1
    assert weakest(found)[0].startswith("channel online: roc_auc 0.")


def test_segment_that_always_was_worse_than_the_others_is_not_weak() -> None:
    random = np.random.default_rng(4)
    codes = random.integers(0, 3, 6000).astype(float)
    before, after = (parts_of(random, CHANNEL, codes, codes == 1) for _ in range(2))
    found = judge_segments(after, "roc_auc", 0.9, before)["parts"]
    assert found[1]["value"] == "online" or min(part["figure"] for part in found) < 0.6
    assert not any(part["weak"] for part in found)


def test_more_of_a_loss_is_weak() -> None:
    random = np.random.default_rng(5)
    codes = np.zeros(2000)
    before, after = (parts_of(random, CHANNEL, codes, np.full(2000, blind)) for blind in (False, True))
    assert [part["weak"] for part in judge_segments(after, "log_loss", 1.0, before)["parts"]] == [True]
    assert [part["weak"] for part in judge_segments(before, "log_loss", 1.0, after)["parts"]] == [False]


def test_without_figures_in_training_nothing_is_judged() -> None:
    random = np.random.default_rng(6)
    codes = random.integers(0, 3, 3000).astype(float)
    parts = parts_of(random, CHANNEL, codes, codes == 1)
    for trained in (None, [], [{**part, "figures": {}, "intervals": {}} for part in parts]):
        found = judge_segments(parts, "roc_auc", 0.9, trained)
        assert [(part["trained"], part["weak"]) for part in found["parts"]] == [(None, False)] * 3
        assert weakest(found) == []


def test_segments_without_a_difference_are_seldom_weak() -> None:
    wrong = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        codes = random.integers(0, 12, 3000).astype(float)
        no_one = np.zeros(3000, dtype=bool)
        before, after = (parts_of(random, CITY, codes, no_one, ["roc_auc"]) for _ in range(2))
        parts = judge_segments(after, "roc_auc", 0.9, before)["parts"]
        assert len(parts) == 12
        wrong += any(part["weak"] for part in parts)
    assert wrong <= 1  # two whole intervals apart are rarer than one of 20


def test_rare_and_missing_values_are_together_and_few_rows_have_no_figure() -> None:
    random = np.random.default_rng(2)
    codes = np.concatenate([np.full(400, 0.0), np.full(60, 1.0), np.arange(40), np.array([np.nan, -1, 40, 99])])
    parts = parts_of(random, CITY, codes, np.zeros(len(codes), dtype=bool))
    assert (parts[0]["value"], parts[0]["rows"]) == ("city 0", 401)
    assert (parts[1]["value"], parts[1]["rows"], parts[1]["figures"]) == ("city 1", 61, {})
    assert parts[1]["rows"] < FEWEST_ROWS
    assert (len(parts), parts[-1]["value"]) == (MOST_VALUES + 1, OTHER)
    assert sum(part["rows"] for part in parts) == len(codes)


def test_categories_with_few_values_divide_the_rows_unless_they_are_sensitive() -> None:
    assert [feature.name for _, feature in segment_fields(encoder(CHANNEL, CITY), None)] == ["channel"]
    assert segment_fields(encoder(CHANNEL, sensitive="channel"), None) == []
    assert segment_fields(encoder(CHANNEL), []) == []
    with pytest.raises(BadInput, match="the segment 'channel' is no category of the model that may be shown"):
        segment_fields(encoder(CHANNEL, sensitive="channel"), ["channel"])


def scored_with_shops(world: World, shops: int) -> int:
    """A labelled day that has the validation rows, of a model with a category of so many values; returns its rows."""
    world.fixture = load_fixture("binary_categories")
    content: dict[str, Any] = world.fixture.encoder
    place = world.fixture.features.index("shop")
    content["features"][place] |= {"kind": "category", "values": [f"shop {code}" for code in range(shops)]}
    world.train(encoder=json.dumps(content))
    assert world.run("validate", "--ds", DAY).code == 0
    world.prepare(f"models/{DAY}")
    assert world.run("predict", "--ds", DAY, "--model", f"models/{DAY}").code == 0
    rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
    world.target([[*row[:2], code] for row, code in zip(rows, world.codes(), strict=True)])
    return len(rows)


def test_evaluate_compares_segments_with_those_of_the_validation_rows(world: World) -> None:
    scored_with_shops(world, 8)
    result = world.run("evaluate", "--ds", DAY)
    assert result.code == 0, result.errors
    found = world.json(f"reports/{DAY}/evaluation.json")["segments"]
    trained = world.json(f"models/{DAY}/baseline.json")["segments"]
    assert [part["figures"].get("roc_auc") for part in trained] == [part["figure"] for part in found["parts"]]
    measured = [part for part in found["parts"] if part["figure"] is not None]
    assert measured
    assert all(part["trained"] == {key: part[key] for key in ("figure", "interval")} for part in measured)
    assert result.result["weak_segments"] == []


def test_card_has_the_segments_with_their_intervals(world: World) -> None:
    scored_with_shops(world, 8)
    trained = world.json(f"models/{DAY}/baseline.json")["segments"]
    measured = [part for part in trained if part["figures"].get("average_precision") is not None]
    assert measured
    lines = (world.root / "models" / DAY / "model_card.md").read_text().splitlines()
    for part in measured:
        figure, (low, high) = part["figures"]["average_precision"], part["intervals"]["average_precision"]
        cells = f"{part['field']} {part['value']}` | {part['rows']} | {figure:.4f} | {low:.4f} to {high:.4f} |"
        assert f"| `{cells}" in lines
    assert "The intervals of all segments together have a confidence of 99.95 %." in lines


def test_evaluate_measures_chosen_segments(world: World) -> None:
    rows = scored_with_shops(world, 200)
    assert world.run("evaluate", "--ds", DAY).code == 0
    assert world.json(f"reports/{DAY}/evaluation.json")["segments"] is None
    result = world.run("evaluate", "--ds", DAY, '--rules-json={"segments": ["shop"]}')
    assert result.code == 0, result.errors
    found = world.json(f"reports/{DAY}/evaluation.json")["segments"]
    assert found["metric"] == "roc_auc"
    assert sum(part["rows"] for part in found["parts"]) == rows
    assert all(part["trained"] is None for part in found["parts"])
    other = found["parts"][-1]
    assert (other["field"], other["value"]) == ("shop", OTHER)
    assert other["interval"][0] < other["figure"] < other["interval"][1]
