"""`validate`: a model passes only if LightGBM's scores come out, and its metrics are published."""

import json
import re
from collections import Counter
from collections.abc import Callable

import pytest
from conftest import DAY, World, load_fixture
from stagekit import read_partition


@pytest.mark.parametrize("name", ["binary", "binary_categories", "multiclass", "constant"])
def test_validate_publishes_metrics_of_a_model_that_scores_as_lightgbm(world: World, name: str) -> None:
    world.fixture = load_fixture(name)
    world.train()
    result = world.run("validate", "--ds", DAY)
    assert result.code == 0, result.errors
    model = read_partition(world.root, f"models/{DAY}", ["metrics.json", "model.txt"])
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["rows"] == len(world.fixture.rows)
    assert metrics["reproduction"] == {"rows": len(world.fixture.rows), "max_difference": 0.0}
    assert metrics["classes"] == world.fixture.classes
    assert (metrics["threshold"] is None) == (name == "multiclass")
    assert result.result["roc_auc"] == metrics["roc_auc"]
    inputs = model.meta["steps"]["validate"]["inputs"]
    assert {f"processed/{DAY}/val.csv", f"models/{DAY}/model.txt"} <= inputs.keys()


def test_validate_publishes_curves_and_baseline(world: World) -> None:
    world.fixture = load_fixture("multiclass")
    world.validated()
    curves, baseline = (world.json(f"models/{DAY}/{file}.json") for file in ("curves", "baseline"))
    assert (curves["version"], curves["classes"]) == (1, ["0", "1", "2"])
    assert [curve["class"] for curve in curves["curves"]] == ["0", "1", "2"]
    rows = len(world.fixture.rows)
    assert (baseline["version"], baseline["rows"]) == (1, rows)
    assert [feature["name"] for feature in baseline["features"]] == world.fixture.features
    for number, feature in enumerate(baseline["features"]):
        assert sum(feature["counts"]) == rows
        assert len(feature["counts"]) == len(feature["labels"]) == len(feature["edges"]) + 2
        assert feature["counts"][-1] == sum(row[number] == "" for row in world.fixture.rows)
    assert sum(baseline["score"]["counts"]) == rows


def test_validate_bins_categories_by_value(world: World) -> None:
    world.fixture = load_fixture("binary_categories")
    encoder = world.fixture.encoder
    place = world.fixture.features.index("shop")
    texts = [row[place] for row in world.fixture.rows]  # some are no codes, or of no value
    codes = [int(float(text)) for text in texts if text and -1 < float(text) < 200]
    values = [f"value {code}" for code in range(200)]
    encoder["features"][place] |= {"kind": "category", "values": values}
    world.train(encoder=json.dumps(encoder))
    assert world.run("validate", "--ds", DAY).code == 0
    feature = world.json(f"models/{DAY}/baseline.json")["features"][place]
    named = dict(zip(feature["labels"], feature["counts"], strict=True))
    frequent = [count for _, count in Counter(codes).most_common(15)]
    assert [count for label, count in named.items() if label.startswith("value ")] == frequent
    for label, count in named.items():
        if label.startswith("value "):
            assert count == codes.count(int(label.removeprefix("value ")))
    assert named["missing"] == len(texts) - len(codes)
    assert sum(named.values()) == len(texts)


def test_validate_gives_the_same_bytes_again(world: World) -> None:
    world.validated()
    files = [world.root / "models" / DAY / file for file in ("metrics.json", "curves.json", "baseline.json")]
    first = [path.read_bytes() for path in files]
    assert world.run("validate", "--ds", DAY, "--force").code == 0
    assert [path.read_bytes() for path in files] == first


def test_validate_is_undone_by_a_new_training(world: World) -> None:
    world.validated()
    world.fixture = load_fixture("steep")
    world.train()
    assert "metrics.json" not in read_partition(world.root, f"models/{DAY}", []).meta["outputs"]


def test_validate_refuses_a_model_that_scores_otherwise(world: World) -> None:
    lines = world.reference().splitlines()
    row, no, yes = lines[8].split(",")
    lines[8] = f"{row},{no},{float(yes) + 1e-9!r}"
    world.train(reference="\n".join(lines) + "\n")
    result = world.run("validate", "--ds", DAY)
    assert result.code == 3
    assert "scores differently here than in LightGBM: by 1e-09 in row 7 of val.csv, class 1" in result.errors
    assert "metrics.json" not in read_partition(world.root, f"models/{DAY}", []).meta["outputs"]


def test_validate_refuses_rows_that_training_did_not_see(world: World) -> None:
    world.train()
    world.publish(f"processed/{DAY}", "split", {"val.csv": world.val([1, 0] * 100)})
    result = world.run("validate", "--ds", DAY)
    assert result.code == 3
    assert "is not the file that" in result.errors


def without_class(world: World) -> dict[str, str | bytes]:
    return {"val": world.val([0] * len(world.fixture.rows))}


VAL_FAULTS = {
    "one_class_only": (without_class, "no row of class 1 among 200 rows"),
    "empty": (lambda _: {"val": ""}, "val.csv: the file is empty"),
    "header_only": (lambda world: {"val": world.val().splitlines()[0] + "\n"}, "val.csv: it has a header and no rows"),
    "wrong_columns": (lambda world: {"val": world.val().replace("shop", "store")}, "missing columns: shop"),
    "not_utf8": (lambda world: {"val": world.val().encode() + b"\xff,1,1,1,1\n"}, "line 202 is not UTF-8"),
    "nul": (lambda world: {"val": world.val() + "1,\0,1,1,1\n"}, "line 202 holds a NUL byte"),
    "garbage": (lambda world: {"val": world.val() + "1,abc,1,1,1\n"}, "row 201: size is 'abc'"),
    "infinite": (lambda world: {"val": world.val() + "1,1,inf,1,1\n"}, "row 201: wait is infinite"),
    "code_unknown": (lambda world: {"val": world.val() + "2,1,1,1,1\n"}, "row 201: the class code is 2"),
    "code_fraction": (lambda world: {"val": world.val() + "0.5,1,1,1,1\n"}, "row 201: the class code is 0.5"),
    "code_missing": (lambda world: {"val": world.val() + ",1,1,1,1\n"}, "row 201: the class code is nan"),
    "reference_beyond": (
        lambda world: {"reference": world.reference() + "9999,0.5,0.5\n"},
        "a row number is not a row of val.csv",
    ),
    "reference_empty": (lambda _: {"reference": ""}, "reference_scores.csv: the file is empty"),
    "reference_missing_score": (lambda world: {"reference": world.reference() + "0,,0.5\n"}, "scores differently"),
    "model_truncated": (lambda world: {"model": world.fixture.model[:5000]}, "the file is cut off"),
    "model_of_other_features": (
        lambda world: {"model": world.fixture.model.replace("feature_names=size", "feature_names=width")},
        "feature 0 is width, not size",
    ),
    "model_of_other_classes": (lambda _: {"model": load_fixture("multiclass").model}, "4 features and 3 classes"),
    "encoder_no_json": (lambda _: {"encoder": "{"}, "encoder.json: it is no JSON"),
    "encoder_version": (lambda world: {"encoder": json.dumps({**world.fixture.encoder, "version": 2})}, "version is 2"),
    "encoder_no_key": (lambda _: {"encoder": json.dumps({"version": 1})}, "has no key"),
    "encoder_twice": (
        lambda world: {"encoder": json.dumps({**world.fixture.encoder, "key": ["order", "size"]})},
        "'size' twice",
    ),
}


@pytest.mark.parametrize(("fault", "said"), VAL_FAULTS.values(), ids=VAL_FAULTS)
def test_validate_refuses_bad_input_and_publishes_nothing(
    world: World, fault: Callable[[World], dict[str, str | bytes]], said: str
) -> None:
    world.train(**fault(world))
    before = world.tree()
    result = world.run("validate", "--ds", DAY)
    assert result.code == 3
    assert re.search(re.escape(said), result.errors), result.errors
    assert "expected: " in result.errors
    assert "do: " in result.errors
    assert world.tree() == before


def test_validate_waits_for_a_model(world: World) -> None:
    result = world.run("validate", "--ds", DAY)
    assert result.code == 4
    assert f"partition models/{DAY} is not ready" in result.errors


def test_validate_refuses_a_torn_model(world: World) -> None:
    world.train()
    with (world.root / "models" / DAY / "model.txt").open("a") as file:
        file.write("x")
    result = world.run("validate", "--ds", DAY)
    assert result.code == 3
    assert "model.txt has" in result.errors


def test_validate_takes_names_that_lightgbm_rewrites(world: World) -> None:
    encoder = world.fixture.encoder
    encoder["features"][0]["name"] = "size [cm]"
    world.fixture.features[0] = "size [cm]"
    model = world.fixture.model.replace("feature_names=size ", "feature_names=size__cm_ ")
    world.train(model=model, encoder=json.dumps(encoder))
    result = world.run("validate", "--ds", DAY)
    assert result.code == 0, result.errors
