"""A Parquet file as texts: each value in the one form that the project uses for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from stagekit import BadInput, track

from containers import Container
from csv_input import LINE, REJECTED, with_names
from csv_output import DATETIME_FORMAT
from source_rows import Rows
from table_schema import Field

BATCH_ROWS = 1 << 17
NESTED = (pl.List, pl.Array, pl.Struct, pl.Object)


class ParquetTable:
    """A Parquet file. One that is inside of another container is unpacked into `scratch`.

    `fields` are those of the schema, if it is known. Errors: BadInput if one reads values in another form than this
    table gives them.
    """

    def __init__(self, container: Container, scratch: Path, fields: Sequence[Field] = ()) -> None:
        self.label = container.label
        self.is_plain, self.form = False, "parquet"
        path = container.path
        if container.compression:
            self.form = f"{container.compression}, parquet"
            path = scratch / f"{container.path.name}.parquet"
            with path.open("wb") as file:
                file.writelines(container.pieces())
        self._frame = pl.scan_parquet(path)
        try:
            self._types = self._frame.collect_schema()
        except pl.exceptions.PolarsError as error:
            raise self._damaged(error) from None
        self.header, self.named = with_names(self._types.names())
        self._require_table()
        for field in fields:
            if wrong := _other_form(field, self._types.get(field.name)):
                raise BadInput(
                    f"{self.label} has values of the type {self._types[field.name]} in the column {field.name!r}, and "
                    f"schema.json has the {wrong} of texts for it",
                    expected=f"a field without {wrong}: values of Parquet have one form",
                    do=f"remove {wrong} from that field, or draft the schema from this file with infer-schema",
                )

    def rows(self) -> Iterator[Rows]:
        columns = zip(self._types.items(), self.header, strict=True)
        texts = self._frame.select(_text(*column).alias(name) for column, name in columns)
        line = 2
        malformed = pl.DataFrame(schema=REJECTED)
        try:
            whole = self._frame.select(pl.len()).collect().item()
            frames = texts.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
            for frame in track(frames, f"reading {self.label}", whole, "rows", lambda frame: frame.height):
                if found := [name for name in self.header if frame[name].str.contains("\0", literal=True).any()]:
                    raise self._refused(found[0], "a NUL byte", "texts without it")
                yield Rows(frame.with_row_index(LINE, line).with_columns(pl.col(LINE).cast(pl.Int64)), malformed)
                line += frame.height
        except pl.exceptions.PolarsError as error:
            raise self._damaged(error) from None
        if line == 2:
            raise BadInput(f"{self.label} has a header but no rows", expected="rows", do="give one with rows")

    def _require_table(self) -> None:
        for name, kind in self._types.items():
            if isinstance(kind, NESTED):
                raise self._refused(name, f"nested ({kind})", "one value in each row and column")
            if isinstance(kind, pl.Duration):
                raise self._refused(name, "a duration", "a number, such as of seconds")
            if "\n" in name or "\0" in name:
                raise self._refused(name, "without a name that fits in one line", "a name")

    def _refused(self, name: str, found: str, expected: str) -> BadInput:
        return BadInput(
            f"the column {name!r} of {self.label} is {found}", expected=expected, do="write the file without it"
        )

    def _damaged(self, error: Exception) -> BadInput:
        return BadInput(
            f"{self.label} begins like Parquet but cannot be read: {error}",
            expected="a file that is complete",
            do="deliver it again",
        )


def _other_form(field: Field, kind: pl.DataType | None) -> str:
    """The property with which a field asks for another form than `_text` writes; empty if there is none."""
    if isinstance(kind, pl.Datetime | pl.Date) and field.format != "default":
        return "format"
    if isinstance(kind, pl.Float32 | pl.Float64 | pl.Decimal) and field.decimal_char != ".":
        return "decimalChar"
    if isinstance(kind, pl.Boolean) and field.type == "boolean":
        if "true" not in field.true_values:
            return "trueValues"
        if "false" not in field.false_values:
            return "falseValues"
    return ""


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    """The text of a column. Null and NaN are missing."""
    column = pl.col(name)
    if isinstance(kind, pl.Float32 | pl.Float64):
        return column.fill_nan(None).cast(pl.String)
    if isinstance(kind, pl.Decimal):  # 1.50 is 1.5, and 2.00 is 2
        return column.cast(pl.String).str.replace(r"(\.[0-9]*?)0+$", "$1").str.strip_suffix(".")
    if isinstance(kind, pl.Datetime):
        in_utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if kind.time_zone else column
        return in_utc.dt.to_string(DATETIME_FORMAT)
    if isinstance(kind, pl.Date):
        return column.dt.to_string("%Y-%m-%d")
    if isinstance(kind, pl.Time):
        return column.dt.to_string("%H:%M:%S%.f")
    return column.cast(pl.String).replace("", None)
