"""Writes CSV files frame by frame, in the one form that the project uses for each value."""

from pathlib import Path
from types import TracebackType
from typing import Literal

import polars as pl

DATETIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.f"


class CsvWriter:
    """A CSV file that is written frame by frame. Floats are the shortest text that reads back as the same number.

    `rows` counts the rows that were written. If no value `needs_quotes`, polars need not look for those that do.
    """

    def __init__(self, path: Path, *, needs_quotes: bool = True) -> None:
        self._path, self.rows, self._has_header = path, 0, False
        self._quotes: Literal["necessary", "never"] = "necessary" if needs_quotes else "never"

    def __enter__(self) -> "CsvWriter":
        # Python does not buffer: polars writes to the file itself, with all processors.
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows. The first frame, which may be empty, brings the header."""
        if not self._has_header:
            frame.clear().write_csv(self._file)
        frame.write_csv(self._file, include_header=False, datetime_format=DATETIME_FORMAT, quote_style=self._quotes)
        self._has_header, self.rows = True, self.rows + frame.height

    def append(self, records: bytes, rows: int) -> None:
        """Append the text of some rows, which must be as `write` would write it. The header must be there already."""
        rest = memoryview(records if records.endswith(b"\n") else records + b"\n")
        while rest:  # an unbuffered file may take a part of it
            rest = rest[self._file.write(rest) :]
        self.rows += rows


def texts_of(values: pl.Series) -> pl.Series:
    """The text of each value, as CsvWriter writes it; null for null."""
    distinct = values.drop_nulls().unique()
    content = distinct.to_frame("value").write_csv(datetime_format=DATETIME_FORMAT).encode()
    texts = pl.read_csv(content, schema={"value": pl.String}, empty_string_is_null=False).to_series()
    return values.replace_strict(distinct, texts, default=None, return_dtype=pl.String)
