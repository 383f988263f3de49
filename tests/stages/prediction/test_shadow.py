"""A version in shadow: it scores days beside the champion, and `compare-shadow` judges it on the labelled ones."""

import json
from typing import Any

import pytest
from conftest import EARLIER_DAY, World, csv_text, load_fixture
from sklearn.metrics import average_precision_score
from stagekit import read_partition

CANDIDATE, CHAMPION = "models/2026-11-21", f"models/{EARLIER_DAY}"
DAYS = ("2026-11-22", "2026-11-23", "2026-11-24")
RULES = json.dumps({"floors": {}, "resamples": 20})


def with_models(world: World) -> World:
    """A champion, and a version that was trained a week later; both have the same features."""
    world.fixture = load_fixture("binary_complete")
    world.validated(EARLIER_DAY)
    world.fixture = load_fixture("binary")
    world.validated("2026-11-21")
    return world


def score(world: World, ds: str, champion: str = CHAMPION, version: str = "7") -> None:
    """Score a day with the champion and, in shadow, with the other model."""
    world.prepare(champion, ds=ds)
    assert world.run("predict", "--ds", ds, "--model", champion, "--model-version", "3").code == 0
    encoder = read_partition(world.root, CANDIDATE, ["encoder.json"])
    world.publish(f"shadows/{ds}-v{version}", "features", {"features.csv": world.features()}, [encoder])
    result = world.run("predict", "--ds", ds, "--model", CANDIDATE, "--shadow", version)
    assert result.code == 0, result.errors


def label(world: World, ds: str, rows: int | None = None) -> None:
    """Publish the labels of a day, those of the first `rows` rows; in another order than the predictions."""
    known = [["00000", number, code] for number, code in enumerate(world.codes()[:rows])][::-1]
    counts = {"rows": len(known), "malformed": 0, "missing": 0, "unreadable": 0, "repeated": 0}
    files = {"labels.csv": csv_text(["order", "line", "returned"], known), "rejected.csv": "file,line,reason,row\n"}
    world.publish(f"labels/{ds}", "label", files, result=counts)


def compare(world: World, ds: str, days: int = 2, rules: str = RULES) -> Any:
    result = world.run("compare-shadow", "--ds", ds, "--days", str(days), "--rules-json", rules)
    assert result.code == 0, result.errors
    return result.result


def test_a_day_that_no_version_scored_in_shadow_has_nothing_to_compare(world: World) -> None:
    with_models(world)
    before = world.tree()
    assert compare(world, DAYS[0]).items() >= {"version": None, "days": [], "complete": False}.items()
    assert world.tree() == before


def test_shadow_scores_lie_beside_the_predictions_and_change_none(world: World) -> None:
    with_models(world)
    world.prepare(CHAMPION, ds=DAYS[0])
    assert world.run("predict", "--ds", DAYS[0], "--model", CHAMPION).code == 0
    before = (world.root / f"predictions/{DAYS[0]}/predictions.csv").read_bytes()
    score(world, DAYS[0])
    assert (world.root / f"predictions/{DAYS[0]}/predictions.csv").read_bytes() == before
    mark = world.json(f"shadows/{DAYS[0]}-v7/_meta.json")
    recorded = mark["steps"]["predict"]["parameters"]
    assert (recorded["model"], recorded["version"]) == (CANDIDATE, "7")
    assert mark["outputs"]["predictions.csv"]["rows"] == len(world.fixture.rows)


def test_days_are_pooled_until_there_are_enough(world: World) -> None:
    with_models(world)
    for ds in DAYS:
        score(world, ds)
    assert compare(world, DAYS[0])["days"] == []
    label(world, DAYS[0])
    first = compare(world, DAYS[0])
    assert (first["version"], first["days"], first["complete"]) == ("7", [DAYS[0]], False)
    label(world, DAYS[2], rows=150)  # the labels of the day between are late
    second = compare(world, DAYS[2])
    assert (second["days"], second["complete"]) == ([DAYS[0], DAYS[2]], True)
    found = world.json(f"shadows/{DAYS[2]}-v7/comparison.json")
    assert found["rows"] == 200 + 150
    assert found["shadow"] == {"version": "7", "days": [DAYS[0], DAYS[2]], "of": 2, "complete": True}
    assert (found["candidate"]["model"], found["champion"]["model"], found["champion"]["version"]) == (
        CANDIDATE, CHAMPION, "3",
    )  # fmt: skip
    codes = [*world.codes(), *world.codes()[:150]]
    for side, folder in (("candidate", "shadows/{}-v7"), ("champion", "predictions/{}")):
        tables = [world.read_csv(f"{folder.format(ds)}/predictions.csv")[1:] for ds in (DAYS[0], DAYS[2])]
        scores = [float(row[-1]) for row in [*tables[0], *tables[1][:150]]]
        expected = average_precision_score(codes, scores)
        assert found[side]["metrics"]["average_precision"] == pytest.approx(expected, abs=1e-9)
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    assert second["difference"] == found["difference"]
    label(world, DAYS[1])  # `monitor_late_labels` starts `monitor` for this day
    late = compare(world, DAYS[1])
    assert (late["days"], late["complete"]) == ([DAYS[0], DAYS[1]], True)


def test_days_are_compared_by_what_each_model_predicted_then(world: World) -> None:
    """With a capacity, the threshold of a day depends on all of its rows, labelled or not."""
    with_models(world)
    rules = json.dumps({"costs": {"false_positive": 1, "false_negative": 9}, "capacity": 30})
    for ds in (EARLIER_DAY, "2026-11-21"):
        assert world.run("validate", "--ds", ds, f"--rules-json={rules}").code == 0
    score(world, DAYS[0])
    label(world, DAYS[0], rows=150)
    compare(world, DAYS[0])
    found = world.json(f"shadows/{DAYS[0]}-v7/comparison.json")
    for side, folder in (("candidate", f"shadows/{DAYS[0]}-v7"), ("champion", f"predictions/{DAYS[0]}")):
        predicted = [row[2] for row in world.read_csv(f"{folder}/predictions.csv")[1:151]]
        positives = sum(row[1] for row in found[side]["metrics"]["confusion_matrix"])
        assert 0 < predicted.count("1") == positives


def test_the_same_days_are_compared_once(world: World) -> None:
    with_models(world)
    score(world, DAYS[0])
    label(world, DAYS[0])
    compare(world, DAYS[0])
    before = world.tree()
    assert compare(world, DAYS[0])["cached"] is True
    assert world.tree() == before


def test_a_day_that_a_model_learned_from_does_not_count(world: World) -> None:
    with_models(world)
    for ds in ("2026-11-21", DAYS[0]):
        score(world, ds)
        label(world, ds)
    assert compare(world, DAYS[0])["days"] == [DAYS[0]]
    assert compare(world, "2026-11-21")["days"] == [DAYS[0]]


def test_a_day_before_the_training_does_not_count(world: World) -> None:
    with_models(world)
    for ds in ("2026-11-18", DAYS[0]):
        score(world, ds)
        label(world, ds)
    assert compare(world, "2026-11-18")["days"] == [DAYS[0]]


def test_days_of_another_champion_do_not_count(world: World) -> None:
    with_models(world)
    world.fixture = load_fixture("binary_complete")
    world.validated("2026-11-07")
    text = (world.root / "models/2026-11-07/model.txt").read_text()
    world.train("2026-11-07", model=text.replace("[seed: ", "[seed: 1"))
    world.run("validate", "--ds", "2026-11-07")
    world.fixture = load_fixture("binary")
    score(world, DAYS[0], champion="models/2026-11-07")
    score(world, DAYS[1])
    for ds in DAYS[:2]:
        label(world, ds)
    assert compare(world, DAYS[1])["days"] == [DAYS[1]]


def test_the_newest_version_of_a_day_is_compared(world: World) -> None:
    with_models(world)
    score(world, DAYS[0])
    score(world, DAYS[0], version="11")
    label(world, DAYS[0])
    assert compare(world, DAYS[0])["version"] == "11"


def test_a_candidate_that_is_worse_fails(world: World) -> None:
    with_models(world)
    score(world, DAYS[0])
    label(world, DAYS[0])
    found = compare(world, DAYS[0], days=1, rules=json.dumps({"floors": {"roc_auc": 0.999}, "resamples": 20}))
    assert found["complete"]
    assert (found["passed"], found["outcome"]) == (False, "failed")


def test_labels_of_other_keys_are_refused(world: World) -> None:
    with_models(world)
    score(world, DAYS[0])
    counts = {"rows": 1, "malformed": 0, "missing": 0, "unreadable": 0, "repeated": 0}
    files = {"labels.csv": "order,line,returned\n9,9,1\n", "rejected.csv": "file,line,reason,row\n"}
    world.publish(f"labels/{DAYS[0]}", "label", files, result=counts)
    result = world.run("compare-shadow", "--ds", DAYS[0], "--days", "1")
    assert result.code == 3
    assert "expected" in result.errors
    assert not (world.root / f"shadows/{DAYS[0]}-v7/comparison.json").exists()
