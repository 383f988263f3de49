"""Writes frames as one Parquet file, part by part: memory holds some parts, never all."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import polars as pl
from polars.io.plugins import register_io_source


def write_parts(parts: Iterator[pl.DataFrame], to: Path | IO[bytes]) -> int:
    """Write the parts, which have the same columns; returns the number of rows. Without a part nothing is written."""
    first = next(parts, None)
    if first is None:
        return 0
    count = 0

    def source(*_: Any) -> Iterator[pl.DataFrame]:
        nonlocal count
        part: pl.DataFrame | None = first
        while part is not None:
            count += part.height
            yield part
            part = next(parts, None)

    rows: pl.LazyFrame = register_io_source(source, schema=first.schema)
    rows.sink_parquet(to)
    return count
