"""Warnings on a training: few rows, features and models that say nothing, a fit that was cut off."""

from collections.abc import Sequence

import pytest
from conftest import MODEL, SHOPS, Table, World, make_encoder, make_table
from stagekit import read_partition

FEW = "30 rows train and 20 validate: with fewer than 50, every figure is mostly chance"
LAST = "the last of 3 iterations was the best, so more may be better: raise num_iterations"
SAME = "the model gives every row the same score: no feature helped to distinguish the classes"
NO_SPLIT = "30 rows train, and a split needs 40, twice min_data_in_leaf: no feature can be used"
CONSTANT = "weight: the same value in all training rows, or in all but a few, so the model cannot use it"


def with_column(table: Table, name: str, values: Sequence[str]) -> Table:
    """The table with other values in a column."""
    at = list(table.header).index(name)
    rows = [[*row[:at], value, *row[at + 1 :]] for row, value in zip(table.rows, values, strict=True)]
    return Table(table.header, rows)


def constant(table: Table, *names: str) -> Table:
    for name in names:
        table = with_column(table, name, ["1"] * len(table.rows))
    return table


def test_sound_training_warns_of_nothing(world: World) -> None:
    world.publish_tables(make_table(3000, 1), make_table(1000, 2))
    assert "warnings" not in world.train("--param", "learning_rate=0.3").line


def test_few_rows_are_named(world: World) -> None:
    world.publish_tables(make_table(30, 1), make_table(20, 2))
    assert world.train().line["warnings"] == [FEW, NO_SPLIT, SAME]


def test_fit_that_was_cut_off_is_named(day: World) -> None:
    assert day.train("--param", "num_iterations=3").line["warnings"] == [LAST]


def test_fit_without_early_stopping_was_meant_to_end_there(day: World) -> None:
    arguments = ("--param", "num_iterations=3", "--param", "early_stopping_round=0")
    assert "warnings" not in day.train(*arguments).line


def test_constant_feature_is_named(world: World) -> None:
    world.publish_tables(constant(make_table(600, 1), "weight"), make_table(300, 2))
    result = world.train("--param", "learning_rate=0.3")
    assert result.line["warnings"] == [CONSTANT]
    assert f"WARNING training train: {CONSTANT}" in result.log


@pytest.mark.parametrize(
    ("kind", "said"),
    [("weekday", []), ("day", []), ("month", []), ("yearday", []), ("hour", [CONSTANT]), ("days", [CONSTANT])],
)
def test_part_of_the_calendar_that_is_constant_is_no_surprise(world: World, kind: str, said: list[str]) -> None:
    """A day has one weekday and one day of the month."""
    train, val = constant(make_table(600, 1), "weight"), make_table(300, 2)
    encoder = make_encoder(train, ("0", "1"), {"shop": SHOPS})
    encoder["features"][list(train.header).index("weight") - 1]["kind"] = kind
    world.publish(train.text(), val.text(), encoder)
    assert world.train("--param", "learning_rate=0.3").line.get("warnings", []) == said


def test_constant_model_is_named_and_kept_in_the_mark(world: World) -> None:
    names = ("price", "shop", "weight")
    world.publish_tables(constant(make_table(600, 1), *names), constant(make_table(300, 2), *names))
    result = world.train()
    assert result.line["warnings"] == [CONSTANT.replace("weight", ", ".join(names)), SAME]
    kept = read_partition(world.root, MODEL, ["model.txt"]).step("model.txt")["result"]
    assert kept["warnings"] == result.line["warnings"]


@pytest.mark.parametrize(("columns", "named"), [(5, "c0, c1, c2, c3, c4: "), (7, "c0, c1, c2, c3, c4 and 2 more: ")])
def test_many_constant_features_are_one_sentence(world: World, columns: int, named: str) -> None:
    def widened(table: Table) -> Table:
        added = [f"c{number}" for number in range(columns)]
        return Table([*table.header, *added], [[*row, *["7"] * columns] for row in table.rows])

    world.publish_tables(widened(make_table(600, 1)), widened(make_table(300, 2)))
    warnings = world.train("--param", "learning_rate=0.3").line["warnings"]
    assert [warning.startswith(named) for warning in warnings] == [True]
