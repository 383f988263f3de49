"""On which line each row of a raw file was in the file as it was delivered, and why a row of it is malformed.

Usually both have the same lines, and prepare finds itself what is malformed. Where `import` translates a file, it
writes notes beside the raw file: one for each malformed row, whose text is one quoted field there, and one for each
row before which the lines shift, because the raw file lacks rows or line breaks of the delivered one.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from csv_input import KINDS, LINE, REASON, TEXT
from csv_output import CsvWriter
from deliveries import Delivery

# Of a note: the line in the raw file, that in the delivered one, and of a malformed row what is wrong.
NOTE = {"line": pl.Int64(), "delivered": pl.Int64(), "kind": pl.String(), "reason": pl.String()}
FILE, SIZE = "\0file", "\0lines"


class LineNotes(CsvWriter):
    """The notes on a raw file, written while its records are."""

    def __enter__(self) -> "LineNotes":
        super().__enter__()
        self.write(pl.DataFrame(schema=NOTE))
        self._line, self._shift = 2, 0
        return self

    def add(self, records: pl.DataFrame) -> None:
        """Note the next records: LINE in the delivered file, SIZE in lines, and what is malformed (KINDS, REASON)."""
        if not records.height:
            return
        line = self._line + pl.col(SIZE).cum_sum() - pl.col(SIZE)
        found = records.select(
            line=line, delivered=LINE, kind=pl.col(KINDS).list.first(), reason=REASON, shift=pl.col(LINE) - line
        )
        shifts = pl.col("shift") != pl.col("shift").shift(fill_value=self._shift)
        self.write(found.filter(shifts | pl.col("reason").is_not_null()).select(*NOTE))
        self._line, self._shift = self._line + int(records[SIZE].sum()), int(found["shift"][-1])


class DeliveredLines:
    """The lines of a file that has the rows of all `deliveries`, as lines of the delivered files.

    `first_lines` has the first line of each delivery but the first.
    """

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.files = [delivery.file for delivery in deliveries]
        self.first_lines = [delivery.line for delivery in deliveries[1:]]
        self._shifts = pl.concat(_shifts(number, delivery) for number, delivery in enumerate(deliveries))
        self._malformed = pl.concat(map(_malformed, deliveries))

    def explained(self, bad: pl.DataFrame) -> pl.DataFrame:
        """These rows (the columns of REJECTED); malformed ones have their own text and what was wrong with it."""
        if not self._malformed.height:
            return bad
        noted, text = pl.col("reason").is_not_null(), pl.col(TEXT).str.strip_prefix('"').str.strip_suffix('"')
        return bad.join(self._malformed, on=LINE, how="left", maintain_order="left").select(
            LINE,
            pl.when(noted).then(text.str.replace_all('""', '"', literal=True)).otherwise(TEXT).alias(TEXT),
            pl.when(noted).then(pl.concat_list("kind")).otherwise(KINDS).alias(KINDS),
            pl.coalesce("reason", REASON).alias(REASON),
        )

    def placed(self, bad: pl.DataFrame) -> pl.DataFrame:
        """These rows with the FILE that they were delivered in, and their LINE there."""
        places = self._places(bad[LINE])
        return bad.with_columns(places[LINE], places[FILE])

    def shown(self, lines: pl.Series) -> pl.Series:
        """Each line as messages show it: with its file, if there are several."""
        if self._shifts.height == 1:
            return lines.cast(pl.String)
        file = [pl.lit(" of "), FILE] if len(self.files) > 1 else []
        return self._places(lines).select(pl.concat_str(LINE, *file)).to_series()

    def _places(self, lines: pl.Series) -> pl.DataFrame:
        """The FILE and the LINE that each line was delivered as; null for null."""
        last = self._shifts[LINE].search_sorted(lines.fill_null(2), "right").cast(pl.Int64) - 1
        shift = self._shifts[last]
        files = shift[FILE].replace_strict(range(len(self.files)), self.files, return_dtype=pl.String)
        return pl.DataFrame([files, (shift["delivered"] + lines - shift[LINE]).alias(LINE)])


def _shifts(number: int, delivery: Delivery) -> pl.DataFrame:
    """From which LINE of the whole on rows are on which lines of a delivery, which has this number as its FILE."""
    first = pl.DataFrame({"line": [2], "delivered": [2]})
    shifts = pl.concat([first, *([_notes(delivery.notes, "line", "delivered")] if delivery.notes else [])])
    return shifts.select(
        (pl.col("line") + (delivery.line - 2)).alias(LINE), "delivered", pl.lit(number, pl.UInt32).alias(FILE)
    )


def _malformed(delivery: Delivery) -> pl.DataFrame:
    """The malformed rows of a delivery: their LINE in the whole, and what is wrong."""
    columns = {LINE: pl.Int64(), "kind": pl.String(), "reason": pl.String()}
    if not delivery.notes:
        return pl.DataFrame(schema=columns)
    malformed = _notes(delivery.notes, "line", "kind", "reason").drop_nulls("reason")
    return malformed.select((pl.col("line") + (delivery.line - 2)).alias(LINE), "kind", "reason")


def _notes(path: Path, *columns: str) -> pl.DataFrame:
    return pl.scan_csv(path, schema=NOTE).select(columns).collect()
