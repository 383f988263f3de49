"""What is written for others to load the model by."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import DAY, FEATURES, MODEL, World
from stagekit import read_partition

from mlmodel import write_loading_files


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
    # Raw rows have other types than encoded ones under the same names.
    assert json.loads(signature["inputs"]) == [{"type": "any", "name": name, "required": False} for name in FEATURES]
    assert json.loads(signature["outputs"])[0]["tensor-spec"] == {"dtype": "float64", "shape": shape}


def test_flavors_lead_to_the_text_model_and_the_environment(world: World, tmp_path: Path) -> None:
    content = write(world, tmp_path / "out")
    assert content["flavors"]["lightgbm"]["data"] == "model.txt"
    loader = content["flavors"]["python_function"]
    code = tmp_path / "out" / loader["code"] / f"{loader['loader_module']}.py"
    assert "def _load_pyfunc(" in code.read_text()
    assert content["flavors"]["lightgbm"]["model_class"] == "lightgbm.basic.Booster"
    environment = content["flavors"]["python_function"]["env"]
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {*environment.values(), "requirements.txt"}
    assert f"mlflow=={content['mlflow_version']}" in (tmp_path / "out/requirements.txt").read_text()


def test_input_example_is_the_first_rows_without_the_target(world: World, tmp_path: Path) -> None:
    info = write(world, tmp_path / "out")["saved_input_example_info"]
    example = json.loads((tmp_path / "out" / info["artifact_path"]).read_text())
    assert example == {"columns": list(FEATURES), "data": [[2.5, None], [None, 3.0]]}
    assert json.loads((tmp_path / "out" / info["serving_input_path"]).read_text()) == {"dataframe_split": example}


def test_input_example_has_no_value_of_a_sensitive_field(world: World, tmp_path: Path) -> None:
    model = world.publish_model()
    content = json.loads((model / "encoder.json").read_text())
    content["schema"]["fields"] = [{"name": "shop"}, {"name": "price", "sensitive": True}]
    model = world.publish(MODEL, "train", {"model.txt": "tree", "encoder.json": json.dumps(content)})
    (tmp_path / "out").mkdir()
    write_loading_files(tmp_path / "out", model, world.root / f"processed/{DAY}/val.csv", "a1", "model")
    for name, get in (("input_example", dict), ("serving_input_example", lambda found: found["dataframe_split"])):
        example = get(json.loads((tmp_path / f"out/{name}.json").read_text()))
        assert example == {"columns": list(FEATURES), "data": [[None, None], [None, 3.0]]}


def test_input_example_has_no_weights(world: World, tmp_path: Path) -> None:
    write(world, tmp_path / "plain")
    model = world.publish_model(weight="drawn")
    val = world.root / f"processed/{DAY}/val.csv"
    val.write_text("kind,drawn,price,shop\n1,7,2.5,\n0,8,,3\n")
    (tmp_path / "out").mkdir()
    write_loading_files(tmp_path / "out", model, val, "a1", "model")
    for name in ("input_example.json", "serving_input_example.json"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "plain" / name).read_text()


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
