"""A day in shards is scored as the day: the same bytes and the same result, also of keys with line ends in them."""

import json
from typing import Any

import pytest
from conftest import DAY, World, load_fixture, written
from stagekit import read_partition

PLACE = f"shards/{DAY}-features"
SHARDS = 3


def publish_features(world: World, model: str, keys: tuple[str, ...] = ("00000", 'a "b",\nc')) -> None:
    """Publish the day's features and its shards, as `preprocessing features` does: the last shard has no rows."""
    of = SHARDS
    header = ["order", "line", *world.fixture.features]
    rows = [[key, n, *row] for n, row in enumerate(world.fixture.rows) for key in keys]
    rows[5][3] = ""
    encoder, shards = read_partition(world.root, model, ["encoder.json"]), []
    for number in range(1, of + 1):
        mine = {place: row for place, row in enumerate(rows, start=2) if place * place % (of - 1) == number - 1}
        files = {"features.csv": written(header, mine.values()), "lines.csv": written(["line"], [[n] for n in mine])}
        world.publish(f"{PLACE}-{number}of{of}", "features", files, [encoder])
        shards.append(read_partition(world.root, f"{PLACE}-{number}of{of}", [*files]))
    world.publish(f"features/{DAY}", "features", {"features.csv": written(header, rows)}, [encoder, *shards])


def score(world: World, model: str, *options: str) -> Any:
    result = world.run("predict", "--ds", DAY, "--model", model, "--model-version", "3", *options)
    assert result.code == 0, result.errors
    return {name: value for name, value in result.result.items() if name != "seconds"}


def score_shards(world: World, model: str) -> list[Any]:
    shards = range(1, SHARDS + 1)
    return [score(world, model, "--shards", str(SHARDS), "--shard", str(shard)) for shard in shards]


@pytest.mark.parametrize("name", ["binary", "binary_complete", "multiclass"])
def test_day_in_shards_has_the_bytes_and_the_result_of_the_day(world: World, name: str) -> None:
    world.fixture = load_fixture(name)
    model = world.validated()
    publish_features(world, model)
    whole = score(world, model)
    file = world.root / f"predictions/{DAY}/predictions.csv"
    content = file.read_bytes()
    assert [one["rows"] for one in score_shards(world, model)][-1] == 0
    assert score(world, model, "--shards", str(SHARDS)) == whole
    assert file.read_bytes() == content
    mark = json.loads(file.with_name("_meta.json").read_text())
    assert mark["steps"]["predict"]["parameters"]["version"] == "3"
    assert {f"features/{DAY}/features.csv", f"{model}/model.txt"} < mark["steps"]["predict"]["inputs"].keys()
    assert score(world, model, "--shards", str(SHARDS))["cached"] is True


def test_predictions_of_other_features_are_refused(world: World) -> None:
    model = world.validated()
    publish_features(world, model)
    score_shards(world, model)
    publish_features(world, model, keys=("00001",))
    result = world.run("predict", "--ds", DAY, "--model", model, "--model-version", "3", "--shards", str(SHARDS))
    assert result.code == 3
    assert f"predictions-1of3/predictions.csv was made with another {PLACE}-1of3/features.csv" in result.errors


def test_features_that_were_not_made_from_the_shards_are_refused(world: World) -> None:
    model = world.validated()
    publish_features(world, model)
    score_shards(world, model)
    world.prepare(model)
    result = world.run("predict", "--ds", DAY, "--model", model, "--model-version", "3", "--shards", str(SHARDS))
    assert result.code == 3
    assert "features/2026-11-21 was not made from the shards/2026-11-21-features-1of3" in result.errors


def test_model_with_a_capacity_is_refused(world: World) -> None:
    world.train(DAY)
    assert world.run("validate", "--ds", DAY, "--rules-json", '{"capacity": 5}').code == 0
    publish_features(world, f"models/{DAY}")
    result = world.run("predict", "--ds", DAY, "--model", f"models/{DAY}", "--shards", "3", "--shard", "1")
    assert (result.code, "has a capacity" in result.errors) == (3, True)
