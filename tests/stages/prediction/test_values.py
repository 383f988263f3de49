"""Texts of a raw file as values: what `preprocessing` wrote and what was delivered must meet."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from values import as_written, field_of, reader


def read(text: str, **field: Any) -> str | None:
    found = reader({"name": "x", **field})
    assert found
    return found(text)


SAME = {
    "integer": ({"type": "integer"}, ["7", "007", "+7"]),
    "number": ({"type": "number"}, ["0.5", ".5", "5e-1", "+0.50"]),
    "zero": ({"type": "number"}, ["0", "-0.0", "0e5"]),
    "boolean": ({"type": "boolean", "trueValues": ["yes", "true"], "falseValues": ["no"]}, ["yes", "true"]),
    "date": ({"type": "date", "format": "%d/%m/%Y"}, ["21/11/2026"]),
    "offset": ({"type": "datetime"}, ["2026-11-21T12:00:00Z", "2026-11-21T13:00:00+01:00", "2026-11-21T12:00:00"]),
    "fraction": ({"type": "datetime"}, ["2026-11-21T12:00:00.5", "2026-11-21T12:00:00.500000000Z"]),
    "pattern": (
        {"type": "datetime", "format": "%d.%m.%Y %H:%M:%S%.f"}, ["21.11.2026 12:00:00", "21.11.2026 12:00:00.0"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("field", "texts"), SAME.values(), ids=SAME)
def test_texts_of_one_value_become_the_same(field: dict[str, Any], texts: list[str]) -> None:
    values = {read(text, **field) for text in texts}
    assert len(values) == 1
    assert values != {None}


NO_VALUES = {
    "integer": ({"type": "integer"}, ["", "7.0", "1e3", "seven", "٧", " 7"]),
    "number": ({"type": "number"}, ["", "nan", "inf", "1_000", "1,5", "1e999", "."]),
    "boolean": ({"type": "boolean"}, ["", "yes", "tRUE"]),
    "date": ({"type": "date"}, ["", "20261121", "2026-02-30", "21/11/2026"]),
    "datetime": ({"type": "datetime"}, ["", "2026-11-21", "2026-11-21 12:00:00", "2026-11-21T25:00:00"]),
    "pattern": ({"type": "date", "format": "%d/%m/%Y"}, ["2026-11-21", "31/02/2026"]),
}


@pytest.mark.parametrize(("field", "texts"), NO_VALUES.values(), ids=NO_VALUES)
def test_text_that_is_no_such_value_is_none(field: dict[str, Any], texts: list[str]) -> None:
    assert [read(text, **field) for text in texts] == [None] * len(texts)


def test_text_field_and_field_that_the_schema_lacks_stay_as_they_are() -> None:
    assert reader({"name": "x", "type": "string"}) is None
    assert reader(field_of({"fields": [{"name": "y", "type": "integer"}]}, "x")) is None


def test_written_values_are_in_the_default_format() -> None:
    field = {"name": "x", "type": "date", "format": "%d/%m/%Y", "constraints": {"required": True}}
    assert as_written(field) == {"name": "x", "type": "date"}


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-720, 720))
def test_one_moment_is_one_text_in_every_zone(moment: datetime, minutes: int) -> None:
    utc = moment.replace(tzinfo=UTC)
    there = utc.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    assert read(there, type="datetime") == moment.isoformat() == read(utc.isoformat(), type="datetime")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_is_told_exactly(value: float) -> None:
    text = read(repr(value), type="number")
    assert text is not None
    assert float(text) == value
