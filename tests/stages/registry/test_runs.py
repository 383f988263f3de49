"""What a run records: where its model comes from, and figures that MLflow can draw."""

import pytest
from conftest import DAY, World
from stagekit import read_partition

from runs import figures, run_tags

DATA = "airflow_ml.data."


def data_of(tags: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(DATA): value for name, value in tags.items() if name.startswith(DATA)}


def test_tags_lead_back_to_the_raw_data(world: World) -> None:
    data = data_of(run_tags(world.root, DAY, world.publish_model()))
    raw = read_partition(world.root, f"raw/{DAY}", ["data.csv", "schema.json"])
    assert data.items() >= raw.hashes.items()
    assert set(data) == {
        *raw.hashes, *(f"processed/{DAY}/{file}" for file in ("train_data.csv", "train.csv", "val.csv")),
    }  # fmt: skip


def test_tags_end_with_a_warning_where_the_data_was_published_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    model = world.publish_model()
    world.publish(f"processed/{DAY}", "prepare", {"train_data.csv": "id\n2\n"})
    data = data_of(run_tags(world.root, DAY, model))
    assert data == model.inputs("model.txt"), "what the training read is known, what that was made from is not"
    assert "not recorded" in caplog.text


def test_figures_are_what_mlflow_can_draw() -> None:
    found = {"a": 1, "b": 0.5, "c": True, "d": None, "e": float("nan"), "f": float("inf"), "g": [1], "h": "1"}
    assert figures(found) == {"a": 1.0, "b": 0.5}
