"""Checks raw files row by row, keeps their rows on disk batch by batch, and writes the good and the rejected ones."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from stagekit import BadInput, Publication, track

from checks import Checked, FieldChecks
from csv_input import (
    KINDS,
    LINE,
    LOST,
    OFFSET,
    QUOTES_WRONG,
    REASON,
    REJECTED,
    TEXT,
    CsvFile,
    down,
    not_named,
    texts_at,
)
from csv_output import CsvWriter
from keys import KeyedRows
from parallel import in_order
from spill import Shelf
from table_schema import Field, Schema

log = logging.getLogger(__name__)

# The keys of a file are compared in parts. A part holds the keys of so many bytes of the file, some 500,000 rows.
PART_BYTES = 64 << 20
SHOWN_REJECTS, SHOWN_GAPS = 5, 5
SIZE = "\0size"
REJECTED_FILE = "rejected.csv"


@dataclass(frozen=True)
class RawTable:
    """A raw file: its place, its columns, and how to read them.

    `label` names the file in messages. The fields in `required` may not be missing, whatever their constraints say.
    """

    path: Path
    label: str
    schema: Schema
    columns: Sequence[str]
    required: Sequence[str]
    may_be_empty: bool = False

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def fields(self) -> list[Field]:
        return self.schema.of(self.columns)

    @property
    def parts(self) -> int:
        """In how many parts the keys are compared."""
        return 1 + self.path.stat().st_size // PART_BYTES


@dataclass
class Counts:
    """What happened to the rows: how many each file has, how many were rejected and why, how many were written.

    `unlabelled` are kinds of faults of a row without a label; where labels may be partial, such a row is no fault of
    the file, so no limit counts it. `passed_over` has the number of these rows. `given_up` has the file and the first
    and the last line of rows in a row of which nobody can say whether they are rows.
    """

    rows: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    written: int = 0
    extra_columns: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    unlabelled: Sequence[str] = ()
    passed_over: Counter[str] = field(default_factory=Counter)
    given_up: list[tuple[str, int, int]] = field(default_factory=list)

    def add_rejected(self, file: str, bad: pl.DataFrame) -> None:
        """Count rejected rows of a file (the columns of REJECTED)."""
        self.rejected[file] += bad.height
        without_label = pl.col(KINDS).list.eval(pl.element().is_in(self.unlabelled)).list.all()
        self.passed_over[file] += bad.filter(without_label).height if self.unlabelled else 0
        self.reasons.update(dict(bad[KINDS].explode().value_counts().iter_rows()))
        for line, reason in bad.select(LINE, REASON).head(SHOWN_REJECTS - len(self.examples)).iter_rows():
            self.examples.append(f"{file} line {line}: {reason}")
        self._add_given_up(file, bad.filter(pl.col(KINDS).list.contains(QUOTES_WRONG)))

    def _add_given_up(self, file: str, damaged: pl.DataFrame) -> None:
        """Note which lines may be inside quotes, in the order of the file; `damaged` are records with wrong quotes."""
        last = pl.col(LINE) + pl.col(TEXT).str.count_matches("\n", literal=True)
        lines = damaged.select(LINE, REASON, last.alias("last"))
        lines = lines.filter((pl.col(REASON) == LOST) | (pl.col("last") > pl.col(LINE)))
        begins = (pl.col(LINE) != pl.col("last").shift() + 1).fill_null(True).cum_sum()
        runs = lines.group_by(begins.alias("run"), maintain_order=True).agg(pl.first(LINE), pl.last("last"))
        for _, first, end in runs.iter_rows():
            begin = self.given_up.pop()[1] if self.given_up and self.given_up[-1][::2] == (file, first - 1) else first
            self.given_up.append((file, begin, end))

    def gaps(self) -> list[str]:
        """A sentence for each of the first places where lines are given up."""
        shown = [
            f"lines {first:,} to {last:,} of {file} are given up: a quoted field that begins on line {first:,} or "
            "before does not end as it should, so these lines may be inside; correct its quotes"
            for file, first, last in self.given_up[:SHOWN_GAPS]
        ]
        more = len(self.given_up) - len(shown)
        return [*shown, *([f"lines are given up in {more:,} more places"] if more else [])]

    def add_written(self, good: pl.DataFrame) -> None:
        """Count rows that were written."""
        self.written += good.height

    def report(self, most: float, label: str) -> None:
        """Log what was rejected.

        Errors: BadInput if no row is left, or if more than the fraction `most` of a file's rows was rejected.
        """
        self.log()
        if unlabelled := self.passed_over["data.csv"]:
            rows = self.rows["data.csv"]
            self.warnings.append(
                f"{unlabelled:,} of {rows:,} rows of {label}/data.csv ({unlabelled / rows:.1%}) have no label: "
                "no model learns from them, and no figure of `validate` is about them"
            )
        for file, rejected in self.rejected.items():
            rows, rejected = self.rows[file], rejected - self.passed_over[file]
            if rejected > most * rows or (file == "data.csv" and not self.written):
                raise BadInput(
                    f"{rejected} of {rows} rows of {label}/{file} are rejected ({rejected / rows:.1%}): "
                    f"{self._reasons()}",
                    expected=f"at most {most:.1%}, and at least one good row",
                    do="correct the file or schema.json, or allow more with --max-rejected; "
                    + " | ".join([*self.gaps(), *self.examples]),
                )

    def log(self) -> None:
        """Log some of the rejected rows, and how often each reason was met."""
        for example in self.examples:
            log.warning("rejected %s", example)
        if self.reasons:
            log.warning("reasons: %s", self._reasons())

    def result(self) -> dict[str, Any]:
        """What the result line says of the rows of a day."""
        return {
            "rows_in": self.rows["data.csv"],
            "rows_out": self.written,
            "rejected": self.rejected,
            "reasons": dict(sorted(self.reasons.items())),
            **({"unlabelled": self.passed_over["data.csv"]} if self.unlabelled else {}),
            **self.extra(),
        }

    def extra(self) -> dict[str, Any]:
        """What the result line says of columns that nothing reads, and its warnings; empty if there are none."""
        found = {"extra_columns": self.extra_columns, "warnings": self.warnings}
        return {name: value for name, value in found.items() if value}

    def _reasons(self) -> str:
        return ", ".join(f"{kind} ({number})" for kind, number in self.reasons.most_common())


class CheckedTable:
    """The rows of a raw file, each one checked by itself, on disk below `folder`. `keys` compares them with each other.

    Equal keys of two tables meet in one part only if both have the same number of `parts`.
    """

    def __init__(self, table: RawTable, folder: Path, parts: int) -> None:
        self.name, self.rows, self._path = table.name, 0, table.path
        self._kept = [field.name for field in table.fields if field.role != "ignore"]
        # A few rows of a batch would keep the texts of the whole batch in memory, so the bad rows go to disk.
        self._good, self._bad = Shelf(folder / "good"), Shelf(folder / "bad", in_memory=False)
        self.keys = KeyedRows(folder, self.name, table.fields, parts)
        self._read(table)
        log.info("checked %d rows of %s", self.rows, table.label)

    @property
    def batches(self) -> int:
        return self._good.count

    def _read(self, table: RawTable) -> None:
        shows_text = not table.schema.hides_values
        file = CsvFile(table.path, table.label, may_be_empty=table.may_be_empty, shows_text=shows_text)
        self.extra_columns = file.require_columns(table.columns)
        checks = FieldChecks(table.fields, table.schema.missing, table.required, "schema.json")
        line = file.first_line
        for checked in in_order(lambda block: checks.apply(file.parse(block)), file.blocks()):
            self._add(checked, line)
            line += checked.lines

    def _add(self, checked: Checked, line: int) -> None:
        good, bad = down(checked.good, line), down(checked.bad, line)
        self.keys.add(self.batches, good, valid=True)
        self.keys.add(self.batches, bad, valid=False)
        size = pl.col(TEXT).str.len_bytes().alias(SIZE)
        self._good.add(good.select(LINE, OFFSET, size, *self._kept))
        self._bad.add(bad.select(*REJECTED))
        self.rows += good.height + bad.height

    def batch(self, number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The good and the rejected rows of a batch. The keys must have been compared before."""
        good, bad = self._good.read(number), self._bad.read(number)
        late = self.keys.reasons.read(number)
        if late.height:
            late = late.sort(LINE, KINDS).group_by(LINE).agg(KINDS, pl.col(REASON).str.join("; "))
            rejected = good.select(LINE, OFFSET, SIZE).join(late, on=LINE)
            texts = texts_at(self._path, rejected.select(OFFSET, SIZE).iter_rows())
            rejected = rejected.with_columns(pl.Series(TEXT, texts, dtype=pl.String))
            bad = pl.concat([bad, rejected.select(*REJECTED)]).sort(LINE)
            good = good.filter(~pl.col(LINE).is_in(late[LINE].implode()))
        return good, bad


def write_rows(
    tables: Sequence[CheckedTable],
    file: str,
    publication: Publication,
    columns: Callable[[pl.DataFrame, int], pl.DataFrame],
    counts: Counts | None = None,
) -> Counts:
    """Write the good rows of the first table to `file`, the rejected rows of all tables to rejected.csv.

    `columns` makes the columns of `file` from the good rows of a batch and the number of the batch. Returns what was
    counted: the `counts`, if given.
    """
    counts = counts or Counts()
    counts.rows = {table.name: table.rows for table in tables}
    counts.rejected = dict.fromkeys(counts.rows, 0)
    counts.extra_columns = {table.name: table.extra_columns for table in tables if table.extra_columns}
    counts.warnings += [not_named(*extra) for extra in counts.extra_columns.items()]

    def work(place: tuple[int, int]) -> tuple[pl.DataFrame | None, pl.DataFrame]:
        number, batch = place
        good, bad = tables[number].batch(batch)
        return None if number else columns(good, batch), bad

    places = [(number, batch) for number, table in enumerate(tables) for batch in range(table.batches)]
    with CsvWriter(publication.path(file)) as accepted, CsvWriter(publication.path(REJECTED_FILE)) as rejected:
        done = track(in_order(work, places), f"writing {file}", len(places), "batches")
        for (number, _), (good, bad) in zip(places, done, strict=True):
            if good is not None:
                accepted.write(good)
                counts.add_written(good)
            name = tables[number].name
            rejected.write(bad.select(file=pl.lit(name), line=LINE, reason=REASON, row=TEXT))
            counts.add_rejected(name, bad)
    counts.warnings += counts.gaps()
    publication.rows = {file: accepted.rows, REJECTED_FILE: rejected.rows}
    return counts
