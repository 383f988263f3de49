"""A draft of a Table Schema: the type and the role of each column, from its values."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from stagekit import BadInput, UsageError

from checks import RAW, convert
from csv_input import CsvFile
from table_schema import Field

# The first of these that fits all values of a column is its type.
CANDIDATES = (
    Field("", "boolean", "", "default", {}, ("true", "True", "TRUE"), ("false", "False", "FALSE")),
    Field("", "integer", "", "default", {}, (), ()),
    Field("", "number", "", "default", {}, (), ()),
    Field("", "date", "", "default", {}, (), ()),
    Field("", "datetime", "", "default", {}, (), ()),
    Field("", "datetime", "", "%Y-%m-%d %H:%M:%S", {}, (), ()),
)
TEXT_FIELD = Field("", "string", "", "default", {}, (), ())
# If texts do not repeat in this many rows or more, they are names, not descriptions.
IDENTIFIER_ROWS = 50


class Column:
    """A column after some batches: the types that all its values fit, and whether values repeat."""

    def __init__(self, name: str, missing: Collection[str]) -> None:
        self.name, self._missing = name, ["", *missing]
        self._fitting = list(CANDIDATES)
        self._values, self._repeats = 0, False

    def look_at(self, rows: pl.DataFrame) -> None:
        """Drop the types that a value of this batch does not fit."""
        values = rows.select(pl.col(self.name).alias(RAW)).filter(~pl.col(RAW).is_in(self._missing))
        self._fitting = [field for field in self._fitting if values.select(_misfits(field)).item() == 0]
        self._repeats = self._repeats or values[RAW].is_duplicated().any()
        self._values += values.height

    @property
    def type(self) -> Field:
        return self._fitting[0] if self._fitting and self._values else TEXT_FIELD

    @property
    def is_no_feature(self) -> bool:
        """Whether it has no value at all, or texts that never repeat."""
        names = self.type is TEXT_FIELD and not self._repeats and self._values >= IDENTIFIER_ROWS
        return not self._values or names

    def document(self, role: str) -> dict[str, Any]:
        """The column as a field of a Table Schema."""
        kind = self.type
        # Identifiers and classes are compared as texts, never as rounded numbers or times.
        if role in ("key", "entity", "target") and kind.type not in ("integer", "boolean"):
            kind = TEXT_FIELD
        document: dict[str, Any] = {"name": self.name, "type": kind.type}
        if kind.format != "default":
            document["format"] = kind.format
        if role == "feature" and kind.type in ("date", "datetime"):
            role = "time"
        document["role"] = "ignore" if role == "feature" and self.is_no_feature else role
        if role in ("key", "target"):
            document["constraints"] = {"required": True}
        return document


def _misfits(field: Field) -> pl.Expr:
    """How many values are not of the field's type. A number with a leading zero is a code, such as a postcode."""
    raw, value = pl.col(RAW), convert(field, pl.col(RAW))
    fits = value.is_not_null()
    if field.type in ("integer", "number"):
        fits &= ~raw.str.contains(r"^[+-]?0\d")
    if field.type == "number":
        fits &= value.is_finite()
    return (~fits).sum()


def _look(path: Path, missing: Collection[str]) -> dict[str, Column]:
    file = CsvFile(path, str(path))
    columns = {name: Column(name, missing) for name in file.header}
    for batch in file.batches():
        for column in columns.values():
            column.look_at(batch.rows)
    return columns


def draft_schema(
    data: Path, target: Path | None, key: Sequence[str], entity: str | None, missing: Sequence[str]
) -> dict[str, Any]:
    """Draft a Table Schema. If no key is named, the key is the columns that both files have.

    Errors: UsageError if no key is known or a named column does not exist; BadInput if target.csv does not have
    exactly one column beside the key.
    """
    columns = _look(data, missing)
    targets = _look(target, missing) if target else {}
    key = list(key) or [name for name in columns if name in targets]
    if not key:
        found = "the two files have no column in common" if target else "without --target no column is known as the key"
        raise UsageError(found, expected="the columns that identify a row", do="name each with --key COLUMN")
    for name in [*key, *([entity] if entity else [])]:
        if name not in columns or (target and name in key and name not in targets):
            raise UsageError(
                f"there is no column {name!r} in {data if name not in columns else target}", do="correct it"
            )
    predicted = [column for name, column in targets.items() if name not in key]
    if target and (len(predicted) != 1 or predicted[0].name in columns):
        raise BadInput(
            f"{target} has the columns {', '.join(targets)}; beside the key {', '.join(key)} that is "
            f"{', '.join(column.name for column in predicted) or 'nothing'}",
            expected="the key and exactly one column, what is to be predicted, which the data does not have",
            do="correct the file, or name the key with --key",
        )

    def role(name: str) -> str:
        return "key" if name in key else "entity" if name == entity else "feature"

    fields = [column.document(role(name)) for name, column in columns.items()]
    fields += [column.document("target") for column in predicted]
    return {"fields": fields, "primaryKey": key, "missingValues": ["", *missing]}
