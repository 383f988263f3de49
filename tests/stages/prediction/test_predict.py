"""`predict`: a day's features become predictions of one validated model, or a message says why not."""

import hashlib
import json
import re
from collections.abc import Callable

import pytest
from conftest import DAY, EARLIER_DAY, World, load_fixture
from scored import without
from stagekit import read_partition

from feature_table import CHUNK_ROWS


@pytest.mark.parametrize("name", ["binary", "binary_categories", "multiclass"])
def test_predict_writes_key_class_and_lightgbms_probabilities(world: World, name: str) -> None:
    world.fixture = load_fixture(name)
    model = world.validated()
    world.prepare(model)
    result = world.run("predict", "--ds", DAY, "--model", model)
    assert result.code == 0, result.errors
    header, *rows = world.read_csv(f"predictions/{DAY}/predictions.csv")
    assert header == ["order", "line", "prediction", *(f"probability_{c}" for c in world.fixture.classes)]
    assert [row[:2] for row in rows] == [["00000", str(n)] for n in range(len(world.fixture.rows))]
    assert [row[3:] for row in rows] == world.fixture.scores  # to the last digit of LightGBM's text


def test_predict_of_two_classes_uses_the_threshold_of_the_metrics(world: World) -> None:
    model = world.validated()
    threshold = json.loads((world.root / model / "metrics.json").read_text())["threshold"]
    world.prepare(model)
    result = world.run("predict", "--ds", DAY, "--model", model)
    rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
    assert all((row[2] == "1") == (float(row[4]) >= threshold) for row in rows)
    assert result.result["threshold"] == threshold
    counts = {name: sum(row[2] == name for row in rows) for name in "01"}
    assert result.result["predicted"] == counts
    assert min(counts.values()) > 0


def test_predict_of_three_classes_takes_the_most_probable(world: World) -> None:
    world.fixture = load_fixture("multiclass")
    model = world.validated()
    world.prepare(model)
    assert world.run("predict", "--ds", DAY, "--model", model).code == 0
    rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
    assert all(float(row[3 + int(row[2])]) == max(map(float, row[3:])) for row in rows)
    assert {row[2] for row in rows} == {"0", "1", "2"}


def test_predict_sums_up_what_it_wrote(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    result = world.run("predict", "--ds", DAY, "--model", model).result
    scores = sorted(float(row[4]) for row in world.read_csv(f"predictions/{DAY}/predictions.csv")[1:])
    assert result["model"] == model
    assert (
        result["rows"]
        == len(scores)
        == read_partition(world.root, f"predictions/{DAY}", ["predictions.csv"]).rows("predictions.csv")
    )
    assert result["mean_probability"]["1"] == pytest.approx(sum(scores) / len(scores), abs=1e-6)
    assert result["score_quantiles"]["0.5"] == pytest.approx(scores[len(scores) // 2 - 1], abs=1e-5)
    assert result["score_quantiles"]["0.99"] == pytest.approx(scores[197], abs=1e-5)


def test_predict_over_several_chunks_keeps_order_and_scores(world: World) -> None:
    model = world.validated()
    repeat = CHUNK_ROWS // len(world.fixture.rows) + 10
    world.prepare(model, world.features(repeat))
    assert world.run("predict", "--ds", DAY, "--model", model).code == 0
    rows = world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]
    assert len(rows) == repeat * len(world.fixture.rows) > CHUNK_ROWS
    expected = ([f"{turn:05d}", str(n), *s] for turn in range(repeat) for n, s in enumerate(world.fixture.scores))
    assert all([*row[:2], *row[3:]] == want for row, want in zip(rows, expected, strict=True))


def test_predict_keeps_keys_as_they_are(world: World) -> None:
    model = world.validated()
    values = ",".join(world.fixture.rows[0])
    world.prepare(model, f'order,line,{",".join(world.fixture.features)}\n"a,b",NA,{values}\n"c\nd",007,{values}\n')
    assert world.run("predict", "--ds", DAY, "--model", model).code == 0
    assert [row[:2] for row in world.read_csv(f"predictions/{DAY}/predictions.csv")[1:]] == [
        ["a,b", "NA"],
        ["c\nd", "007"],
    ]


def test_predict_records_what_it_read(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    world.run("predict", "--ds", DAY, "--model", str(world.root / model))
    step = read_partition(world.root, f"predictions/{DAY}", []).meta["steps"]["predict"]
    read = {
        f"features/{DAY}/features.csv",
        *(f"{model}/{file}" for file in ("model.txt", "encoder.json", "metrics.json")),
    }
    assert step["inputs"].keys() == read
    assert step["parameters"]["model"] == model


def test_predict_records_version_and_run_of_the_model(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    digest = hashlib.sha256((world.root / model / "model.txt").read_bytes()).hexdigest()
    known = ["--model-version", "3", "--model-run-id", "0a1b", "--model-sha256", digest]
    result = world.run("predict", "--ds", DAY, "--model", model, *known)
    assert result.code == 0, result.errors
    step = read_partition(world.root, f"predictions/{DAY}", []).meta["steps"]["predict"]
    assert step["parameters"] == {
        "model": model, "version": "3", "run_id": "0a1b", "threshold": result.result["threshold"],
    }  # fmt: skip
    assert (result.result["version"], result.result["run_id"]) == ("3", "0a1b")


@pytest.mark.parametrize("empty", [[], ["--model-version", "", "--model-run-id", "", "--model-sha256", ""]])
def test_predict_by_hand_records_no_version(world: World, empty: list[str]) -> None:
    model = world.validated()
    world.prepare(model)
    assert world.run("predict", "--ds", DAY, "--model", model, *empty).code == 0
    parameters = read_partition(world.root, f"predictions/{DAY}", []).meta["steps"]["predict"]["parameters"]
    assert (parameters["version"], parameters["run_id"]) == (None, None)


def test_predict_refuses_a_model_that_was_replaced_since_it_was_resolved(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    result = world.run("predict", "--ds", DAY, "--model", model, "--model-sha256", "0" * 64)
    assert result.code == 3
    assert f"{model}/model.txt was replaced since it was resolved" in result.errors
    assert "do: start the run again" in result.errors
    assert not (world.root / "predictions").exists()


def test_predict_gives_the_same_bytes_again(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    world.run("predict", "--ds", DAY, "--model", model)
    first = (world.root / "predictions" / DAY / "predictions.csv").read_bytes()
    world.run("predict", "--ds", DAY, "--model", model, "--force")
    assert (world.root / "predictions" / DAY / "predictions.csv").read_bytes() == first


def test_predict_refuses_features_prepared_for_another_model(world: World) -> None:
    world.validated(EARLIER_DAY)
    world.fixture = load_fixture("binary_complete")
    encoder = {**world.fixture.encoder, "schema": {"fields": [{"name": "others"}]}}
    world.train(encoder=json.dumps(encoder))
    assert world.run("validate", "--ds", DAY).code == 0
    world.prepare(f"models/{EARLIER_DAY}")
    result = world.run("predict", "--ds", DAY, "--model", f"models/{DAY}")
    assert result.code == 3
    assert f"was made for another model, with models/{EARLIER_DAY}/encoder.json" in result.errors
    assert f"do: run `preprocessing features --ds {DAY} --model models/{DAY}`" in result.errors


def test_predict_refuses_features_of_no_model(world: World) -> None:
    model = world.validated()
    world.publish(f"features/{DAY}", "features", {"features.csv": world.features()})
    result = world.run("predict", "--ds", DAY, "--model", model)
    assert result.code == 3
    assert "was made for another model, with no encoder" in result.errors


def test_predict_waits_for_a_validated_model(world: World) -> None:
    world.train()
    world.prepare(f"models/{DAY}")
    result = world.run("predict", "--ds", DAY, "--model", f"models/{DAY}")
    assert result.code == 4
    assert f"models/{DAY} is not validated" in result.errors
    assert not (world.root / "predictions").exists()


@pytest.mark.parametrize("present", ["model", "features"])
def test_predict_waits_for_both_partitions(world: World, present: str) -> None:
    model = world.validated()
    if present == "features":
        world.prepare(model)
        model = "models/2026-01-01"
    result = world.run("predict", "--ds", DAY, "--model", model)
    assert result.code == 4
    assert "is not ready" in result.errors


FEATURE_FAULTS = {
    "empty": (lambda _: b"", "the file is empty"),
    "header_only": (lambda text: text.splitlines()[0] + "\n", "a header and no rows"),
    "column_missing": (lambda text: text.replace(",price\n", "\n"), "missing columns: price"),
    "column_extra": (lambda text: text.replace("order,", "store,order,"), "the model does not know: store"),
    "column_order": (lambda text: text.replace("size,wait", "wait,size"), "column 3 is wait, not size"),
    "not_utf8": (lambda text: text.encode() + b"\xff,1,1,1,1,1\n", "line 202 is not UTF-8"),
    "nul": (lambda text: text + "1,1,\0,1,1,1\n", "line 202 holds a NUL byte"),
    "short_row": (lambda text: text + "1,1,1\n", "line 202 has 3 fields"),
    "garbage": (lambda text: text + "1,1,1,many,1,1\n", "row 201: wait is 'many'"),
    "infinite": (lambda text: text + "1,1,1,1,1,-inf\n", "row 201: price is infinite"),
}


@pytest.mark.parametrize(("change", "said"), FEATURE_FAULTS.values(), ids=FEATURE_FAULTS)
def test_predict_refuses_bad_features_and_publishes_nothing(
    world: World, change: Callable[[str], str | bytes], said: str
) -> None:
    model = world.validated()
    world.prepare(model, change(world.features()))
    before = world.tree()
    result = world.run("predict", "--ds", DAY, "--model", model)
    assert result.code == 3
    assert re.search(re.escape(said), result.errors), result.errors
    assert world.tree() == before
    assert not (world.root / "predictions" / DAY).exists()


def test_predict_that_fails_leaves_the_predictions_there_were(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    assert world.run("predict", "--ds", DAY, "--model", model).code == 0
    world.prepare(model, world.features() + "1,1,1,many,1,1\n")
    before = world.tree()
    assert world.run("predict", "--ds", DAY, "--model", model).code == 3
    assert world.tree() == before


def test_predict_refuses_torn_features(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    path = world.root / "features" / DAY / "features.csv"
    path.write_bytes(path.read_bytes()[:-10])
    result = world.run("predict", "--ds", DAY, "--model", model)
    assert result.code == 3
    assert "as its mark says" in result.errors


def test_predict_refuses_an_edited_model(world: World) -> None:
    model = world.validated()
    world.prepare(model)
    path = world.root / model / "model.txt"
    path.write_text(path.read_text().replace("leaf_value=-", "leaf_value=0", 1))
    result = world.run("predict", "--ds", DAY, "--model", model)
    assert result.code == 3
    assert "model.txt has sha256" in result.errors


@pytest.mark.parametrize(
    "model", ["raw/2026-11-21", "models", "/elsewhere/models/2026-11-21", "models/../raw", "models/a/b"]
)
def test_predict_refuses_a_path_that_is_no_model(world: World, model: str) -> None:
    assert world.run("predict", "--ds", DAY, "--model", model).code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--ds", "2026-02-30", "--model", "models/x"],
        ["predict", "--ds", "yesterday", "--model", "models/x"],
        ["predict", "--ds", DAY],
        ["validate", "--ds", "21.11.2026"],
        ["validate"],
        ["predict", "--ds", DAY, "--model", "models/x", "--model-version", "three"],
        ["predict", "--ds", DAY, "--model", "models/x", "--model-sha256", "0123"],
        ["resolve"],
        [],
    ],
)
def test_wrong_usage_ends_with_2(world: World, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        world.run(*arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize(("name", "said"), [("binary", False), ("binary_complete", True)])
def test_predict_warns_of_values_that_are_missing_and_never_were_in_training(
    world: World, name: str, said: bool
) -> None:
    """LightGBM reads such a value as 0; the model of `binary` has learned from missing values."""
    world.fixture = load_fixture(name)
    model = world.validated()
    world.prepare(model, without(world, "wait", 7))
    result = world.run("predict", "--ds", DAY, "--model", model)
    expected = ["wait is missing in 7 of 200 rows; it never was in training, so the model reads 0 there"]
    assert result.result.get("warnings", []) == (expected if said else [])
    assert (expected[0] in result.errors) is said
