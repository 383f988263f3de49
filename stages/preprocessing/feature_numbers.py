"""Values to numbers: the columns that a model learns from, made as its encoder says."""

from collections.abc import Sequence

import polars as pl
from stagekit.contract import CATEGORY, DAY, DAYS, HOUR, MONTH, NUMBER, WEEKDAY, YEARDAY, Encoder, Feature

MICROSECONDS_OF_A_DAY = 86_400_000_000


def encode(encoder: Encoder, rows: pl.DataFrame, first: Sequence[str | pl.Expr]) -> pl.DataFrame:
    """The columns `first` of typed rows, then one numeric column for each feature."""
    flags_as_numbers = rows.with_columns(pl.col(pl.Boolean).cast(pl.UInt8))
    features = flags_as_numbers.select(_number(feature) for feature in encoder.features)
    return rows.select(first).hstack(features.get_columns())


def code_of(target: str, classes: Sequence[str]) -> pl.Expr:
    """The position of the target's text in `classes`."""
    return pl.col(target).cast(pl.Enum(classes)).to_physical().cast(pl.UInt32)


def _number(feature: Feature) -> pl.Expr:
    """The feature's number from the typed value of its field; null if the value is missing or unseen."""
    value = pl.col(feature.field)
    numbers = {
        NUMBER: lambda: value,
        CATEGORY: lambda: value.cast(pl.Enum(feature.values), strict=False).to_physical().cast(pl.UInt8),
        HOUR: value.dt.hour,
        WEEKDAY: lambda: value.dt.weekday() - 1,  # polars counts from 1
        DAY: value.dt.day,
        MONTH: value.dt.month,
        YEARDAY: value.dt.ordinal_day,
        DAYS: lambda: _days(feature),
    }
    return numbers[feature.kind]().alias(feature.name)


def _days(feature: Feature) -> pl.Expr:
    """The days from the time in the field `since`, or from 1970-01-01, to the time of the feature."""
    time = _microseconds(feature.field)
    start = pl.lit(0) if feature.since is None else _microseconds(feature.since)
    return (time - start) / MICROSECONDS_OF_A_DAY


def _microseconds(field: str) -> pl.Expr:
    return pl.col(field).cast(pl.Datetime("us")).cast(pl.Int64)
