"""What a text of a raw file means, by its field of the Table Schema: two texts of one value become the same text.

`features.csv` and `encoder.json` hold values as `preprocessing` writes them, `target.csv` as they were delivered.
Standard library only.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any

INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ISO_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?")
TRUE_VALUES, FALSE_VALUES = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")

Reader = Callable[[str], str | None]


def field_of(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The field of a Table Schema; one of any text where the schema does not have it."""
    fields = schema.get("fields", [])
    return next((field for field in fields if field.get("name") == name), {"name": name, "type": "string"})


def as_written(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """The field whose texts `preprocessing` wrote: its type, in the default format."""
    return {"name": field["name"], "type": field.get("type", "string")}


def reader(field: Mapping[str, Any]) -> Reader | None:
    """Turns a text into the text of its value, or None where it is no such value; None where each text is its own."""
    kind, pattern = field.get("type", "string"), field.get("format", "default")
    if kind == "integer":
        return lambda text: str(int(text)) if INTEGER.fullmatch(text) else None
    if kind == "number":
        return _number
    if kind == "boolean":
        return _flags(field.get("trueValues", TRUE_VALUES), field.get("falseValues", FALSE_VALUES))
    if kind == "date":
        return lambda text: _date(text, pattern)
    if kind == "datetime":
        return lambda text: _datetime(text, pattern)
    return None


def _number(text: str) -> str | None:
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    return repr(value + 0.0) if math.isfinite(value) else None  # -0.0 is 0.0


def _flags(true: Collection[str], false: Collection[str]) -> Reader:
    return lambda text: "true" if text in true else "false" if text in false else None


def _date(text: str, pattern: str) -> str | None:
    try:
        if pattern != "default":
            return datetime.strptime(text, pattern).date().isoformat()
        return date.fromisoformat(text).isoformat() if ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def _datetime(text: str, pattern: str) -> str | None:
    """UTC without an offset, to the microsecond."""
    try:
        if pattern != "default":
            moment = _parse(text, pattern)
        elif ISO_DATETIME.fullmatch(text):
            moment = datetime.fromisoformat(text)
        else:
            return None
        return (moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment).isoformat()
    except (ValueError, OverflowError):
        return None


def _parse(text: str, pattern: str) -> datetime:
    """By a pattern of polars; there `%.f` is a fraction with its dot, or nothing."""
    if "%.f" not in pattern:
        return datetime.strptime(text, pattern)
    try:
        return datetime.strptime(text, pattern.replace("%.f", ".%f"))
    except ValueError:
        return datetime.strptime(text, pattern.replace("%.f", ""))
