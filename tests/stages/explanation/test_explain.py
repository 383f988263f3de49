"""`explain`: the reasons of each row add up to its score, name what the person knows, and come from the right model."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DAY, EXPLAINED, FEATURES, KINDS, MODEL, World, make_values
from stagekit import read_partition

import contributions
import reasons
from tests.hostile import with_tree_sizes

THREE = ("high", "low", "middle")
BASELINE = {
    "version": 1,
    "rows": 4,
    "features": [
        {"name": "price", "kind": "number", "labels": ["up to 40", "above 40", "missing"], "edges": [40.0],
         "counts": [1, 2, 1]},
        {"name": "shop", "kind": "category", "labels": ["north", "other", "missing"], "codes": [[1], [0, 2, 3]],
         "counts": [1, 3, 0]},
    ],
    "score": {"labels": ["up to 1"], "edges": [], "counts": [4]},
}  # fmt: skip


def parts_of(row: dict[str, str], number: int) -> list[float]:
    """Every part of a row's raw score that reasons.csv has."""
    named = [row[f"contribution_{place}"] for place in range(1, number + 1)]
    return [float(text) for text in [row["base_value"], *named, row["other_contributions"]] if text]


@pytest.mark.parametrize("classes", [("no", "yes"), THREE])
@pytest.mark.parametrize("number", [1, 3, 4])
def test_parts_of_each_row_add_up_to_lightgbms_raw_score(world: World, classes: tuple[str, ...], number: int) -> None:
    world.classes = classes
    booster, values = world.train(), make_values(300, seed=3)
    world.prepare(values)
    rows = world.explain(f"--reasons={number}")
    raw = booster.predict(values, raw_score=True)
    names = [row["explained_class"] for row in rows]
    own = raw if len(classes) == 2 else raw[np.arange(300), [classes.index(name) for name in names]]
    assert [float(row["raw_score"]) for row in rows] == own.tolist()
    assert max(abs(sum(parts_of(row, number)) - score) for row, score in zip(rows, own, strict=True)) <= 1e-9


def test_all_contributions_of_lightgbm_add_up_and_the_strongest_are_named(world: World) -> None:
    booster, values = world.train(), make_values(300, seed=3)
    world.prepare(values)
    rows = world.explain("--reasons=2")
    every = booster.predict(values, pred_contrib=True)
    assert np.abs(every.sum(axis=1) - booster.predict(values, raw_score=True)).max() <= 1e-9
    for row, parts in zip(rows, every[:, :-1].tolist(), strict=True):
        by_strength = sorted(zip(KINDS, parts, strict=True), key=lambda part: -abs(part[1]))
        found = [(row[f"feature_{place}"], float(row[f"contribution_{place}"])) for place in (1, 2)]
        assert found == by_strength[:2]


@pytest.mark.parametrize("classes", [("no", "yes"), THREE])
def test_explained_class_and_score_are_those_that_predict_writes(world: World, classes: tuple[str, ...]) -> None:
    """Of two classes the second, of more the most probable."""
    world.classes = classes
    booster, values = world.train(), make_values(200, seed=3)
    world.prepare(values)
    rows = world.explain()
    scores = booster.predict(values)
    codes = np.ones(200, int) if len(classes) == 2 else scores.argmax(axis=1)
    assert [row["explained_class"] for row in rows] == [classes[code] for code in codes]
    expected = scores if len(classes) == 2 else scores.max(axis=1)
    assert [float(row["score"]) for row in rows] == expected.tolist()
    assert {row["explained_class"] for row in rows} == set(classes[1:] if len(classes) == 2 else classes)


def test_score_is_the_logistic_of_the_raw_score(world: World) -> None:
    world.train()
    world.prepare(make_values(50, seed=3))
    for row in world.explain():
        assert float(row["score"]) == pytest.approx(1 / (1 + np.exp(-float(row["raw_score"]))), abs=1e-12)


def test_values_are_texts_that_people_know(world: World) -> None:
    world.train()
    world.prepare(np.array([[12.5, 1, 0, 23], [np.nan, np.nan, 1, 7]]), keys=['a,"b', "c\nd"])
    first, second = world.explain("--reasons=4")
    values = [
        {row[f"feature_{n}"]: row[f"value_{n}"] for n in range(1, 5) if row[f"feature_{n}"]} for row in (first, second)
    ]
    assert (first["order"], second["order"]) == ('a,"b', "c\nd")
    expected = [
        {"price": "12.5", "shop": "north", "gift": "false", "bought_hour": "23"},
        {"price": "", "shop": "", "gift": "true", "bought_hour": "7"},
    ]
    assert [{**expected[n], **values[n]} for n in (0, 1)] == expected
    assert {"price", "shop", "gift"} <= values[0].keys() & values[1].keys()


@pytest.mark.parametrize("field", ["price", "shop", "gift", "bought"])
def test_value_of_a_sensitive_field_is_masked(world: World, field: str) -> None:
    world.fields = [{**one, "sensitive": True} if one["name"] == field else one for one in world.fields]
    world.train(BASELINE)
    world.prepare(np.array([[12.75, 1, 0, 23], [77.25, 3, 1, 7]]))
    rows = world.explain("--reasons=4")
    shown = {(row[f"feature_{n}"], row[f"value_{n}"]) for row in rows for n in range(1, 5)}
    made_from_it = {"bought": "bought_hour"}.get(field, field)
    assert {value for name, value in shown if name == made_from_it} <= {"…"}
    assert all(value not in ("", "…") for name, value in shown if name and name != made_from_it)
    if field != "bought":
        assert (field, "…") in shown
    bins = {one["name"]: one["bins"] for one in world.document()["features"]}
    assert bins[made_from_it] is None


def test_constant_model_has_no_reasons(world: World) -> None:
    world.train(min_data_in_leaf=10_000)
    world.prepare(make_values(3, seed=3))
    for row in world.explain():
        assert (row["feature_1"], row["value_1"], row["contribution_1"]) == ("", "", "")
        assert float(row["base_value"]) == pytest.approx(float(row["raw_score"]), abs=1e-9)
        assert float(row["other_contributions"]) == 0


def test_chunks_make_no_difference(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.train(BASELINE)
    world.prepare(make_values(100, seed=3))
    world.explain()
    whole = {name: world.output(name) for name in ("reasons.csv", "contributions.json")}
    monkeypatch.setattr(reasons, "MOST_ROWS", 7)
    world.explain("--force")
    assert {name: world.output(name) for name in whole} == whole


@pytest.mark.parametrize(("features", "classes", "rows"), [(4, 2, 1 << 15), (1023, 2, 1024), (1023, 512, 2)])
def test_memory_of_a_chunk_is_bounded(world: World, features: int, classes: int, rows: int) -> None:
    from stagekit.contract import Encoder, Feature

    names = tuple(map(str, range(classes)))
    made = tuple(Feature(f"f{n}", f"f{n}", "number") for n in range(features))
    assert reasons.rows_of_a_chunk(Encoder(("k",), "y", names, made, {})) == rows


def test_contributions_sum_up_the_day(world: World) -> None:
    booster = world.train(BASELINE)
    values = make_values(200, seed=3)
    world.prepare(values)
    world.explain()
    every = booster.predict(values, pred_contrib=True)[:, :-1]
    document = world.document()
    assert (document["rows"], document["model"], document["classes"]) == (200, MODEL, ["no", "yes"])
    found = {one["name"]: one for one in document["features"]}
    strengths = [one["mean_absolute"] for one in document["features"]]
    assert strengths == sorted(strengths, reverse=True)
    for number, name in enumerate(KINDS):
        assert found[name]["mean_absolute"] == pytest.approx(np.abs(every[:, number]).mean(), abs=1e-9)
    price, shop = values[:, 0], values[:, 1]
    masks = {
        "price": [price <= 40, price > 40, np.isnan(price)],
        "shop": [shop == 1, np.isin(shop, (0, 2, 3)), np.isnan(shop)],
    }
    for number, name in enumerate(masks):
        assert found[name]["bins"]["rows"] == [int(mask.sum()) for mask in masks[name]]
        means = [every[mask, number].mean() for mask in masks[name]]
        assert found[name]["bins"]["means"] == pytest.approx(means, abs=1e-9)
    assert found["gift"]["bins"] is None


def test_bin_without_rows_has_no_mean(world: World) -> None:
    world.train(BASELINE)
    world.prepare(np.array([[12.5, 1, 0, 23]]))
    world.explain()
    price = next(one for one in world.document()["features"] if one["name"] == "price")
    assert price["bins"]["rows"] == [1, 0, 0]
    assert price["bins"]["means"][1:] == [None, None]


def test_more_classes_have_no_bins(world: World) -> None:
    """Rows of one bin have contributions to different classes: their mean says nothing."""
    world.classes = THREE
    world.train(BASELINE)
    world.prepare(make_values(20, seed=3))
    world.explain()
    assert {one["bins"] for one in world.document()["features"]} == {None}


def test_mark_and_result_name_model_version_and_run(world: World) -> None:
    world.train(BASELINE)
    world.prepare(make_values(20, seed=3))
    done = world.run("--model-version=3", "--model-run-id=abc", "--reasons=2")
    assert (done.line["rows"], done.line["reasons"], done.line["version"]) == (20, 2, "3")
    assert done.line["largest_difference"] <= 1e-9
    assert list(done.line["base_values"]) == ["yes"]
    step = read_partition(world.root, EXPLAINED, []).meta["steps"]["explain"]
    assert step["parameters"] == {"model": MODEL, "version": "3", "run_id": "abc", "reasons": 2}
    made_from = [f"{FEATURES}/features.csv", *(f"{MODEL}/{name}" for name in ("model.txt", "encoder.json"))]
    assert sorted(step["inputs"]) == sorted([*made_from, f"{MODEL}/baseline.json"])


def test_more_reasons_than_features_are_as_many_as_there_are(world: World) -> None:
    world.train()
    world.prepare(make_values(5, seed=3))
    (row, *_) = world.explain("--reasons=9")
    assert "feature_4" in row
    assert "feature_5" not in row


def test_same_call_again_loads_no_lightgbm(world: World) -> None:
    world.train()
    world.prepare(make_values(5, seed=3))
    world.explain()
    command = [sys.executable, "-X", "importtime", "/opt/stage/explanation.py", "--ds", DAY, "--model", MODEL]
    done = subprocess.run([*command, "--data-dir", str(world.root)], text=True, capture_output=True, check=True)
    assert json.loads(done.stdout)["cached"] is True
    assert "numpy" not in done.stderr


def other_model(world: World) -> None:
    world.fields = [*world.fields, {"name": "note", "type": "string", "role": "ignore"}]
    world.train()


def features(content: str) -> Callable[[World], None]:
    return lambda world: world.prepare(make_values(1, seed=3), content=content)


HEADER = "order,price,shop,gift,bought_hour\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_model, "was made for another model"),
        (features("order,price\n"), "has the header order,price; expected: order,price,shop,gift,bought_hour"),
        (features(f"{HEADER}a,1,2\n"), "3 fields; expected: 5"),
        (features(f"{HEADER}a,1,2,0,x\n"), "bought_hour is 'x'"),
        (features(f"{HEADER}a,inf,2,0,1\n"), "price is 'inf'"),
        (features(HEADER), "has no rows"),
        (features(f'{HEADER}"a,1,2,0,1\n'), "features.csv line"),
    ],
)
def test_bad_input_is_named_and_nothing_published(world: World, spoil: Callable[[World], None], message: str) -> None:
    world.train()
    world.prepare(make_values(3, seed=3))
    spoil(world)
    done = world.run()
    assert done.code == 3
    assert message in done.log
    assert "Traceback" not in done.log
    assert not (world.root / EXPLAINED / "_meta.json").exists()


def test_damaged_model_is_bad_input(world: World) -> None:
    world.train()
    world.publish(MODEL, "train", {"model.txt": "tree", "encoder.json": json.dumps(world.encoder)})
    world.prepare(make_values(3, seed=3))
    done = world.run()
    assert done.code == 3
    assert f"{MODEL}/model.txt is damaged: it begins with 'tree'" in done.log


def test_contributions_that_do_not_add_up_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is known whose parts differ by more than the last digits: here these count."""
    world.train()
    world.prepare(make_values(200, seed=3))
    monkeypatch.setattr(contributions, "TOLERANCE", 0.0)
    done = world.run()
    assert done.code == 3
    assert "the contributions of a row differ from its raw score by" in done.log
    assert not (world.root / EXPLAINED / "_meta.json").exists()


def test_model_of_another_encoder_is_bad_input(world: World) -> None:
    text = world.train().model_to_string()
    world.classes = THREE
    world.publish(MODEL, "train", {"model.txt": text, "encoder.json": json.dumps(world.encoder)})
    world.prepare(make_values(3, seed=3))
    done = world.run()
    assert done.code == 3
    assert "it has 4 features and 2 classes; expected: the 4 features and 3 classes" in done.log


def test_linear_trees_are_refused(world: World) -> None:
    """Their leaves are no constants, and LightGBM has no contributions of them."""
    world.train(linear_tree=True)
    world.prepare(make_values(30, seed=3))
    done = world.run()
    assert done.code == 3
    assert f"{MODEL}/model.txt uses linear trees" in done.log
    assert "Traceback" not in done.log


def edited(text: str, key: str, change: str) -> str:
    """The text with another value in the first line `key=...`, and sizes of trees that fit."""
    return with_tree_sizes(re.sub(rf"(?m)^{key}=.*$", f"{key}={change}", text, count=1))


def chain(depth: int) -> str:
    """A model of one tree in which each split has a leaf and the next split."""
    numbers = {
        "split_feature": [0] * depth, "threshold": range(depth), "decision_type": [2] * depth,
        "left_child": [~leaf for leaf in range(depth)], "right_child": [*range(1, depth), ~depth],
        "leaf_value": [0.1] * (depth + 1), "leaf_count": [1] * (depth + 1),
        "internal_value": [0] * depth, "internal_count": range(depth + 1, 1, -1),
    }  # fmt: skip
    lines = [f"{key}={' '.join(map(str, values))}" for key, values in numbers.items()]
    head = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0", "max_feature_idx=3"]
    head += ["objective=binary sigmoid:1", "feature_names=a b c d", "feature_infos=none none none none", "tree_sizes=1"]
    tree = ["", "Tree=0", f"num_leaves={depth + 1}", "num_cat=0", *lines, "is_linear=0", "shrinkage=1", "", ""]
    return with_tree_sizes("\n".join([*head, *tree, "end of trees", ""]))


# LightGBM follows what the first tree says. Many of these ended the process without a message.
HOSTILE = {
    "child outside of the tree": ("left_child", ["999999"] * 14, "name each node"),
    "a cycle": ("left_child", ["0"] * 14, "name each node"),
    "feature outside of the rows": ("split_feature", ["999999999"] * 14, "outside of 0 to 3"),
    "set outside of the categories": ("decision_type", ["1"] * 14, "names a set"),
    "categories outside of the text": ("cat_boundaries", ["0", "99999999"], "cat_threshold holds"),
    "fewer counts than leaves": ("leaf_count", ["7"], "leaf_count holds 1 numbers, expected 15"),
    "fewer leaves than children": ("num_leaves", ["2"], "numbers, expected 2"),
    "a zero byte": ("shrinkage", ["1\0"], "the character '\\x00'"),
}


def refused(world: World, text: str) -> str:
    """What the stage says of a model that it must refuse."""
    world.publish(MODEL, "train", {"model.txt": text, "encoder.json": json.dumps(world.encoder)})
    world.prepare(make_values(3, seed=3))
    done = world.run()
    assert done.code == 3
    assert not (world.root / EXPLAINED / "_meta.json").exists()
    return done.log


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tree_is_bad_input(world: World, name: str) -> None:
    key, words, message = HOSTILE[name]
    assert message in refused(world, edited(world.train().model_to_string(), key, " ".join(words)))


def test_tree_that_does_not_end_is_bad_input(world: World) -> None:
    text = world.train().model_to_string()
    assert "LightGBM would read on" in refused(world, with_tree_sizes(text.replace("\n\n\nTree=1", "\nTree=1")))


def test_very_deep_tree_is_bad_input(world: World) -> None:
    world.train()
    assert "a tree of it has a depth of 1,001; expected: at most 1,000" in refused(world, chain(1_001))


def test_deep_tree_is_explained(world: World) -> None:
    world.train()
    world.publish(MODEL, "train", {"model.txt": chain(1_000), "encoder.json": json.dumps(world.encoder)})
    world.prepare(make_values(3, seed=3))
    assert len(world.explain()) == 3


def test_what_follows_the_trees_is_not_read(world: World) -> None:
    """LightGBM reads the last line as JSON, which may be nested too deeply."""
    text = world.train(BASELINE).model_to_string()
    nested = (
        f"{text.partition('parameters:')[0]}parameters:\n[x: {{]\nend of parameters\npandas_categorical:{'[' * 100_000}"
    )
    world.publish(MODEL, "train", {"model.txt": nested, "encoder.json": json.dumps(world.encoder)})
    world.prepare(make_values(3, seed=3))
    assert len(world.explain()) == 3


@pytest.mark.parametrize("name", ["raw_score", "value_2", "explained_class"])
def test_key_with_the_name_of_another_column_is_refused(world: World, name: str) -> None:
    world.fields = [{**one, "name": name} if one["role"] == "key" else one for one in world.fields]
    world.train()
    world.prepare(make_values(3, seed=3))
    done = world.run()
    assert done.code == 3
    assert f"has the key '{name}'" in done.log


def test_missing_day_or_model_is_not_ready(world: World) -> None:
    assert world.run().code == 4
    world.train()
    done = world.run()
    assert (done.code, f"partition {FEATURES} is not ready" in done.log) == (4, True)


@pytest.mark.parametrize(
    "arguments", [["--model=raw/2026-11-21"], ["--model=.."], ["--reasons=0"], ["--reasons=101"], ["--reasons=few"]]
)
def test_wrong_usage_ends_with_2(world: World, arguments: list[str]) -> None:
    try:
        code: Any = world.run(*arguments).code
    except SystemExit as end:
        code = end.code
    assert code == 2


def test_replaced_model_is_refused(world: World) -> None:
    world.train()
    world.prepare(make_values(3, seed=3))
    done = world.run(f"--model-sha256={'0' * 64}")
    assert done.code == 3
    assert "was replaced since it was resolved" in done.log
