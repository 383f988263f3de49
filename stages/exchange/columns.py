"""The columns of a query: which types and values a file of the pipeline can have."""

from datetime import date, datetime

import polars as pl
from stagekit import BadInput

OTHER_TYPES = (pl.Binary, pl.Time, pl.Duration, pl.Object)
# Every program reads these years. Postgres' `infinity` is beyond them, and polars cannot write it as a text.
FIRST, LAST = date(1, 1, 1), date(9999, 12, 31)


def plain(part: pl.DataFrame) -> pl.DataFrame:
    """A part of a query's rows, with Postgres' own types as texts, such as numeric.

    Errors: BadInput for a type that has no text here, and for a time outside of the years 1 to 9999.
    """
    if not part.width:
        raise BadInput("the query has no columns", expected="the columns of the data", do="name them after SELECT")
    own = [name for name, kind in part.schema.items() if isinstance(kind, pl.Extension)]
    part = part.with_columns(pl.col(name).ext.storage() for name in own)
    for name, kind in part.schema.items():
        if kind.is_nested() or kind in OTHER_TYPES:
            raise _wrong(name, f"has a type that no file of the pipeline has ({kind})")
        if kind.is_temporal() and not _is_readable(part[name]):
            raise _wrong(name, "has a time outside of the years 1 to 9999, such as infinity")
    return part


def _is_readable(times: pl.Series) -> bool:
    """Whether all values are in years that every program reads. They are compared as numbers, which always works."""
    kind = times.dtype
    first, last = FIRST, LAST
    if kind != pl.Date:
        first, last = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
        kind = pl.Datetime("us")
    least, most = pl.Series([first, last], dtype=kind).to_physical()
    numbers = times.to_physical()
    return bool(numbers.is_between(least, most).all())


def _wrong(name: str, found: str) -> BadInput:
    return BadInput(
        f"the column {name!r} of the query {found}",
        expected="numbers, booleans, texts, dates and times",
        do=f'convert it in the query, such as CAST("{name}" AS text)',
    )
