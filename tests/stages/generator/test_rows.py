"""What is in a day: as many rows as asked for, as the schema says, in the order of time, some of them fraud."""

from pathlib import Path

import pytest
from feed import DS, Day, generate, read_day, run, violations


@pytest.mark.parametrize("rows", [1, 2, 1439, 5000])
def test_rows_are_exactly_as_many_as_asked_for(tmp_path: Path, rows: int) -> None:
    done = run(tmp_path, "--rows", str(rows), "--dirty", "0.1")
    day = read_day(tmp_path)
    assert done.result["rows"] == len(day.rows) == day.meta["outputs"]["data.csv"]["rows"] == rows
    assert done.result["target_rows"] == day.target_rows == day.meta["outputs"]["target.csv"]["rows"]


def test_result_and_mark_say_what_was_made(tmp_path: Path) -> None:
    result = run(tmp_path, "--rows", "50", "--seed", "3", "--dirty", "0").result
    step = read_day(tmp_path).meta["steps"]["generate"]
    assert (result["stage"], result["ds"], result["partition"]) == ("generator", DS, f"raw/{DS}")
    assert step["parameters"] == {"rows": 50, "dirty": 0.0}
    assert step["seed"] == 3


def test_schema_describes_data_and_target(clean_day: Day) -> None:
    fields = {field["name"]: field for field in clean_day.schema["fields"]}
    roles = [field["role"] for field in fields.values()]
    assert [name for name in fields if fields[name]["role"] != "target"] == list(clean_day.rows[0])
    assert clean_day.files["target.csv"].startswith(b"transaction_id,is_fraud\n")
    assert clean_day.schema["primaryKey"] == [name for name in fields if fields[name]["role"] == "key"]
    assert all(roles.count(role) == 1 for role in ("key", "entity", "time", "target"))
    assert set(roles) == {"key", "entity", "time", "target", "feature", "ignore"}
    assert {field["type"] for field in fields.values()} == {"string", "integer", "number", "boolean", "datetime"}


def test_clean_rows_obey_the_schema(clean_day: Day) -> None:
    assert [row for row in clean_day.rows if violations(row, clean_day.schema)] == []
    assert set(clean_day.labels.values()) == {"0", "1"}


def test_clean_rows_have_one_label_each(clean_day: Day) -> None:
    keys = [row["transaction_id"] for row in clean_day.rows]
    assert keys == list(clean_day.labels)
    assert len(set(keys)) == clean_day.target_rows == len(keys)


def test_rows_arrive_in_the_order_of_time(clean_day: Day) -> None:
    times = [row["time"] for row in clean_day.rows]
    assert times == sorted(times)
    assert {time[:10] for time in times} == {DS}
    assert {time[11:13] for time in times} == {f"{hour:02d}" for hour in range(24)}


@pytest.mark.parametrize("column", ["email_domain", "usual_amount", "distance_from_home_km"])
def test_optional_column_is_missing_in_some_rows(clean_day: Day, column: str) -> None:
    assert 0.001 < sum(not row[column] for row in clean_day.rows) / len(clean_day.rows) < 0.2


def test_merchant_names_need_the_whole_of_csv_and_unicode(clean_day: Day) -> None:
    names = {row["merchant"] for row in clean_day.rows}
    assert any("," in name for name in names)
    assert any(not name.isascii() for name in names)


@pytest.mark.parametrize("letter", ["é", "ö", "ł"])
def test_names_are_in_utf_8(clean_day: Day, dirty_day: Day, letter: str) -> None:
    names = {row["cardholder"] for row in clean_day.rows}
    assert any(letter in name for name in names)
    assert {row["cardholder"] for row in dirty_day.rows} <= names


def test_no_payment_is_made_twice(clean_day: Day) -> None:
    """Payments are put together from tables that are read over and over; together they must not come round."""
    contents = {tuple(row[name] for name in row if name not in ("transaction_id", "time")) for row in clean_day.rows}
    assert len(contents) == len(clean_day.rows)


@pytest.mark.parametrize("ds", ["2025-07-05", "2026-02-10", "2026-12-23", "2031-09-01"])
def test_fraud_is_rare_but_there(tmp_path: Path, ds: str) -> None:
    done = run(tmp_path, "--rows", "20000", ds=ds)
    assert 0.01 < done.result["fraud_rate"] < 0.06


@pytest.mark.parametrize("ds", ["0001-01-01", "2024-02-29", "9999-12-31"])
def test_rows_of_any_date_obey_the_schema(tmp_path: Path, ds: str) -> None:
    day = generate(tmp_path, "--rows", "3000", "--dirty", "0", ds=ds)
    assert [row for row in day.rows if violations(row, day.schema)] == []
