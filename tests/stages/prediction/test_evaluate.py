"""`evaluate`: a scored day against its targets, which come later, in another order and not for all rows."""

import csv
import io
import json
import random
import shutil

import numpy as np
import pytest
from conftest import DAY, EARLIER_DAY, World, load_fixture
from scored import EVALUATION, LENIENT, MODEL, evaluate, scored, targets_of, without
from sklearn.metrics import f1_score, roc_auc_score
from stagekit import Publication, read_partition
from stagekit.contract import HIGHER_IS_BETTER

import labels
from feature_table import CHUNK_ROWS
from metrics import predict_codes


@pytest.mark.parametrize("name", ["binary", "binary_categories", "multiclass"])
def test_day_like_the_validation_rows_has_their_metrics_and_no_drift(world: World, name: str) -> None:
    scored(world, name)
    world.target(targets_of(world))
    result = evaluate(world)
    found = world.json(EVALUATION)
    trained = world.json(f"{MODEL}/metrics.json")
    assert found["trained"] == trained
    # Calibrated by other calibrators: in training, by those of four fifths of the rows.
    intervals, of_validation = found["metrics"]["intervals"], ("reproduction", "calibrator", "calibrated")
    assert {key: value for key, value in found["metrics"].items() if key != "calibrated"} == {
        key: value for key, value in trained.items() if key not in of_validation
    }
    assert all(low <= found["metrics"][name] <= high for name, (low, high) in intervals.items())
    assert intervals.keys() == HIGHER_IS_BETTER.keys()
    assert found["curves"] == world.json(f"{MODEL}/curves.json")["curves"]
    assert [feature["name"] for feature in found["drift"]["features"]] == world.fixture.features
    assert {feature["psi"] for feature in found["drift"]["features"]} == {0.0}
    assert found["drift"]["score"]["psi"] == 0.0
    assert found["model"] == {"name": MODEL, "version": "3", "run_id": "0a1b"}
    assert found["trained_on_day"] is result["trained_on_day"] is False
    assert found["breaches"] == result["crossed"] == []
    assert result["rows"] == found["rows"] == 200
    assert result["metrics"]["roc_auc"] == trained["roc_auc"]


def test_targets_are_joined_by_key_in_whatever_order(world: World) -> None:
    scored(world)
    rows = targets_of(world)
    world.target(rows)
    evaluate(world)
    first = world.json(EVALUATION)
    random.Random(1).shuffle(rows)
    world.target(rows)
    evaluate(world)
    assert world.json(EVALUATION) == first


def test_metrics_are_those_of_the_rows_that_have_a_target(world: World) -> None:
    scored(world)
    rows = targets_of(world)[:120]
    stranger = [["00000", "999", "1"], ["77777", "0", "0"]]
    again = [rows[5], rows[5]]  # the first row of this key comes before these
    contradictory = [["00000", "130", "1"], ["00000", "130", "0"]]
    world.target([*rows, *stranger, *again, *contradictory, ["00000", "150", ""]])
    found = evaluate(world)
    assert found["target"] == {
        "rows": 127, "malformed": 0, "missing": 1, "unreadable": 0, "contradictory": 2, "repeated": 2,
        "matched": 120, "without_prediction": 2, "without_target": 80, "new_classes": {},
    }  # fmt: skip
    codes = np.array(world.codes()[:120])
    scores = np.array(world.fixture.scores, dtype=float)[:120]
    threshold = world.json(f"{MODEL}/metrics.json")["threshold"]
    assert found["metrics"]["rows"] == 120
    assert found["metrics"]["roc_auc"] == pytest.approx(roc_auc_score(codes, scores[:, 1]), abs=1e-9)
    assert found["metrics"]["f1"] == pytest.approx(f1_score(codes, predict_codes(scores, threshold)), abs=1e-9)


def test_class_that_the_model_does_not_know_is_a_breach_and_in_no_metric(world: World) -> None:
    scored(world)
    rows = targets_of(world)
    rows[3][2] = rows[150][2] = "2"
    rows[7][2] = "lost"
    world.target([*rows, ["88888", "1", "never seen, not scored"]])
    found = evaluate(world)
    assert found["target"]["new_classes"] == {"2": 2, "lost": 1}
    assert found["metrics"]["rows"] == 197
    assert found["crossed"] == [
        "2 rows are of class '2', which the model does not know; they are in no metric",
        "1 rows are of class 'lost', which the model does not know; they are in no metric",
    ]
    breach = world.json(EVALUATION)["breaches"][0]
    assert (breach["what"], breach["subject"], breach["value"], breach["limit"]) == ("new_class", "2", 2, 0)


def test_target_with_a_value_of_its_own_in_each_row_names_a_hundred(world: World) -> None:
    scored(world)
    world.target([[order, line, f"class {line}"] for order, line, _ in targets_of(world)])
    found = evaluate(world)
    assert found["metrics"] is None
    assert len(found["target"]["new_classes"]) == labels.MOST_NEW_CLASSES + 1
    assert found["target"]["new_classes"][labels.OTHER_CLASSES] == 100
    assert sum(found["target"]["new_classes"].values()) == 200


def test_day_without_target_has_drift_alone(world: World) -> None:
    scored(world)
    result = world.run("evaluate", "--ds", DAY, "--rules-json", LENIENT)
    assert result.code == 0
    assert f"there is no target.csv for {DAY} yet: only drift is measured" in result.errors
    found = world.json(EVALUATION)
    assert (found["metrics"], found["curves"], found["target"]) == (None, None, None)
    assert found["drift"]["score"]["psi"] == 0.0
    world.target(targets_of(world))
    assert evaluate(world)["metrics"]["rows"] == 200


def test_day_of_one_class_has_no_ranking(world: World) -> None:
    scored(world)
    world.target(targets_of(world, [0] * 200))
    result = world.run("evaluate", "--ds", DAY, "--rules-json", json.dumps({"most_drop": 0, "floors": {"roc_auc": 1}}))
    assert "roc_auc has no value: it needs rows of two classes" in result.errors
    found = world.json(EVALUATION)
    assert (found["metrics"]["roc_auc"], found["metrics"]["average_precision"], found["curves"]) == (None, None, [])
    assert found["metrics"]["log_loss"] > 0
    assert [(breach["what"], breach["subject"]) for breach in found["breaches"]] == [("not_measured", "roc_auc")]
    assert found["breaches"][0]["text"] == (
        "roc_auc was not measured: it needs rows of the class and other rows, "
        "and of 200 labelled rows 200 are of class '0'"
    )


def test_target_of_other_rows_gives_no_metrics(world: World) -> None:
    scored(world)
    world.target([["99999", str(number), "1"] for number in range(5)])
    found = evaluate(world)
    assert found["metrics"] is None
    assert (found["target"]["matched"], found["target"]["without_prediction"]) == (0, 5)
    assert found["crossed"] == [
        "roc_auc was not measured: none of 200 predictions has a label of a class that the model knows",
        "5 of 5 rows of target.csv cannot be used (without prediction 5): 100.00%, more than 10.00%",
    ]


def test_day_is_evaluated_with_all_its_deliveries_or_with_those_of_a_time(world: World) -> None:
    scored(world)
    world.target(targets_of(world))
    evaluate(world)
    before = world.tree()
    world.publish(f"raw/{DAY}", "import-target-2", {"target-2.csv": "order,line,returned\n"})
    result = world.run("evaluate", "--ds", DAY, "--rules-json", LENIENT)
    assert result.code == 4
    assert f"labels/{DAY} was made from another raw/{DAY}/target-2.csv" in result.errors
    assert f"run `preprocessing label --ds {DAY}`" in result.errors
    mark = world.root / f"labels/{DAY}/_meta.json"
    content = json.loads(mark.read_text())
    content["steps"]["label"]["call"] = {"stage": "preprocessing", "arguments": {"as_of": "2026-11-22T04:00:00Z"}}
    mark.write_text(json.dumps(content))
    evaluate(world)
    assert world.tree()[EVALUATION] == before[EVALUATION]


def test_labels_count_where_the_raw_day_is_gone(world: World) -> None:
    """As in a rerun of this step alone, which once measured only drift."""
    scored(world)
    world.target(targets_of(world))
    evaluate(world)
    before = world.tree()[EVALUATION]
    for folder in ("raw", "reports"):
        shutil.rmtree(world.root / folder / DAY)
    evaluate(world)
    assert world.tree()[EVALUATION] == before
    mark = world.root / f"labels/{DAY}/_meta.json"
    mark.write_text(mark.read_text().replace(f"{MODEL}/encoder.json", "models/2026-01-01/encoder.json"))
    result = world.run("evaluate", "--ds", DAY, "--rules-json", LENIENT)
    assert f"labels/{DAY} was made with another encoder than that of {MODEL}, so it is not used" in result.errors
    assert world.json(EVALUATION)["metrics"] is None


def test_labels_that_cannot_be_used_are_a_breach_with_an_example(world: World) -> None:
    scored(world)
    rows = targets_of(world)
    for row in rows[:40]:
        row[2] = ""
    world.target(rows)
    found = evaluate(world)
    assert found["crossed"] == [
        "40 of 200 rows of target.csv cannot be used (missing 40): 20.00%, more than 10.00%; "
        "such as target.csv line 2: returned: missing, a value is required; "
        '"partial": true of the target in schema.json says that labels may come later or never'
    ]
    assert len(world.json(EVALUATION)["target"]["examples"]) == 5
    assert evaluate(world, json.dumps({**json.loads(LENIENT), "unusable_labels": 0.15}))["crossed"] == []


def test_labels_that_are_all_still_to_come_are_no_breach(world: World) -> None:
    """A table with a column for labels of which none is known yet is like a day without labels."""
    scored(world)
    world.target([[order, line, ""] for order, line, _ in targets_of(world)])
    header = "file,line,reason,row\n"
    world.label([], counts={"rows": 200, "unlabelled": 200}, rejected=header)
    found = evaluate(world)
    assert (found["target"]["unlabelled"], found["metrics"], found["crossed"]) == (200, None, [])
    wrong = f"{header}target.csv,2,why,x\n"
    world.label([], counts={"rows": 200, "unlabelled": 198, "unreadable": 2}, rejected=wrong)
    assert evaluate(world)["crossed"] == []
    world.label([["99999", "1", "0"]], counts={"rows": 200, "unlabelled": 198, "unreadable": 1}, rejected=wrong)
    assert evaluate(world)["crossed"] == []  # its only label is of a row without a prediction
    world.label([], counts={"rows": 200, "unlabelled": 100, "unreadable": 70, "missing": 30}, rejected=wrong)
    (crossed,) = evaluate(world)["crossed"]
    assert crossed.startswith("100 of 100 labels of target.csv cannot be used (missing 30, unreadable 70): 100.00%")
    assert '"partial"' not in crossed


def test_labels_that_have_come_are_judged_without_those_that_have_not(world: World) -> None:
    """45 of 60 labels that cannot be read were 4.5 % of 1,000 rows, and no breach."""
    scored(world)
    rows = targets_of(world)[:15]
    world.target(rows)
    counts = {"rows": 1000, "unlabelled": 940, "unreadable": 40, "contradictory": 5}
    rejected = "file,line,reason,row\ntarget.csv,2,returned: 'x' is no integer,x\n"
    world.label(rows, counts=counts, rejected=rejected)
    run = world.run("evaluate", "--ds", DAY, "--rules-json", LENIENT)
    said = "45 of 60 labels of target.csv cannot be used (unreadable 40, contradictory 5): 75.00%, more than 10.00%; "
    said += "such as target.csv line 2: returned: 'x' is no integer"
    assert run.result["crossed"] == [said]
    # `confirm` decides whether it counts, and `label` has shown the example.
    assert f"INFO prediction evaluate: crossed, which `confirm` decides on: {said}" in run.errors
    assert "not used: " not in run.errors
    run = world.run("confirm", "--ds", DAY, "--rules-json", LENIENT)
    assert run.result["breaches"] == [said]
    assert f"WARNING prediction confirm: {said}" in run.errors


def test_unusable_labels_are_a_share_of_the_rows_that_are_not_superseded(world: World) -> None:
    """Rows that a later delivery supersedes made the share small, or, counted as repeated, large."""
    scored(world)
    world.target(targets_of(world))
    of_many = {"rows": 2060, "superseded": 1700, "unlabelled": 60}
    rejected = "file,line,reason,row\ntarget.csv,2,returned: 'x' is no integer,x\n"
    world.label(targets_of(world), counts={**of_many, "unreadable": 60}, rejected=rejected)
    (crossed,) = evaluate(world)["crossed"]
    assert crossed.startswith("60 of 300 labels of target.csv cannot be used (unreadable 60): 20.00%, more than 10.00%")
    world.label(targets_of(world), counts=of_many)
    found = evaluate(world)
    assert (found["target"]["superseded"], found["crossed"]) == (1700, [])


def test_day_whose_labels_cannot_be_read_is_not_good(world: World) -> None:
    scored(world)
    world.target(targets_of(world))
    rejected = "file,line,reason,row\ntarget.csv,2,returned: 'x' is no integer,x\n"
    world.label([], counts={"rows": 200, "unreadable": 200}, rejected=rejected)
    assert evaluate(world)["crossed"] == [
        "roc_auc was not measured: none of 200 predictions has a label of a class that the model knows",
        "200 of 200 rows of target.csv cannot be used (unreadable 200): 100.00%, more than 10.00%; "
        "such as target.csv line 2: returned: 'x' is no integer",
    ]


def test_what_has_moved_is_reported(world: World) -> None:
    fixture = load_fixture("binary_complete")
    moved = fixture.features[0]
    lines = [["00000", str(number), "1e6", *row[1:]] for number, row in enumerate(fixture.rows)]
    header = ["order", "line", *fixture.features]
    scored(world, "binary_complete", "\n".join(",".join(line) for line in [header, *lines]) + "\n")
    found = evaluate(world, json.dumps({"score_psi": 0.0, "feature_psi": 5}))
    drift = world.json(EVALUATION)["drift"]
    assert drift["features"][0]["actual"][-2:] == [1.0, 0.0]  # all rows above the highest decile
    assert [feature["psi"] for feature in drift["features"][1:]] == [0.0] * (len(fixture.features) - 1)
    expected = np.maximum(np.array(drift["features"][0]["expected"]), 1e-4)
    actual = np.maximum(np.array(drift["features"][0]["actual"]), 1e-4)
    psi = float(((actual - expected) * np.log(actual / expected)).sum())
    assert drift["features"][0]["psi"] == pytest.approx(psi, abs=1e-8)
    assert found["drift"]["max_feature"] == {"name": moved, "psi": drift["features"][0]["psi"]}
    assert found["crossed"] == [
        f"the score has moved: PSI {drift['score']['psi']:.4g}, above 0 and the "
        f"{drift['score']['by_chance']:.2g} that chance explains",
        f"the feature {moved} has moved: PSI {psi:.4g}, above 5 and the "
        f"{drift['features'][0]['by_chance']:.2g} that chance explains",
    ]


def test_weekday_and_day_of_the_month_always_move_and_break_no_rule(world: World) -> None:
    world.fixture = load_fixture("binary_complete")
    encoder = world.fixture.encoder
    encoder["features"][0]["kind"], encoder["features"][1]["kind"] = "weekday", "day"
    world.train(EARLIER_DAY, encoder=json.dumps(encoder))
    assert world.run("validate", "--ds", EARLIER_DAY).code == 0
    lines = [["00000", str(number), "1e6", "1e6", *row[2:]] for number, row in enumerate(world.fixture.rows)]
    text = "\n".join(",".join(line) for line in [["order", "line", *world.fixture.features], *lines]) + "\n"
    world.prepare(MODEL, text)
    assert world.run("predict", "--ds", DAY, "--model", MODEL).code == 0
    found = evaluate(world, json.dumps({"score_psi": 99}))
    assert world.json(EVALUATION)["drift"]["features"][0]["psi"] > 1
    assert found["drift"]["max_feature"]["psi"] == 0
    assert found["crossed"] == []


def test_worse_day_breaks_the_rules_of_metrics(world: World) -> None:
    scored(world)
    world.target(targets_of(world, [1 - code for code in world.codes()]))
    rules = {"metric": "roc_auc", "most_drop": 0.1, "floors": {"roc_auc": 0.7, "log_loss": 0.1}}
    found = evaluate(world, json.dumps(rules))
    before, now = world.json(f"{MODEL}/metrics.json")["roc_auc"], found["metrics"]["roc_auc"]
    auc, loss = (
        f"{metrics[name]:.6g} ({metrics['intervals'][name][0]:.3g} to {metrics['intervals'][name][1]:.3g})"
        for metrics in [world.json(EVALUATION)["metrics"]]
        for name in ("roc_auc", "log_loss")
    )
    assert now == pytest.approx(1 - before)
    assert found["crossed"] == [
        f"roc_auc {auc} is {before - now:.6g} worse than {before:.6g} at validation, more than 0.1",
        f"roc_auc {auc} is below the floor 0.7",
        f"log_loss {loss} is above the highest value allowed, 0.1",
    ]


@pytest.mark.parametrize(("rows", "crossed"), [(6, []), (200, ["most_drop", "floors"])])
def test_metric_breaks_a_rule_only_if_its_interval_does(world: World, rows: int, crossed: list[str]) -> None:
    """The same fall of the figure, on few rows and on many."""
    scored(world)
    worse = [1 - code if number % 3 else code for number, code in enumerate(world.codes())]
    world.target(targets_of(world, worse)[:rows])
    evaluate(world, json.dumps({"most_drop": 0.1, "floors": {"roc_auc": 0.7}}))
    found = world.json(EVALUATION)
    assert found["metrics"]["roc_auc"] < 0.7
    assert [breach["what"] for breach in found["breaches"] if breach["subject"] == "roc_auc"] == crossed


def test_few_rows_of_one_class_are_not_measured_and_break_no_rule(world: World) -> None:
    """Three rows of the common class say nothing; two hundred would be a fault of the labels."""
    scored(world)
    world.target(targets_of(world, [0] * 200)[:3])
    evaluate(world, json.dumps({"floors": {}, "most_drop": 9}))
    found = world.json(EVALUATION)
    assert found["metrics"]["roc_auc"] is None
    assert found["breaches"] == []


def test_rejected_rows_are_those_that_the_mark_of_the_features_records(world: World) -> None:
    world.fixture = load_fixture("binary")
    world.validated(EARLIER_DAY)
    world.prepare(MODEL)
    mark = world.root / "features" / DAY / "_meta.json"
    content = json.loads(mark.read_text())
    prepared = {"rows_in": 230, "rows_out": 200, "rejected": {"data.csv": 30}, "reasons": {"size: missing": 30}}
    content["steps"]["features"]["result"] = {"partition": f"features/{DAY}", **prepared}
    mark.write_text(json.dumps(content))
    assert world.run("predict", "--ds", DAY, "--model", MODEL).code == 0
    found = evaluate(world)
    assert world.json(EVALUATION)["quality"] == prepared
    assert found["crossed"] == ["30 of 230 rows of data.csv were rejected: 13.04%, more than 5.00%"]
    step = read_partition(world.root, f"reports/{DAY}", []).meta["steps"]["evaluate"]
    assert step["parameters"]["quality"] == prepared


def test_quality_is_null_if_the_mark_does_not_record_it(world: World) -> None:
    scored(world)
    evaluate(world)
    assert world.json(EVALUATION)["quality"] == dict.fromkeys(("rows_in", "rows_out", "rejected", "reasons"))


def test_model_without_a_baseline_gives_metrics_and_no_drift(world: World) -> None:
    world.fixture = load_fixture("binary")
    world.validated(EARLIER_DAY)
    metrics = (world.root / MODEL / "metrics.json").read_bytes()
    inputs = [read_partition(world.root, MODEL, ["model.txt", "encoder.json"])]
    with Publication(world.root, MODEL, "validate", inputs=inputs) as publication:  # as before there were baselines
        publication.path("metrics.json").write_bytes(metrics)
    world.prepare(MODEL)
    assert world.run("predict", "--ds", DAY, "--model", MODEL).code == 0
    world.target(targets_of(world))
    result = world.run("evaluate", "--ds", DAY, "--rules-json", LENIENT)
    assert result.code == 0, result.errors
    assert f"{MODEL} has no baseline.json: drift is not measured; do: run prediction validate" in result.errors
    assert (result.result["drift"], result.result["metrics"]["rows"]) == (None, 200)
    assert world.json(EVALUATION)["drift"] is None


def test_evaluate_over_several_chunks_joins_every_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    repeat = 700
    fixture = load_fixture("binary")
    text = World(world.root, world.capture, fixture).features(repeat)
    scored(world, "binary", text)
    codes = world.codes()
    rows = [[f"{turn:05d}", number, code] for turn in range(repeat) for number, code in enumerate(codes)]
    random.Random(2).shuffle(rows)
    world.target(rows)
    found = evaluate(world)
    assert found["target"]["matched"] == found["rows"] == repeat * 200 > CHUNK_ROWS
    assert found["metrics"]["roc_auc"] == world.json(f"{MODEL}/metrics.json")["roc_auc"]
    assert found["drift"]["score"] == found["drift"]["max_feature"]["psi"] == 0.0


def test_keys_that_share_one_hash_differ_by_the_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = labels.hash_array

    def colliding(texts: np.ndarray, *, hash_key: str, categorize: bool) -> np.ndarray:
        hashes = real(texts, hash_key=hash_key, categorize=categorize)
        return hashes % np.uint64(3) if hash_key == labels.HASH_KEYS[0] else hashes

    scored(world)
    world.target(targets_of(world))
    evaluate(world)
    first = world.json(EVALUATION)
    monkeypatch.setattr(labels, "hash_array", colliding)
    evaluate(world, LENIENT, "--force")
    assert world.json(EVALUATION) == first


def test_evaluate_gives_the_same_bytes_again(world: World) -> None:
    scored(world)
    world.target(targets_of(world))
    evaluate(world)
    first = (world.root / EVALUATION).read_bytes()
    evaluate(world, LENIENT, "--force")
    assert (world.root / EVALUATION).read_bytes() == first


def test_evaluate_records_what_it_read(world: World) -> None:
    scored(world)
    world.target(targets_of(world))
    evaluate(world)
    step = read_partition(world.root, f"reports/{DAY}", []).meta["steps"]["evaluate"]
    assert step["inputs"].keys() == {
        f"predictions/{DAY}/predictions.csv", f"features/{DAY}/features.csv", f"labels/{DAY}/labels.csv",
        f"labels/{DAY}/rejected.csv",
        *(f"{MODEL}/{file}" for file in ("model.txt", "encoder.json", "metrics.json", "baseline.json")),
    }  # fmt: skip
    assert step["parameters"]["model"] == {"name": MODEL, "version": "3", "run_id": "0a1b"}


def test_quoted_keys_are_joined(world: World) -> None:
    world.fixture = load_fixture("binary")
    world.validated(EARLIER_DAY)
    rows = [["a,b", '"q"', *row] for row in world.fixture.rows[:1]] + [["c\nd", "é", *world.fixture.rows[1]]]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["order", "line", *world.fixture.features], *rows])
    world.prepare(MODEL, text.getvalue())
    assert world.run("predict", "--ds", DAY, "--model", MODEL).code == 0
    world.target([["c\nd", "é", "1"], ["a,b", '"q"', "0"]])
    assert evaluate(world)["target"]["matched"] == 2


@pytest.mark.parametrize(
    ("name", "rows", "found"),
    [
        ("binary", 40, {}),
        ("binary_complete", 0, {}),
        ("binary_complete", 2, {"wait": 2}),
        ("binary_complete", 40, {"wait": 40}),
    ],
)
def test_values_that_the_model_reads_as_zero_are_a_breach_above_the_limit(
    world: World, name: str, rows: int, found: dict[str, int]
) -> None:
    """The model of `binary_complete` never saw a missing value. Two of 200 rows are within the limit of 1 %."""
    world.fixture = load_fixture(name)
    scored(world, name, without(world, "wait", rows))
    result = evaluate(world, json.dumps({"feature_psi": 99, "score_psi": 99}))
    evaluation = world.json(EVALUATION)
    assert evaluation["missing_as_zero"] == found
    said = "wait is missing in 40 of 200 rows: 20.00%, more than 1.00%; "
    said += "it never was in training, so the model reads 0 there"
    assert result["crossed"] == ([said] if found == {"wait": 40} else [])


@pytest.mark.parametrize("window", [None, (DAY, "2026-11-30")])
def test_figures_of_a_day_that_the_model_was_trained_on_break_no_rule(
    world: World, window: tuple[str, str] | None
) -> None:
    """They are of rows that it has learned from, so they say nothing about it, good or bad."""
    if window:
        world.train(window[-1], encoder=json.dumps({**world.fixture.encoder, "days": window}))
        assert world.run("validate", "--ds", window[-1]).code == 0
    model = f"models/{window[-1]}" if window else world.validated(DAY)
    world.prepare(model)
    assert world.run("predict", "--ds", DAY, "--model", model).code == 0
    world.target(targets_of(world))
    impossible = json.dumps({"floors": {"roc_auc": 1.0}, "most_drop": 0})
    assert evaluate(world, impossible)["crossed"] == []
    assert world.json(EVALUATION)["trained_on_day"] is True
    assert world.json(EVALUATION)["no_estimate"] == "the model was trained on rows of this day"


def test_same_figures_of_another_day_break_the_rule(world: World) -> None:
    scored(world)
    world.target(targets_of(world))
    assert len(evaluate(world, json.dumps({"floors": {"roc_auc": 1.0}}))["crossed"]) == 1
