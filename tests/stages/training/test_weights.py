"""A weight says how much a row counts: twice the weight is the row twice."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import Table, World, make_encoder, make_table

# LightGBM limits leaves and bins by numbers of rows, which it estimates from the weights. Nothing is drawn.
OF_WEIGHTS_ALONE = ("min_data_in_leaf=0", "min_data_in_bin=1", "max_bin=1000", "num_iterations=30", "num_leaves=8")
STRUCTURE = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


def publish(world: World, tables: Sequence[Table], *, weighted: bool) -> None:
    """A day of these tables to train and to validate on; if `weighted`, their second column is the weight."""
    train, val = tables
    features = Table([train.header[0], *train.header[2:]], []) if weighted else train
    # No categories, because LightGBM smooths them by numbers of rows.
    encoder = make_encoder(features, ("0", "1"), {})
    world.publish(train.text(), val.text(), encoder | ({"weight": train.header[1]} if weighted else {}))


def with_weights(table: Table, weights: Sequence[Any], name: str = "drawn") -> Table:
    rows = [[row[0], str(weight), *row[1:]] for row, weight in zip(table.rows, weights, strict=True)]
    return Table([table.header[0], name, *table.header[1:]], rows)


def repeated(table: Table, times: Sequence[int]) -> Table:
    return Table(table.header, [row for row, number in zip(table.rows, times, strict=True) for _ in range(number)])


def trees(world: World) -> tuple[list[tuple[str, str]], list[float]]:
    """Which values lead to which leaves, and what each leaf adds to a score; without the numbers of rows."""
    lines = [line.partition("=") for line in world.output("model.txt").decode().splitlines()]
    paths = [(name, text) for name, _, text in lines if name in STRUCTURE]
    values = [float(value) for name, _, text in lines if name == "leaf_value" for value in text.split()]
    return paths, values


def coarse(table: Table) -> Table:
    """Many rows for each value, so that no estimated number of rows is rounded to 0."""
    rows = [
        [row[0], *(cell and f"{float(cell) * scale:.0f}" for cell, scale in zip(row[1:], (0.1, 1, 4), strict=True))]
        for row in table.rows
    ]
    return Table(table.header, rows)


@pytest.fixture
def tables() -> list[Table]:
    return [make_table(300, seed=1), make_table(150, seed=2)]


def test_weight_of_2_is_the_row_twice(world: World, tables: list[Table]) -> None:
    tables = [coarse(table) for table in tables]
    times = [[1 + number % 2 for number in range(len(table.rows))] for table in tables]
    parameters = [f"--param={pair}" for pair in OF_WEIGHTS_ALONE]
    publish(world, [with_weights(*pair) for pair in zip(tables, times, strict=True)], weighted=True)
    weighted = world.train(*parameters)
    paths, values = trees(world)
    publish(world, [repeated(*pair) for pair in zip(tables, times, strict=True)], weighted=False)
    again = world.train(*parameters)
    assert len(values) > 200
    assert trees(world) == (paths, pytest.approx(values))
    assert weighted.line["best_iteration"] == again.line["best_iteration"]
    assert weighted.line["validation"] == pytest.approx(again.line["validation"])
    assert (weighted.line["rows"], again.line["rows"]) == ({"train": 300, "val": 150}, {"train": 450, "val": 225})
    publish(world, tables, weighted=False)
    world.train(*parameters)
    assert trees(world)[0] != paths


def test_weights_of_1_give_the_bytes_of_no_weights(world: World, tables: list[Table]) -> None:
    publish(world, [with_weights(table, [1] * len(table.rows)) for table in tables], weighted=True)
    world.train()
    files = world.outputs()
    publish(world, tables, weighted=False)
    world.train()
    assert [name for name, content in world.outputs().items() if content != files[name]] == ["encoder.json"]


def test_weight_is_no_feature(world: World, tables: list[Table]) -> None:
    """Neither of the model nor of the reference scores, though it says the class."""
    weighted = [with_weights(table, [1 + 9 * code for code in table.codes()], "b,ad name") for table in tables]
    publish(world, weighted, weighted=True)
    assert world.train().line["features"] == 3
    assert world.model().feature_name() == ["price", "shop", "weight"]
    assert [row["feature"] for row in world.csv("feature_importance.csv")].count("b,ad name") == 0
    scores = [float(row["probability_1"]) for row in world.csv("reference_scores.csv")]
    assert scores == pytest.approx(world.model().predict(tables[1].values()).tolist(), abs=1e-12)


@pytest.mark.parametrize("weight", ["0", "-1", "", "1e-60", "1e39", "many"])
@pytest.mark.parametrize("file", [0, 1])
def test_weight_that_is_none_is_refused(world: World, tables: list[Table], weight: str, file: int) -> None:
    weights = [["1"] * len(table.rows) for table in tables]
    weights[file][41] = weight
    publish(world, [with_weights(*pair) for pair in zip(tables, weights, strict=True)], weighted=True)
    result = world.run()
    assert result.code == 3
    assert f"{('train', 'val')[file]}.csv line 43" in result.log
    shown = "'many'" if weight == "many" else f"the weight {float(weight or math.nan):g}"
    assert shown in result.log
    assert world.leftovers() == []


def test_weights_in_every_block(world: World, tables: list[Table], monkeypatch: pytest.MonkeyPatch) -> None:
    publish(world, [with_weights(t, [1 + n % 5 for n in range(len(t.rows))]) for t in tables], weighted=True)
    world.train()
    whole = world.outputs()
    monkeypatch.setattr("lightgbm_tables.BLOCK_BYTES", 100)
    world.train("--force")
    assert world.outputs() == whole
