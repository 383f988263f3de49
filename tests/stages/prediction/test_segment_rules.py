"""Rules of the gate about segments: a candidate that is good on all rows may be worse for some of them."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import DAY, EARLIER_DAY, World, load_fixture
from sklearn.metrics import roc_auc_score
from stagekit.contract import Feature

from gate import FAILED, PASSED, UNDECIDED, is_accepted, outcome
from metrics import LabelledRows, predict_codes
from rules import GATE
from segment_rules import FEWEST_OF_CLASS, Segments, judge_rules
from segments import FEWEST_ROWS

CHAMPION, COMPARISON = f"models/{EARLIER_DAY}", f"comparisons/{DAY}/comparison.json"
CHANNEL = Feature("channel", "channel", "category", ("chip", "online", "phone"))
CHIP, ONLINE, PHONE = range(3)


def labelled(codes: np.ndarray, scores: np.ndarray) -> LabelledRows:
    probabilities = np.column_stack([1 - scores, scores])
    return LabelledRows(codes, probabilities, predict_codes(probabilities, 0.5), ("0", "1"), 2)


def judged(rule: dict[str, Any], blind: int = ONLINE, with_champion: bool = True, **gate: Any) -> tuple[Any, Any]:
    """What a rule says of a candidate that is the champion, but knows nothing of one channel; phone has few rows."""
    random = np.random.default_rng(4)
    channel = random.choice(3, 5000, p=[0.7, 0.29, 0.01]).astype(np.int16)
    truth = 1 / (1 + np.exp(-random.normal(-1, 2, 5000)))
    codes = (random.random(5000) < truth).astype(np.intp)
    ours = labelled(codes, np.where(channel == blind, random.permutation(truth), truth))
    champion = labelled(codes, truth) if with_champion else None
    rules = {**GATE, "segment_rules": [rule], "resamples": 20, **gate}
    return judge_rules(ours, champion, Segments([(0, CHANNEL)], channel[:, None]), rules)


def test_candidate_that_is_worse_for_one_value_fails_there_and_nowhere_else() -> None:
    found, verdicts = judged({"field": "channel"})
    assert [(one["value"], one["outcome"]) for one in found] == [("chip", PASSED), ("online", FAILED), ("phone", None)]
    assert (outcome(verdicts), is_accepted(verdicts)) == (FAILED, False)
    assert verdicts[1].reason.startswith("channel online: average_precision ")
    assert "worse by more than the tolerance 0.01" in verdicts[1].reason
    assert found[1]["interval"][1] < 0 < found[1]["candidate"] < found[1]["champion"]
    assert found[0]["interval"] == [0, 0]
    assert found[2]["rows"] < FEWEST_ROWS
    assert verdicts[2].reason.endswith("of the rarest class, are too few (100 and 20 are needed): not judged")


def test_rule_about_a_value_looks_at_no_other() -> None:
    found, verdicts = judged({"field": "channel", "value": "chip"})
    assert [(one["value"], one["outcome"]) for one in found] == [("chip", PASSED)]
    assert is_accepted(verdicts)


def test_rule_has_its_own_tolerance_and_floors() -> None:
    _, verdicts = judged({"field": "channel", "value": "online", "tolerance": 1, "floors": {"roc_auc": 0.7}})
    assert [one.outcome for one in verdicts] == [PASSED, FAILED]
    assert verdicts[1].reason.startswith("channel online: roc_auc 0.")
    assert verdicts[1].reason.endswith("is below the floor 0.7")
    # The floors of the gate are about all rows.
    _, verdicts = judged({"field": "channel", "value": "chip"}, floors={"roc_auc": 0.99})
    assert [one.outcome for one in verdicts] == [PASSED]


@pytest.mark.parametrize("value", ["phone", "fax"])
def test_value_with_too_few_rows_cannot_be_decided(value: str) -> None:
    found, verdicts = judged({"field": "channel", "value": value})
    assert (found[0]["outcome"], found[0]["candidate"], found[0]["interval"]) == (UNDECIDED, None, None)
    assert verdicts[0].reason.startswith(f"channel {value}: {found[0]['rows']} rows, ")
    assert verdicts[0].reason.endswith("they cannot be distinguished, the champion is kept")
    assert not is_accepted(verdicts)
    for own, gate in (({"undecided": "take"}, {}), ({}, {"undecided": "take"})):
        _, verdicts = judged({"field": "channel", "value": value, **own}, **gate)
        assert (verdicts[0].outcome, is_accepted(verdicts)) == (UNDECIDED, True)
        assert verdicts[0].reason.endswith("the newer one is taken")


def test_rows_of_too_few_positives_cannot_be_decided() -> None:
    codes = np.zeros(1000, dtype=np.intp)
    codes[: FEWEST_OF_CLASS - 1] = 1
    rows = labelled(codes, np.linspace(0, 1, 1000))
    segments = Segments([(0, CHANNEL)], np.zeros((1000, 1), dtype=np.int16))
    rules = {**GATE, "segment_rules": [{"field": "channel", "value": "chip"}]}
    assert [one.outcome for one in judge_rules(rows, rows, segments, rules)[1]] == [UNDECIDED]


def test_without_a_champion_only_the_floors_of_a_segment_count() -> None:
    _, verdicts = judged({"field": "channel", "floors": {"roc_auc": 0.7}}, with_champion=False)
    assert [one.outcome for one in verdicts] == [PASSED, FAILED, PASSED]
    found, verdicts = judged({"field": "channel", "value": "phone"}, with_champion=False)
    assert (found[0]["outcome"], is_accepted(verdicts)) == (None, True)
    found, verdicts = judged({"field": "channel", "value": "chip"}, with_champion=False)
    assert (found[0]["outcome"], verdicts) == (None, [])


def with_shops(world: World) -> World:
    """A champion and a candidate of the same trees, with a category of eight values in the validation rows."""
    world.fixture = load_fixture("binary_categories")
    content: dict[str, Any] = world.fixture.encoder
    place = world.fixture.features.index("shop")
    content["features"][place] |= {"kind": "category", "values": [f"shop {code}" for code in range(8)]}
    for ds in (EARLIER_DAY, DAY):
        world.train(ds, encoder=json.dumps(content))
        assert world.run("validate", "--ds", ds).code == 0
    world.encode_validation(CHAMPION)
    return world


def rules_of(*segment_rules: dict[str, Any]) -> str:
    return json.dumps({"floors": {}, "resamples": 5, "segment_rules": segment_rules})


def test_compare_judges_the_rows_of_a_segment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segment_rules.FEWEST_ROWS", 10)
    monkeypatch.setattr("segment_rules.FEWEST_OF_CLASS", 3)
    with_shops(world)
    place = world.fixture.features.index("shop")
    shops = np.array([float(row[place] or "nan") for row in world.fixture.rows])
    frequent = int(np.bincount(shops[(shops >= 0) & (shops < 8)].astype(int)).argmax())
    rule = {"field": "shop", "value": f"shop {frequent}", "floors": {"roc_auc": 1.0}}
    result = world.run("compare", "--ds", DAY, "--champion", CHAMPION, "--rules-json", rules_of(rule))
    assert result.code == 0, result.errors
    found = world.json(COMPARISON)
    assert (found["passed"], found["outcome"]) == (False, FAILED)
    inside = shops == frequent
    scores = np.array([float(row[1]) for row in world.fixture.scores])
    expected = roc_auc_score(np.array(world.codes())[inside], scores[inside])
    assert found["segments"][0]["rows"] == inside.sum()
    assert found["reasons"][-1] == f"shop shop {frequent}: roc_auc {expected:.6g} is below the floor 1"
    assert found["reasons"][-1] in result.result["reasons"]
    assert found["rule"]["segment_rules"] == [rule]
    # A person who is asked sees them as a table.
    assert result.result["segments"] == found["segments"]


def test_compare_without_rules_about_segments_has_none(world: World) -> None:
    with_shops(world)
    result = world.run("compare", "--ds", DAY, "--champion", CHAMPION, "--rules-json", rules_of())
    assert (result.code, "segments" in result.result) == (0, False)
    assert world.json(COMPARISON)["segments"] is None


def test_rule_about_what_is_no_category_is_refused(world: World) -> None:
    with_shops(world)
    before = world.tree()
    result = world.run("compare", "--ds", DAY, "--champion", CHAMPION, "--rules-json", rules_of({"field": "city"}))
    assert result.code == 3
    assert "the segment 'city' is no category of the model that may be shown; expected: some of shop" in result.errors
    assert "correct `segment_rules` of `gate` in dags/rules.json" in result.errors
    assert world.tree() == before


def test_shadow_days_are_judged_by_the_same_rules(world: World) -> None:
    from test_shadow import DAYS, compare, label, score

    with_shops(world)
    for ds in DAYS[:2]:
        score(world, ds)
        label(world, ds)
    assert compare(world, DAYS[1], rules=rules_of({"field": "shop"}))["passed"] is True
    found = world.json(f"shadows/{DAYS[1]}-v7/comparison.json")
    assert sum(part["rows"] for part in found["segments"]) == found["rows"] == 2 * len(world.fixture.rows)
    assert any(part["outcome"] == PASSED and part["interval"] == [0, 0] for part in found["segments"])
