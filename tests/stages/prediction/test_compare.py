"""`compare`: a candidate and the champion on the same rows, judged by the rules of the gate."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import DAY, EARLIER_DAY, World, load_fixture
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from stagekit import read_partition

from comparison import SIDES, align
from gate import FAILED, PASSED, UNDECIDED, Verdict, is_accepted, judge, outcome
from metrics import LabelledRows, measure
from rules import GATE

CHAMPION = f"models/{EARLIER_DAY}"
COMPARISON = f"comparisons/{DAY}/comparison.json"
RULES = json.dumps({"floors": {"roc_auc": 0.2}, "resamples": 20})


def with_champion(world: World, champion: str = "binary_complete", candidate: str = "binary") -> World:
    """A champion of another fixture, and a candidate; the champion's validation rows are the candidate's."""
    world.fixture = load_fixture(champion)
    world.validated(EARLIER_DAY)
    width = world.fixture.features
    world.fixture = load_fixture(candidate)
    world.validated()
    assert world.fixture.features == width
    world.encode_validation(CHAMPION)
    return world


def compare(world: World, *arguments: str, rules: str = RULES) -> Any:
    return world.run("compare", "--ds", DAY, "--rules-json", rules, *arguments)


def test_compare_measures_both_models_on_the_same_rows(world: World) -> None:
    with_champion(world)
    result = compare(world, "--champion", CHAMPION, "--champion-version", "3")
    assert result.code == 0, result.errors
    found = world.json(COMPARISON)
    assert found["rows"] == found["candidate"]["metrics"]["rows"] == found["champion"]["metrics"]["rows"] == 200
    assert (found["candidate"]["model"], found["champion"]["model"], found["champion"]["version"]) == (
        f"models/{DAY}", CHAMPION, "3",
    )  # fmt: skip
    metrics = world.json(f"models/{DAY}/metrics.json")
    del metrics["reproduction"], metrics["calibrator"], metrics["calibrated"], metrics["intervals"]
    assert found["candidate"]["metrics"] == metrics
    assert found["champion"]["metrics"]["threshold"] == world.json(f"{CHAMPION}/metrics.json")["threshold"]
    gained = found["candidate"]["metrics"]["average_precision"] - found["champion"]["metrics"]["average_precision"]
    assert found["difference"] == pytest.approx(gained, abs=1e-9)
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    assert (found["interval_rows"], found["resamples"], found["confidence"]) == (200, 20, 0.95)
    assert [curve["class"] for side in ("candidate", "champion") for curve in found["curves"][side]] == ["1", "1"]
    assert result.result["difference"] == found["difference"]
    assert result.result["champion"] == {
        "model": CHAMPION, "version": "3", "value": found["champion"]["metrics"]["average_precision"],
    }  # fmt: skip


@pytest.mark.parametrize("costs", [{}, {"false_positive": 1, "false_negative": 1}])
def test_gate_measures_each_model_with_its_own_capacity(world: World, costs: dict[str, int]) -> None:
    """The rows are a twentieth of their day, and so are the shares of the capacities. Equal scores stay together."""
    for ds, name, capacity in ((EARLIER_DAY, "binary_complete", 100), (DAY, "binary", 200)):
        world.fixture = load_fixture(name)
        world.train(ds, rows_of_day=20 * len(world.fixture.rows))
        rules = json.dumps({"costs": costs, "capacity": capacity})
        assert world.run("validate", "--ds", ds, f"--rules-json={rules}").code == 0
    world.encode_validation(CHAMPION)
    result = compare(world, "--champion", CHAMPION)
    assert result.code == 0, result.errors
    found, trained = (world.json(place) for place in (COMPARISON, f"models/{DAY}/metrics.json"))
    for figure in ("f1", "precision", "recall", "confusion_matrix"):
        assert found["candidate"]["metrics"][figure] == trained[figure]
    positives = [sum(row[1] for row in found[side]["metrics"]["confusion_matrix"]) for side in SIDES]
    assert 0 < positives[0] <= 10
    assert 0 < positives[1] <= 5


def test_compare_scores_the_champion_as_lightgbm_did(world: World) -> None:
    with_champion(world, "binary", "binary_complete")
    compare(world, "--champion", CHAMPION)
    champion = load_fixture("binary")
    codes = np.array(world.codes())  # of the candidate's rows, which the champion has to score
    world.prepare(CHAMPION, ds="2026-11-30")
    assert world.run("predict", "--ds", "2026-11-30", "--model", CHAMPION).code == 0
    scores = np.array([float(row[-1]) for row in world.read_csv("predictions/2026-11-30/predictions.csv")[1:]])
    found = world.json(COMPARISON)["champion"]["metrics"]
    assert champion.classes == ["0", "1"]
    assert found["roc_auc"] == pytest.approx(roc_auc_score(codes, scores), abs=1e-9)
    assert found["average_precision"] == pytest.approx(average_precision_score(codes, scores), abs=1e-9)


def test_compare_with_itself_gives_no_difference_and_passes(world: World) -> None:
    model = world.validated()
    world.encode_validation(model)
    result = compare(world, "--champion", model)
    assert result.code == 0, result.errors
    assert (result.result["passed"], result.result["difference"], result.result["interval"]) == (True, 0.0, [0.0, 0.0])
    assert re.match(
        r"average_precision [0-9.]+ is equal to the champion's [0-9.]+, between \+0 and \+0: not worse",
        result.result["reasons"][0],
    )
    found = world.json(COMPARISON)
    assert found["candidate"]["metrics"] == found["champion"]["metrics"]
    assert found["curves"]["candidate"] == found["curves"]["champion"]


def test_compare_without_a_champion_counts_only_the_floors(world: World) -> None:
    world.validated()
    auc = world.json(f"models/{DAY}/metrics.json")["roc_auc"]
    result = compare(world, "--champion", "", rules=json.dumps({"floors": {"roc_auc": auc}}))
    assert result.result["passed"] is True
    assert result.result["reasons"] == [f"roc_auc {auc:.6g} reaches the floor {auc:g}"]
    found = world.json(COMPARISON)
    assert (found["champion"], found["difference"], found["interval"]) == (None, None, None)
    assert found["curves"]["champion"] is None
    above = json.dumps({"floors": {"roc_auc": auc + 0.001, "log_loss": 0.0}})
    result = compare(world, rules=above)
    assert result.code == 0
    assert result.result["passed"] is False
    assert "is below the floor" in result.result["reasons"][0]
    assert re.match(r"log_loss [0-9.]+ is above 0$", result.result["reasons"][1])


def test_compare_that_cannot_measure_the_champion_leaves_it_to_a_person(world: World) -> None:
    world.validated()
    result = compare(world, "--champion", CHAMPION, "--champion-version", "2", "--incomparable", "field 'fee' is new")
    assert result.code == 0, result.errors
    assert result.result["passed"] is False
    assert (
        result.result["reasons"][0] == f"the champion {CHAMPION} cannot be measured on these rows: field 'fee' is new"
    )
    found = world.json(COMPARISON)
    assert found["champion"] is None
    assert found["incomparable"] == {"model": CHAMPION, "version": "2", "why": "field 'fee' is new"}


def test_champion_that_has_learned_the_rows_leaves_it_to_a_person(world: World) -> None:
    """Its window ends a day later, and has the candidate's day in it."""
    later = "2026-11-22"
    world.fixture = load_fixture("binary_complete")
    encoder = {**world.fixture.encoder, "days": [DAY, later]}
    world.train(later, encoder=json.dumps(encoder))
    assert world.run("validate", "--ds", later).code == 0
    world.fixture = load_fixture("binary")
    world.validated()
    world.encode_validation(f"models/{later}")
    result = compare(world, "--champion", f"models/{later}", "--champion-version", "2")
    assert result.code == 0, result.errors
    found = world.json(COMPARISON)
    why = f"it was made from rows of {DAY} and may have learned them"
    assert found["incomparable"] == {"model": f"models/{later}", "version": "2", "why": why}
    assert (found["champion"], found["difference"], found["outcome"]) == (None, None, "failed")
    assert found["reasons"][0] == f"the champion models/{later} cannot be measured on these rows: {why}"


@pytest.mark.parametrize("same", [True, False])
def test_champion_of_the_same_day_is_compared_on_its_own_validation_rows(world: World, same: bool) -> None:
    """It was restored from MLflow, so its mark names no val.csv."""
    champion = f"models/{DAY}-v1"
    world.validated()
    folder = world.root / "models" / DAY
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name not in ("_meta.json", ".lock")}
    world.publish(champion, "restore", files)
    if not same:
        rows, scores = ([*lines[1:], lines[0]] for lines in (world.fixture.rows, world.fixture.scores))
        world.fixture = replace(world.fixture, rows=rows, scores=scores)
    world.validated()
    world.encode_validation(champion)
    assert compare(world, "--champion", champion).code == 0
    assert (world.json(COMPARISON)["incomparable"] is None) == same


FIGURES = {"roc_auc": 0.9, "average_precision": 0.412, "log_loss": 0.2}
VERDICTS: dict[str, tuple[dict[str, Any], dict[str, float], list[float] | None, str, str]] = {
    "noise": (
        {}, {"average_precision": 0.442}, [-0.072, 0.021], UNDECIDED,
        "average_precision 0.412 is 0.03 worse than the champion's 0.442, between -0.072 and +0.021: they cannot be "
        "distinguished within the tolerance 0.01, the champion is kept",
    ),
    "noise_taken": (
        {"undecided": "take"}, {"average_precision": 0.442}, [-0.072, 0.021], UNDECIDED,
        "average_precision 0.412 is 0.03 worse than the champion's 0.442, between -0.072 and +0.021: they cannot be "
        "distinguished within the tolerance 0.01, the newer one is taken",
    ),
    "worse": (
        {}, {"average_precision": 0.443}, [-0.05, -0.012], FAILED,
        "average_precision 0.412 is 0.031 worse than the champion's 0.443, between -0.05 and -0.012: worse by more "
        "than the tolerance 0.01",
    ),
    "a_little_worse": (
        {}, {"average_precision": 0.416}, [-0.01, 0.002], PASSED,
        "average_precision 0.412 is 0.004 worse than the champion's 0.416, between -0.01 and +0.002: not worse by more "
        "than the tolerance 0.01",
    ),
    "better": (
        {}, {"average_precision": 0.4}, [0.002, 0.022], PASSED,
        "average_precision 0.412 is 0.012 better than the champion's 0.4, between +0.002 and +0.022: not worse by more "
        "than the tolerance 0.01",
    ),
    "loss_fell": (
        {"metric": "log_loss"}, {"log_loss": 0.25}, [-0.06, -0.04], PASSED,
        "log_loss 0.2 is 0.05 better than the champion's 0.25, between +0.04 and +0.06: not worse by more than the "
        "tolerance 0.01",
    ),
    "loss_rose": (
        {"metric": "log_loss"}, {"log_loss": 0.15}, [0.04, 0.06], FAILED,
        "log_loss 0.2 is 0.05 worse than the champion's 0.15, between -0.06 and -0.04: worse by more than the "
        "tolerance 0.01",
    ),
    "no_interval": (
        {}, {"average_precision": 0.4}, None, FAILED,
        "average_precision could not be measured for both models, so they cannot be compared",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "champion", "bounds", "expected", "said"), VERDICTS.values(), ids=VERDICTS)
def test_rule_says_with_numbers_whether_it_is_kept(
    rules: dict[str, Any], champion: dict[str, float], bounds: list[float] | None, expected: str, said: str
) -> None:
    rules = {**GATE, **rules}
    verdicts = judge(FIGURES, {**FIGURES, **champion}, bounds, rules)
    taken = expected == UNDECIDED and rules["undecided"] == "take"
    assert verdicts == [Verdict(expected, said, taken), Verdict(PASSED, "roc_auc 0.9 reaches the floor 0.75")]
    assert outcome(verdicts) == expected
    assert is_accepted(verdicts) is (expected == PASSED or taken)


def test_floor_that_is_not_reached_decides_over_a_difference_that_cannot() -> None:
    rules = {**GATE, "undecided": "take", "floors": {"roc_auc": 0.95}}
    verdicts = judge(FIGURES, {**FIGURES, "average_precision": 0.442}, [-0.072, 0.021], rules)
    assert (outcome(verdicts), is_accepted(verdicts)) == (FAILED, False)


def test_class_that_the_champion_lacks_has_probability_zero_there() -> None:
    codes = np.array([0, 1, 2, 2])
    champion = np.array([[0.3, 0.7], [0.8, 0.2], [0.5, 0.5], [0.6, 0.4]])  # of the classes c, a
    rows = align(LabelledRows(codes, champion, np.array([1, 0, 0, 0]), ("c", "a"), 2), ("a", "b", "c"))
    assert rows.classes == ("a", "b", "c")
    assert rows.probabilities.tolist() == [[0.7, 0, 0.3], [0.2, 0, 0.8], [0.5, 0, 0.5], [0.4, 0, 0.6]]
    assert rows.predicted.tolist() == [0, 2, 2, 2]
    figures = measure(rows, None)
    smallest = np.finfo(float).eps
    assert figures["log_loss"] == pytest.approx(-np.log([0.7, smallest, 0.5, 0.6]).mean())
    assert figures["log_loss"] == pytest.approx(log_loss(codes, rows.probabilities, labels=[0, 1, 2]))
    assert figures["accuracy"] == 0.75
    assert figures["recall"] == pytest.approx((1 + 0 + 1) / 3)


def test_class_that_only_the_champion_knows_counts_as_wrong() -> None:
    codes = np.array([0, 1, 1])
    champion = np.array([[0.1, 0.6, 0.3], [0.7, 0.1, 0.2], [0.2, 0.2, 0.6]])  # of the classes other, no, yes
    rows = align(LabelledRows(codes, champion, champion.argmax(axis=1), ("other", "no", "yes"), 3), ("no", "yes"))
    assert rows.classes == ("no", "yes", "other")
    assert rows.predicted.tolist() == [0, 2, 1]
    figures = measure(rows, None)
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["log_loss"] == pytest.approx(-np.log([0.6, 0.2, 0.6]).mean())
    assert figures["roc_auc"] == roc_auc_score(codes, [0.3, 0.2, 0.6])
    assert figures["confusion_matrix"] == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_compare_of_a_champion_with_other_classes_works(world: World) -> None:
    world.fixture = load_fixture("binary")
    world.validated(EARLIER_DAY)
    world.fixture = load_fixture("multiclass")
    world.validated()
    lines = world.val().splitlines()
    champion = load_fixture("binary")
    header = ["returned", *champion.features]
    rows = [line.split(",")[:1] + row for line, row in zip(lines[1:], champion.rows, strict=False)]
    rows += [[line.split(",")[0], *champion.rows[0]] for line in lines[1 + len(rows) :]]
    world.encode_validation(CHAMPION, "\n".join(",".join(row) for row in [header, *rows]) + "\n")
    result = compare(world, "--champion", CHAMPION)
    assert result.code == 0, result.errors
    found = world.json(COMPARISON)
    assert found["champion"]["metrics"]["classes"] == ["0", "1", "2"]
    assert sum(row[2] for row in found["champion"]["metrics"]["confusion_matrix"]) == 0
    assert [curve["class"] for curve in found["curves"]["champion"]] == ["0", "1", "2"]
    assert found["difference"] > 0


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1"])
@pytest.mark.parametrize("name", ["binary", "multiclass"])
def test_compare_takes_every_metric(world: World, name: str, metric: str) -> None:
    world.fixture = load_fixture(name)
    model = world.validated()
    world.encode_validation(model)
    rules = json.dumps({"metric": metric, "floors": {}, "resamples": 5})
    assert compare(world, "--champion", model, rules=rules).result["interval"] == [0, 0]


def test_compare_gives_the_same_bytes_again(world: World) -> None:
    with_champion(world)
    assert compare(world, "--champion", CHAMPION).code == 0
    first = (world.root / COMPARISON).read_bytes()
    assert compare(world, "--champion", CHAMPION, "--force").code == 0
    assert (world.root / COMPARISON).read_bytes() == first


def test_compare_records_what_it_read(world: World) -> None:
    with_champion(world)
    assert compare(world, "--champion", str(world.root / CHAMPION), "--champion-version", "3").code == 0
    step = read_partition(world.root, f"comparisons/{DAY}", []).meta["steps"]["compare"]
    files = ("model.txt", "encoder.json", "metrics.json")
    assert step["inputs"].keys() == {
        f"comparisons/{DAY}/val.csv", f"processed/{DAY}/val.csv", f"{CHAMPION}/reference_scores.csv",
        *(f"{model}/{file}" for model in (CHAMPION, f"models/{DAY}") for file in files),
    }  # fmt: skip
    assert step["parameters"]["champion"] == {"model": CHAMPION, "version": "3"}
    assert step["parameters"]["rules"]["resamples"] == 20


def test_compare_needs_no_file_that_it_does_not_read(world: World) -> None:
    """As in a rerun of this step alone, which once failed."""
    with_champion(world)
    mark = world.root / f"processed/{DAY}/_meta.json"
    content = json.loads(mark.read_text())
    content["outputs"] = {"val.csv": content["outputs"]["val.csv"]}
    mark.write_text(json.dumps(content))
    assert compare(world, "--champion", CHAMPION).code == 0


def replace_encoder(world: World) -> None:
    """Make the champion another one, after its rows were encoded."""
    encoder = {**world.fixture.encoder, "schema": {"fields": [], "title": "others"}}
    world.train(EARLIER_DAY, encoder=json.dumps(encoder))
    assert world.run("validate", "--ds", EARLIER_DAY).code == 0


def split_again(world: World) -> None:
    """Other validation rows, and a model that was trained beside them."""
    world.train(val=world.val([1, 0] * 100))
    assert world.run("validate", "--ds", DAY).code == 0


def split_without_training(world: World) -> None:
    world.publish(f"processed/{DAY}", "split", {"val.csv": world.val([1, 0] * 100)})


def other_target(world: World) -> None:
    encoder = {**world.fixture.encoder, "target": {"name": "kept", "classes": ["0", "1"]}}
    world.train(EARLIER_DAY, encoder=json.dumps(encoder), val=world.val().replace("returned", "kept"))
    assert world.run("validate", "--ds", EARLIER_DAY).code == 0


def encoded(change: Callable[[str], str]) -> Callable[[World], None]:
    return lambda world: world.encode_validation(CHAMPION, change(world.val()))


def tear(name: str) -> Callable[[World], None]:
    def cut(world: World) -> None:
        path = world.root / name
        path.write_bytes(path.read_bytes()[:-20])

    return cut


def swap_codes(text: str) -> str:
    head, first, *rest = text.splitlines(keepends=True)
    return head + ("0" if first[0] == "1" else "1") + first[1:] + "".join(rest)


FAULTS: dict[str, tuple[Callable[[World], None], int, str]] = {
    "other_encoder": (replace_encoder, 3, f"comparisons/{DAY}/val.csv was encoded for another model, with"),
    "other_split": (split_again, 3, f"was made from another processed/{DAY}/val.csv"),
    "split_only": (split_without_training, 3, f"is not the file that models/{DAY} was trained beside"),
    "other_target": (other_target, 3, f"{CHAMPION} predicts 'kept', models/{DAY} 'returned'"),
    "fewer_rows": (encoded(lambda text: text[: text.rindex("\n", 0, -1) + 1]), 3, "has 199 rows; expected: 200"),
    "other_column": (encoded(lambda text: text.replace("returned", "kept", 1)), 3, "missing columns: returned"),
    "other_codes": (encoded(swap_codes), 3, f"row 1 of comparisons/{DAY}/val.csv has the class code"),
    "garbage": (encoded(lambda text: text.replace("\n", "\nx", 1)), 3, "row 1: returned is 'x"),
    "torn_rows": (tear(f"comparisons/{DAY}/val.csv"), 3, "as its mark says"),
    "torn_champion": (tear(f"{CHAMPION}/model.txt"), 3, "as its mark says"),
    "torn_candidate": (tear(f"models/{DAY}/metrics.json"), 3, "as its mark says"),
    "not_encoded": (lambda world: (world.root / f"comparisons/{DAY}/_meta.json").unlink(), 4, "is not ready"),
    "not_validated": (lambda world: world.train(EARLIER_DAY), 4, f"{CHAMPION} is not validated"),
}


@pytest.mark.parametrize(("spoil", "code", "said"), FAULTS.values(), ids=FAULTS)
def test_compare_refuses_what_does_not_belong_together(
    world: World, spoil: Callable[[World], None], code: int, said: str
) -> None:
    with_champion(world)
    spoil(world)
    before = world.tree()
    result = compare(world, "--champion", CHAMPION)
    assert (result.code, said in result.errors) == (code, True), result.errors
    assert world.tree() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rules-json", '{"floor": {}}'], "unknown key 'floor'"),
        (["--champion", "raw/2026-11-21"], "is not a model"),
    ],
)
def test_compare_used_wrongly_ends_with_2(world: World, arguments: list[str], said: str) -> None:
    world.validated()
    result = world.run("compare", "--ds", DAY, *arguments)
    assert result.code == 2
    assert said in result.errors
