"""Each data set on its way from a file to the gate: nothing is lost in silence, and the model is of use.

The commands are those of `own`, made by its own code, but without Airflow and with few trees.
"""

import csv
import io

import pytest

from tests.data_sets.page import PAGE, page
from tests.data_sets.sets import SETS, DataSet
from tests.data_sets.way import Way, take_all
from tests.harness import data_volume


@pytest.fixture(scope="session")
def ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Way]:
    with data_volume("data-sets") as data:
        return take_all(SETS, data, tmp_path_factory.mktemp("data-sets"))


@pytest.fixture
def way(ways: dict[str, Way], one: DataSet) -> Way:
    return ways[one.name]


def each(sets: list[DataSet]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("one", sets, ids=lambda one: one.name)


FIT = [one for one in SETS if not one.unfit]


@each(FIT)
def test_set_leads_to_a_model(one: DataSet, way: Way) -> None:
    assert way.last.code == 0, way.last.log
    assert way.calls["validate"].line["roc_auc"] >= one.roc_auc


@each([one for one in SETS if one.refused])
def test_what_the_first_call_asks_is_answered_by_the_second(one: DataSet, way: Way) -> None:
    assert way.first is not None
    assert way.first.code == 3
    assert one.refused in way.first.log


@each([one for one in SETS if one.unfit])
def test_set_that_leads_to_no_model_says_why(one: DataSet, way: Way) -> None:
    assert way.last.code == 3
    assert one.unfit in way.last.log
    assert "Traceback" not in way.last.log


@each(FIT)
def test_each_column_is_used_or_named(one: DataSet, way: Way) -> None:
    fields = {field["name"]: field for field in way.schema["fields"]}
    made_up = {name for name, field in fields.items() if field.get("rowNumber")}
    columns = enumerate(one.table().columns, start=1)
    assert set(fields) - made_up == {name or f"column_{number}" for number, name in columns}
    assert fields[one.target]["role"] == "target"
    assert {name: fields[name]["type"] for name in one.types} == dict(one.types)
    left_out = {name for name, field in fields.items() if field["role"] == "ignore"}
    warnings = [line for line in way.calls["infer-schema"].log.splitlines() if " WARNING " in line]
    assert [name for name in left_out if not any(f": {name}: ignored" in line for line in warnings)] == []
    assert left_out == set(one.ignored)
    assert any(one.warned in line for line in warnings) or not one.warned
    assert "code for missing" in one.warned or not [line for line in warnings if "a code for missing" in line]


@each(FIT)
def test_each_row_is_used_or_rejected_with_a_reason(one: DataSet, way: Way) -> None:
    rows, prepared = len(one.table().rows), way.calls["prepare"].line
    assert way.calls["import"].line["rows"]["data.csv"] == rows
    assert (prepared["rows_in"], prepared["rows_out"]) == (rows, rows - one.rejected - one.unlabelled)
    assert prepared.get("unlabelled", 0) == one.unlabelled
    if one.rejected:
        assert any(one.because in reason for reason in prepared["reasons"])


@each([one for one in FIT if not one.rejected and not one.unlabelled])
def test_each_value_is_read(one: DataSet, way: Way) -> None:
    """Only the texts that mean "missing" are missing."""
    table, rows = one.table(), list(csv.DictReader(io.StringIO(way.train_data)))
    assert len(rows) == len(table.rows)
    for name in set(rows[0]) & set(table.columns):
        missing = sum(text.strip() in one.missing for text in table.column(name))
        assert sum(row[name] == "" for row in rows) == missing, name


def test_most_sets_pass_the_gate_after_two_calls_at_most(ways: dict[str, Way]) -> None:
    passed = [one for one in FIT if one.calls <= 2 and ways[one.name].calls["compare"].line["passed"]]
    assert len(SETS) >= 30
    assert len(passed) >= 28, [one.name for one in FIT if one not in passed]


def test_page_shows_the_sets_as_they_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "do: .venv/bin/python -m tests.data_sets.page"
