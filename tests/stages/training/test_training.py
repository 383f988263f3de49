"""What the stage publishes, on days of two and of three classes."""

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from conftest import DAY, MODEL, OUTPUTS, PROCESSED, Table, World, make_table
from stagekit import read_partition


def tables(classes: int) -> tuple[Table, Table]:
    return make_table(600, 1, classes), make_table(300, 2, classes)


@pytest.fixture(params=[2, 3], ids=["binary", "three-classes"])
def trained(request: pytest.FixtureRequest, world: World) -> tuple[World, Table]:
    train, val = tables(request.param)
    world.publish_tables(train, val, ["no", "yes", "may,be"][: request.param])
    world.train("--param", "learning_rate=0.3", "--param", "early_stopping_round=20")
    return world, val


def test_outputs_are_the_contracts(trained: tuple[World, Table]) -> None:
    world, _ = trained
    partition = read_partition(world.root, MODEL, OUTPUTS)
    assert sorted(partition.meta["outputs"]) == OUTPUTS
    assert world.leftovers() == [MODEL, f"{MODEL}/_meta.json", *(f"{MODEL}/{name}" for name in OUTPUTS)]
    step = partition.meta["steps"]["train"]
    assert sorted(step["inputs"]) == [f"{PROCESSED}/{name}" for name in ("encoder.json", "train.csv", "val.csv")]
    assert step["seed"] == world.params()["seed"]


def test_encoder_is_copied_byte_for_byte(trained: tuple[World, Table]) -> None:
    world, _ = trained
    assert world.output("encoder.json") == (world.root / PROCESSED / "encoder.json").read_bytes()


def test_model_ends_at_the_best_iteration(trained: tuple[World, Table]) -> None:
    world, _ = trained
    params, model = world.params(), world.model()
    losses = next(iter(params["curve"].values()))
    assert params["best_iteration"] == losses.index(min(losses)) + 1
    assert len(losses) == params["best_iteration"] + 20
    assert model.num_trees() == params["best_iteration"] * model.num_model_per_iteration()


def test_validation_loss_is_that_of_the_published_model(trained: tuple[World, Table]) -> None:
    """LightGBM read val.csv from a file when it measured the loss; here the rows are read independently."""
    world, val = trained
    scores = world.model().predict(val.values())
    own = [[1 - row, row] if isinstance(row, float) else list(row) for row in scores.tolist()]
    loss = sum(-math.log(row[code]) for row, code in zip(own, val.codes(), strict=True)) / len(own)
    metric = "binary_logloss" if len(own[0]) == 2 else "multi_logloss"
    assert world.params()["validation"][metric] == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_class_of_one_row_is_trained_and_gets_a_small_probability(world: World, classes: int) -> None:
    def with_one(table: Table) -> Table:
        """The table with one row of the last class."""
        last = [row for row in table.rows if row[0] == str(classes - 1)]
        return Table(table.header, [*(row for row in table.rows if row not in last), last[0]])

    train, val = map(with_one, tables(classes))
    world.publish_tables(train, val, [str(code) for code in range(classes)])
    world.train()
    scores = [row[-1] for row in csv.reader(io.StringIO(world.output("reference_scores.csv").decode()))][1:]
    assert len(scores) == len(val.rows)
    assert 0 < statistics.mean(map(float, scores)) < 0.05


def test_reference_scores_are_lightgbms_own(trained: tuple[World, Table]) -> None:
    world, val = trained
    lines = list(csv.reader(io.StringIO(world.output("reference_scores.csv").decode())))
    classes = json.loads(world.output("encoder.json"))["target"]["classes"]
    assert lines[0] == ["row", *(f"probability_{name}" for name in classes)]
    assert [line[0] for line in lines[1:]] == [str(row) for row in range(300)]
    for line, score in zip(lines[1:], world.model().predict(val.values()).tolist(), strict=True):
        expected = [1 - score, score] if isinstance(score, float) else score
        assert line[1:] == [repr(probability) for probability in expected]


def test_reference_scores_stop_at_a_thousand_rows(world: World) -> None:
    world.publish_tables(make_table(100, 1), make_table(1200, 2))
    world.train("--param", "num_iterations=2")
    assert len(world.csv("reference_scores.csv")) == 1000


def test_feature_importance_is_the_models_and_sorted(trained: tuple[World, Table]) -> None:
    world, val = trained
    rows, model = world.csv("feature_importance.csv"), world.model()
    gains = dict(zip(val.header[1:], model.feature_importance("gain").tolist(), strict=True))
    splits = dict(zip(val.header[1:], model.feature_importance("split").tolist(), strict=True))
    assert {row["feature"]: float(row["gain"]) for row in rows} == gains
    assert {row["feature"]: int(row["split"]) for row in rows} == splits
    assert [float(row["gain"]) for row in rows] == sorted(gains.values(), reverse=True)


def test_model_learns_and_uses_categories_as_such(world: World) -> None:
    world.publish_tables(make_table(3000, 1), make_table(1000, 2))
    world.train()
    assert world.params()["validation"]["auc"] > 0.9
    infos = next(line for line in world.output("model.txt").decode().splitlines() if line.startswith("feature_infos="))
    price, shop, weight = infos.removeprefix("feature_infos=").split()
    assert sorted(shop.split(":")) == ["-1", "0", "1", "2", "3", "4", "5"]
    assert price.startswith("[")
    assert weight.startswith("[")


def test_result_line_sums_up(day: World) -> None:
    line = day.train("--param", "num_iterations=20").line
    params = day.params()
    assert (line["stage"], line["ds"], line["model"]) == ("training", DAY, MODEL)
    assert line["rows"] == params["rows"] == {"train": 600, "val": 300}
    assert (line["features"], line["classes"]) == (3, ["0", "1"])
    assert line["best_iteration"] == params["best_iteration"]
    assert line["validation"] == params["validation"]
    assert line["top_features"] == [row["feature"] for row in day.csv("feature_importance.csv")]


def test_progress_is_logged_every_so_many_iterations(day: World) -> None:
    log = day.train("--param", "num_iterations=30", "--log-every", "7").log
    iterations = [line.split(": ")[1] for line in log.splitlines() if "of at most" in line]
    assert iterations == [f"iteration {number} of at most 30" for number in (7, 14, 21, 28)]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"bagging_fraction": 0.6, "bagging_freq": 1, "feature_fraction": 0.7},
        {"extra_trees": True, "path_smooth": 5, "max_bin": 1000},
    ],
)
def test_two_threads_give_the_bytes_of_one(world: World, parameters: dict[str, Any]) -> None:
    world.publish_tables(make_table(4000, 1, 3), make_table(2000, 2, 3), ["a", "b", "c"])
    outputs = []
    for threads in (1, 2):
        given = json.dumps({**parameters, "num_iterations": 40, "num_threads": threads})
        world.train("--params-json", given)
        outputs.append(world.outputs())
    assert outputs[0] == outputs[1]


def test_another_folder_gives_the_same_bytes(day: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = World(tmp_path / "another folder", capsys)
    other.publish_tables(make_table(600, seed=1), make_table(300, seed=2))
    outputs = []
    for world in (day, other):
        world.train("--param", "bagging_fraction=0.7", "--param", "bagging_freq=1", "--param", "num_iterations=30")
        outputs.append(world.outputs())
    assert outputs[0] == outputs[1]
    assert b"another folder" not in b"".join(outputs[1].values())


def test_another_seed_gives_another_model(day: World) -> None:
    models = set()
    for seed in (1, 2):
        day.train("--param", "feature_fraction=0.5", "--param", f"seed={seed}", "--param", "num_iterations=10")
        models.add(day.output("model.txt").split(b"parameters:")[0])
    assert len(models) == 2


def test_without_early_stopping_all_iterations_stay(day: World) -> None:
    day.train("--param", "early_stopping_round=0", "--param", "num_iterations=25")
    assert day.params()["best_iteration"] == day.model().num_trees() == 25


def test_a_day_that_teaches_nothing_gives_a_constant_model(world: World) -> None:
    rows = [[str(number % 2), "1", "0", "1"] for number in range(40)]
    table = Table(["kind", "price", "shop", "weight"], rows)
    world.publish_tables(table, table)
    world.train()
    assert {row["probability_1"] for row in world.csv("reference_scores.csv")} == {"0.5"}
    assert world.params()["best_iteration"] == 1


def test_files_beside_the_table_are_not_read(day: World) -> None:
    """LightGBM takes a `train.csv.weight` beside a `train.csv` for the weights of its rows."""
    day.train("--param", "num_iterations=5")
    before = day.outputs()
    weights = "".join("1000\n" if number % 3 else "0.001\n" for number in range(600))
    (day.root / PROCESSED / "train.csv.weight").write_text(weights)
    day.train("--param", "num_iterations=5", "--force")
    assert day.outputs() == before
