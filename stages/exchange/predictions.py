"""The predictions of a day with the model that made them, as frames."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from stagekit import BadInput, Partition, StageError, read_partition, track

FILE = "predictions.csv"
DAY, MODEL, VERSION, RUN = "ds", "model", "model_version", "run_id"
OWN = (DAY, MODEL, VERSION, RUN)
PROBABILITY_PREFIX = "probability_"
PART_ROWS = 100_000


@dataclass(frozen=True)
class Predictions:
    """The verified predictions of a day. `columns` are those of predictions.csv."""

    ds: date
    partition: Partition
    columns: Sequence[str]

    @property
    def rows(self) -> int | None:
        """The number of rows, as the mark has it."""
        return self.partition.rows(FILE)

    @property
    def schema(self) -> dict[str, Any]:
        """The type of each column that is exported: the day, the columns of predictions.csv, the model."""
        texts = dict.fromkeys(self.columns, pl.String)
        probabilities = {name: pl.Float64 for name in self.columns if name.startswith(PROBABILITY_PREFIX)}
        return {DAY: pl.Date, **texts, **probabilities, **dict.fromkeys(OWN[1:], pl.String)}

    @property
    def model(self) -> dict[str, str | None]:
        """The model that scored the day: its folder; its version and its run in the registry, None by hand."""
        parameters = self.partition.step(FILE).get("parameters") or {}
        names = {MODEL: "model", VERSION: "version", RUN: "run_id"}
        return {ours: None if parameters.get(key) is None else str(parameters[key]) for ours, key in names.items()}

    def parts(self) -> Iterator[pl.DataFrame]:
        """All rows in the order of predictions.csv, part by part; at least one part."""
        own = {DAY: pl.lit(self.ds), **{name: pl.lit(value, pl.String) for name, value in self.model.items()}}
        types = {name: kind for name, kind in self.schema.items() if name in self.columns}
        rows = pl.scan_csv(self.partition / FILE, schema=types, glob=False)
        rows = rows.with_columns(**own).select(*self.schema)
        parts = rows.collect_batches(chunk_size=PART_ROWS, maintain_order=True)
        return track(parts, f"reading {self.partition.name}/{FILE}", self.rows, "rows", lambda part: part.height)

    def require_rows(self, written: int, where: str) -> None:
        """Errors: StageError unless as many rows were written as the mark has."""
        if self.rows is not None and written != self.rows:
            raise StageError(
                f"{where} takes {written} of the {self.rows} rows of {self.partition.name}/{FILE}",
                expected="every row; nothing was changed there",
                do="see what refuses rows there, such as a trigger",
            )


def read_predictions(root: Path, ds: str) -> Predictions:
    """The predictions of a day. Errors: NotReady, BadInput."""
    partition = read_partition(root, f"predictions/{ds}", [FILE])
    columns = _header(partition)
    if taken := [name for name in columns if name in OWN]:
        raise BadInput(
            f"the key {taken[0]!r} has the name of a column that the export adds",
            expected=f"keys with other names than {', '.join(OWN)}",
            do="rename the key in schema.json and train again",
        )
    return Predictions(date.fromisoformat(ds), partition, columns)


def _header(partition: Partition) -> list[str]:
    """The columns of predictions.csv. Errors: BadInput if it has none, or one twice."""
    try:
        with (partition / FILE).open(encoding="utf-8", newline="") as file:
            columns = next(csv.reader(file), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise _bad(partition, str(error)) from None
    if not columns:
        raise _bad(partition, "it has no header")
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise _bad(partition, f"it has the column {twice[0]!r} twice")
    return columns


def _bad(partition: Partition, found: str) -> BadInput:
    return BadInput(
        f"{partition.name}/{FILE}: {found}", expected="the file as predict wrote it", do="run predict again"
    )


@contextmanager
def explained(predictions: Predictions) -> Iterator[None]:
    """Turn what polars says of a file that it cannot read into one line that names the file."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        if "os error" in str(error) or "External error" in str(error):  # of what the rows are written to
            raise
        raise _bad(predictions.partition, str(error).partition("\n")[0]) from None
