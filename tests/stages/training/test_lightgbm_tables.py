"""That LightGBM reads the tables exactly as every other reader does, or that they are refused."""

import itertools
import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from conftest import Table, World, make_table
from hypothesis import given
from hypothesis import strategies as st
from stagekit import BadInput

from lightgbm_tables import READING, check_codes, copy_table, native_names, read_rows

COLUMNS = ["kind", "price"]
# Every bin one value, every leaf one row: the trees show each value that was read.
REVEALING = {
    "objective": "binary", "min_data_in_leaf": 1, "min_data_in_bin": 1, "max_bin": 2000, "num_leaves": 500,
    "min_sum_hessian_in_leaf": 0, "feature_pre_filter": False, "verbosity": -1, "num_threads": 1,
    "deterministic": True, "force_row_wise": True,
}  # fmt: skip


def read_by_lightgbm(folder: Path, table: Table) -> lightgbm.Dataset:
    (folder / "table.csv").write_text(table.text())
    assert copy_table(folder / "table.csv", folder / "copy.csv", table.header, "table.csv", weighted=False) is None
    return lightgbm.Dataset(str(folder / "copy.csv"), params={**REVEALING, **READING}).construct()


def trees(dataset: lightgbm.Dataset, **parameters: Any) -> str:
    booster = lightgbm.train({**REVEALING, **parameters}, dataset, num_boost_round=3)
    return str(booster.model_to_string()).split("parameters:")[0]


def assert_read_exactly(folder: Path, table: Table) -> None:
    names = native_names(table.header[1:])
    array = np.array(table.values())
    own = lightgbm.Dataset(array, np.array(table.codes()), feature_name=names, params=REVEALING)
    assert trees(read_by_lightgbm(folder, table), **READING) == trees(own)


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param([["1", "2"], ["", "3"], ["4", ""], ["", ""], ["5", "6"], ["7", "-8"]], id="empty fields"),
        pytest.param([["", ""]] * 60 + [["1", "2"], ["3", ""], ["4", "5"]], id="first rows all empty"),
        pytest.param([["1"], ["2"], [""], ["3"], ["4"], [""]], id="one feature"),
        pytest.param([[""]] * 60 + [["1"], ["2"], ["3"]], id="one feature, first rows empty"),
        pytest.param([["1"], ["2"]], id="two rows"),
        pytest.param([["", "", "", "0"], ["0", "", "", ""], ["1", "2", "", ""]] * 9, id="runs of empty fields"),
        pytest.param([["0"], ["-0"], ["0.0"], [""], ["1"], ["-1"]], id="zero is not missing"),
        pytest.param([["+1"], [".5"], ["2."], ["007"], ["1E2"], ["1e-2"], ["-3.25e+1"]], id="ways to write a number"),
        pytest.param([["1e-400"], ["5e-324"], ["1.7976931348623157e308"], ["1"]], id="the ends of the range"),
        pytest.param([["0." + "1" * 350], ["1" * 305], ["2"]], id="long numbers"),
    ],
)
def test_table_is_read_as_others_read_it(tmp_path: Path, cells: list[list[str]]) -> None:
    rows = [[str(number % 2), *line] for number, line in enumerate(cells)]
    assert_read_exactly(tmp_path, Table(["kind", *(f"f{i}" for i in range(len(cells[0])))], rows))


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=60))
def test_any_double_is_read_exactly(tmp_path: Path, numbers: list[float | None]) -> None:
    cells = ["" if number is None else repr(number) for number in numbers]
    rows = [[str(i % 2), cell, cells[-1 - i]] for i, cell in enumerate(cells)]
    assert_read_exactly(tmp_path, Table(["kind", "price", "weight"], rows))


def test_lightgbm_alone_reads_an_empty_last_field_as_zero(tmp_path: Path) -> None:
    """Why tables are copied. Should this fail one day, LightGBM has repaired it, and the copy may go."""
    table = Table(["kind", "price"], [[str(n % 2), "" if n % 3 == 0 else str(n - 8)] for n in range(16)])
    (tmp_path / "table.csv").write_text(table.text())
    direct = lightgbm.Dataset(str(tmp_path / "table.csv"), params={**REVEALING, "header": True, "label_column": 0})
    zeros = np.nan_to_num(np.array(table.values()))
    filled = lightgbm.Dataset(zeros, np.array(table.codes()), feature_name=["price"], params=REVEALING)
    assert trees(direct, header=True, label_column=0) == trees(filled)


def test_short_texts_are_numbers_or_refused(tmp_path: Path) -> None:
    """All texts of up to three of these characters: taken where Python takes them, refused otherwise."""
    for length in (1, 2, 3):
        for characters in itertools.product("07+-.eE", repeat=length):
            text = "".join(characters)
            table = Table(COLUMNS, [["0", "1"], ["1", "2"], ["1", text]])
            try:
                float(text)
            except ValueError:
                with pytest.raises(BadInput, match="line 4, column 'price'"):
                    read_by_lightgbm(tmp_path, table)
            else:
                assert read_by_lightgbm(tmp_path, table).num_data() == 3


def test_faults_are_found_in_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line number must count on from block to block."""
    monkeypatch.setattr("lightgbm_tables.BLOCK_BYTES", 64)
    for line in (2, 3, 57, 200, 301):
        rows = [["1", str(number)] for number in range(2, 302)]
        rows[line - 2][1] = "inf"
        (tmp_path / "table.csv").write_text(Table(COLUMNS, rows).text())
        with pytest.raises(BadInput, match=f"^table.csv line {line}, column 'price' has 'inf'"):
            copy_table(tmp_path / "table.csv", tmp_path / "copy.csv", COLUMNS, "table.csv", weighted=False)


def test_blocks_do_not_change_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_table(200, 1)
    (tmp_path / "table.csv").write_text(table.text().removesuffix("\n"))
    copies = []
    for size in (1, 7, 64, 1 << 20):
        monkeypatch.setattr("lightgbm_tables.BLOCK_BYTES", size)
        copy_table(tmp_path / "table.csv", tmp_path / "copy.csv", table.header, "table.csv", weighted=False)
        copies.append((tmp_path / "copy.csv").read_text())
    assert copies[0].splitlines()[1:] == [",".join(cell or "nan" for cell in row) for row in table.rows]
    assert len(set(copies)) == 1


@pytest.mark.parametrize("size", [7, 64, 1 << 20])
def test_each_row_is_copied_for_one_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("lightgbm_tables.BLOCK_BYTES", size)
    table = make_table(200, 1)
    (tmp_path / "table.csv").write_text(table.text().removesuffix("\n"))
    for rank in range(3):
        turn, copy = (rank, 3), tmp_path / "copy.csv"
        copy_table(tmp_path / "table.csv", copy, table.header, "table.csv", weighted=False, turn=turn)
        own = [",".join(cell or "nan" for cell in row) for row in table.rows[rank::3]]
        assert copy.read_text().splitlines()[1:] == own


def test_ranks_name_the_line_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightgbm_tables.BLOCK_BYTES", 64)
    rows = [["1", "0.5", str(number)] for number in range(2, 60)]
    rows[50][2], rows[40][1] = "inf", "0"
    (tmp_path / "table.csv").write_text(Table(["kind", "weight", "price"], rows).text())
    for rank, message in ((50 % 3, "line 52, column 'price'"), (40 % 3, "line 42 has the weight 0")):
        with pytest.raises(BadInput, match=message):
            copy_table(
                *(tmp_path / "table.csv", tmp_path / "copy.csv", ["kind", "weight", "price"], "table.csv"),
                weighted=True,
                turn=(rank, 3),
            )
    with pytest.raises(BadInput, match="line 62 has the target 2"):
        check_codes(np.array([1, 0, 2], dtype=np.float32), ["no", "yes"], "table.csv", (0, 30))
    with pytest.raises(BadInput, match="58 rows for 60 ranks"):
        copy_table(
            *(tmp_path / "table.csv", tmp_path / "copy.csv", ["kind", "weight", "price"], "table.csv"),
            weighted=True,
            turn=(59, 60),
        )


def test_rows_are_read_as_python_reads_them(tmp_path: Path) -> None:
    table = make_table(50, 3)
    (tmp_path / "table.csv").write_text(table.text())
    for count in (1, 7, 50, 60):
        expected = np.array(table.values()[:count])
        np.testing.assert_array_equal(read_rows(tmp_path / "table.csv", count, len(table.header) - 1), expected)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["price", "größe", "_x(1)"], ["price", "größe", "_x(1)"]),
        (["sepal length (cm)", 'say "x"'], ["sepal_length_(cm)", "say__x_"]),
        (["a:b", "[y]", "{z}"], ["a_b", "_y_", "_z_"]),
        (["a_b", "a b", "a,b"], ["a_b", "a_b_", "a_b__"]),
    ],
)
def test_native_names_are_plain_and_distinct(names: list[str], expected: list[str]) -> None:
    assert native_names(names) == expected


def test_features_of_any_name_can_be_trained(world: World) -> None:
    names = ["kind", 'a,"b"', "a b", "{größe}: [cm]"]
    train, val = (Table(names, make_table(200, seed).rows) for seed in (1, 2))
    world.publish_tables(train, val, categories={"a b": 6})
    world.train("--param", "num_iterations=5")
    assert sorted(row["feature"] for row in world.csv("feature_importance.csv")) == sorted(names[1:])
    assert json.loads(world.output("encoder.json"))["features"][0]["name"] == 'a,"b"'


@pytest.mark.parametrize("codes", [[0, 1, 2], [0, 0.5, 1], [0, -1, 1], [0, float("nan"), 1]])
def test_codes_that_are_no_class_are_refused(codes: list[float]) -> None:
    with pytest.raises(BadInput, match=r"^val.csv line \d has the target"):
        check_codes(np.array(codes, dtype=np.float32), ["no", "yes"], "val.csv")
