"""Segments: where a model is worse than elsewhere, found by evidence and not by chance."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import DAY, World, load_fixture
from stagekit import BadInput
from stagekit.contract import Encoder, Feature

from metrics import LabelledRows, predict_codes
from segments import FEWEST_ROWS, MOST_VALUES, OTHER, measure_segments, segment_codes, segment_fields, weakest

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


def test_blind_segment_is_the_only_weak_one() -> None:
    random = np.random.default_rng(1)
    features = random.integers(0, 3, (6000, 1)).astype(float)
    fields = segment_fields(encoder(CHANNEL), None)
    found = measure_segments(
        rows_of(random, features[:, 0] == 1), segment_codes(features, fields), fields, "roc_auc", 0.95
    )
    assert [part["value"] for part in found["parts"] if part["weak"]] == ["online"]
    assert sum(part["rows"] for part in found["parts"]) == 6000
    assert len(weakest(found)) == 1
    assert weakest(found)[0].startswith("channel online: roc_auc 0.")


def test_segments_without_a_difference_are_seldom_weak() -> None:
    wrong = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        features = random.integers(0, 12, (3000, 1)).astype(float)
        fields = segment_fields(encoder(CITY), ["city"])
        rows = rows_of(random, np.zeros(3000, dtype=bool))
        parts = measure_segments(rows, segment_codes(features, fields), fields, "roc_auc", 0.95)["parts"]
        assert len(parts) == 12
        wrong += any(part["weak"] for part in parts)
    assert wrong <= 5  # 2 of 40 are expected, of 12 looks each


def test_rare_and_missing_values_are_together_and_few_rows_have_no_figure() -> None:
    random = np.random.default_rng(2)
    codes = np.concatenate([np.full(400, 0.0), np.full(60, 1.0), np.arange(40), np.array([np.nan, -1, 40, 99])])
    fields = segment_fields(encoder(CITY), ["city"])
    parts = measure_segments(
        rows_of(random, np.zeros(len(codes), dtype=bool)), segment_codes(codes[:, None], fields), fields, "f1", 0.95
    )["parts"]
    assert (parts[0]["value"], parts[0]["rows"]) == ("city 0", 401)
    assert (parts[1]["value"], parts[1]["rows"], parts[1]["figure"]) == ("city 1", 61, None)
    assert parts[1]["rows"] < FEWEST_ROWS
    assert (len(parts), parts[-1]["value"]) == (MOST_VALUES + 1, OTHER)
    assert sum(part["rows"] for part in parts) == len(codes)


def test_categories_with_few_values_divide_the_rows_unless_they_are_sensitive() -> None:
    assert [feature.name for _, feature in segment_fields(encoder(CHANNEL, CITY), None)] == ["channel"]
    assert segment_fields(encoder(CHANNEL, sensitive="channel"), None) == []
    assert segment_fields(encoder(CHANNEL), []) == []
    with pytest.raises(BadInput, match="the segment 'channel' is no category of the model that may be shown"):
        segment_fields(encoder(CHANNEL, sensitive="channel"), ["channel"])


def test_evaluate_measures_segments(world: World) -> None:
    world.fixture = load_fixture("binary_categories")
    content: dict[str, Any] = world.fixture.encoder
    place = world.fixture.features.index("shop")
    content["features"][place] |= {"kind": "category", "values": [f"shop {code}" for code in range(200)]}
    world.train(encoder=json.dumps(content))
    assert world.run("validate", "--ds", DAY).code == 0
    world.prepare(f"models/{DAY}")
    assert world.run("predict", "--ds", DAY, "--model", f"models/{DAY}").code == 0
    rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
    world.target([[*row[:2], code] for row, code in zip(rows, world.codes(), strict=True)])
    assert world.run("evaluate", "--ds", DAY).code == 0
    assert world.json(f"reports/{DAY}/evaluation.json")["segments"] is None
    result = world.run("evaluate", "--ds", DAY, '--rules-json={"segments": ["shop"]}')
    assert result.code == 0, result.errors
    found = world.json(f"reports/{DAY}/evaluation.json")["segments"]
    assert found["metric"] == "roc_auc"
    assert sum(part["rows"] for part in found["parts"]) == len(rows)
    other = found["parts"][-1]
    assert (other["field"], other["value"]) == ("shop", OTHER)
    assert other["interval"][0] < other["figure"] < other["interval"][1]
