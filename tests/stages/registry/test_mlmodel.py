"""What is written for others to load the model by, and what is told of where it comes from."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import DAY, FEATURES, MODEL, World
from stagekit import read_partition

from bundle import numbers
from evaluation import drift_metrics, points_of
from listing import table
from mlmodel import write_loading_files
from origins import follow


def write(world: World, folder: Path, *, classes: int = 2, val: bool = True) -> dict[str, Any]:
    model = world.publish_model(classes=classes)
    folder.mkdir()
    table = world.root / f"processed/{DAY}/val.csv" if val else None
    write_loading_files(folder, read_partition(world.root, MODEL, sorted(model.meta["outputs"])), table, "a1", "model")
    return dict(yaml.safe_load((folder / "MLmodel").read_text()))


@pytest.mark.parametrize(("classes", "shape"), [(2, [-1]), (3, [-1, 3])])
def test_signature_has_the_features_and_the_shape_of_the_scores(
    world: World, tmp_path: Path, classes: int, shape: list[int]
) -> None:
    signature = write(world, tmp_path / "out", classes=classes)["signature"]
    assert [(column["name"], column["type"]) for column in json.loads(signature["inputs"])] == [
        (name, "double") for name in FEATURES
    ]
    assert json.loads(signature["outputs"])[0]["tensor-spec"] == {"dtype": "float64", "shape": shape}


def test_flavors_lead_to_the_text_model_and_the_environment(world: World, tmp_path: Path) -> None:
    content = write(world, tmp_path / "out")
    assert content["flavors"]["lightgbm"]["data"] == content["flavors"]["python_function"]["data"] == "model.txt"
    assert content["flavors"]["lightgbm"]["model_class"] == "lightgbm.basic.Booster"
    environment = content["flavors"]["python_function"]["env"]
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {*environment.values(), "requirements.txt"}
    assert f"mlflow=={content['mlflow_version']}" in (tmp_path / "out/requirements.txt").read_text()


def test_input_example_is_the_first_rows_without_the_target(world: World, tmp_path: Path) -> None:
    info = write(world, tmp_path / "out")["saved_input_example_info"]
    example = json.loads((tmp_path / "out" / info["artifact_path"]).read_text())
    assert example == {"columns": list(FEATURES), "data": [[2.5, None], [None, 3.0]]}
    assert json.loads((tmp_path / "out" / info["serving_input_path"]).read_text()) == {"dataframe_split": example}


def test_without_validation_rows_there_is_no_example(world: World, tmp_path: Path) -> None:
    assert "saved_input_example_info" not in write(world, tmp_path / "out", val=False)


def test_same_model_and_run_give_the_same_bytes(world: World, tmp_path: Path) -> None:
    write(world, tmp_path / "one")
    model = read_partition(world.root, MODEL, ["model.txt", "encoder.json"])
    for name in ("two", "three"):
        (tmp_path / name).mkdir()
        write_loading_files(tmp_path / name, model, world.root / f"processed/{DAY}/val.csv", "a1", "model")
    for path in (tmp_path / "two").iterdir():
        assert path.read_bytes() == (tmp_path / "three" / path.name).read_bytes()


def test_origins_lead_back_to_the_raw_data(world: World) -> None:
    model = world.publish_model()
    data, _ = follow(world.root, model)
    raw = read_partition(world.root, f"raw/{DAY}", ["data.csv", "schema.json"])
    assert data.items() >= raw.hashes.items()
    assert set(data) == {
        *raw.hashes, *(f"processed/{DAY}/{file}" for file in ("train_data.csv", "train.csv", "val.csv")),
    }  # fmt: skip


def test_origins_end_with_a_warning_where_the_data_was_made_anew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    model = world.publish_model()
    train = model.meta["steps"]["train"]["inputs"]
    world.publish(f"processed/{DAY}", "prepare", {"train_data.csv": "id\n2\n"})
    data, _ = follow(world.root, model)
    assert data == train, "what the training read is known, what that was made from is not"
    assert "not recorded" in caplog.text


def test_drift_metrics_have_names_that_mlflow_takes_and_each_its_own() -> None:
    named = drift_metrics([("score", 1.0), ("score", 2.0), ("a/b", 3.0), ("a b", 4.0), ("a,b", 5.0), ("größe", None)])
    assert named == {
        "drift.score": 1.0, "drift.score_": 2.0, "drift.a_b": 3.0, "drift.a b": 4.0, "drift.a_b_": 5.0,
        "drift.größe": None,
    }  # fmt: skip


def test_numbers_are_what_mlflow_can_draw() -> None:
    found = {"a": 1, "b": 0.5, "c": True, "d": None, "e": float("nan"), "f": float("inf"), "g": [1], "h": "1"}
    assert numbers(found) == {"a": 1.0, "b": 0.5}


def test_table_is_aligned_and_cuts_what_is_too_wide() -> None:
    lines = table(["version", "why"], [["3", "x" * 100], ["12", "short"]])
    assert lines[0] == "version  why"
    assert lines[1] == f"3        {'x' * 59}…"
    assert lines[2] == "12       short"


@pytest.mark.parametrize(
    ("metrics", "drift", "names"),
    [
        (None, None, []),
        ({"roc_auc": 0.9}, None, ["live.roc_auc"]),
        (None, {"score": {"psi": 0.1}, "features": [{"name": "amount", "psi": 0.2}]}, ["drift.amount", "drift.score"]),
    ],
)
def test_points_are_of_what_was_measured(
    world: World, metrics: dict[str, float] | None, drift: dict[str, object] | None, names: list[str]
) -> None:
    """Without targets there are no metrics, with a model of before baselines there is no drift."""
    world.publish(f"reports/{DAY}", "evaluate", {"evaluation.json": "{}"})
    report = read_partition(world.root, f"reports/{DAY}", [])
    points = points_of(report, {"metrics": metrics, "drift": drift}, "1970-01-11")
    assert sorted(point.key for point in points) == names
    assert {(point.step, point.timestamp) for point in points} <= {(10, 864_000_000)}
