"""Checks raw files row by row, keeps their rows on disk batch by batch, and writes the good and the rejected ones."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
from stagekit import BadInput, NotReady, Publication, track
from stagekit.shards import LINES_FILE, Shard

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
    Block,
    CsvFile,
    down,
    not_named,
    other_order,
    texts_at,
)
from csv_output import CsvWriter
from day_shards import REJECTED_FILE
from delivered_lines import FILE, DeliveredLines
from deliveries import DATA, TARGET, Delivery
from keys import CONTRADICTION, KeyedRows
from parallel import in_order
from row_shards import OwnRows
from spill import Shelf
from table_schema import Field, Schema

log = logging.getLogger(__name__)

# The keys of a file are compared in parts. A part holds the keys of so many bytes of the file, some 500,000 rows.
PART_BYTES = 64 << 20
SHOWN_REJECTS, SHOWN_GAPS = 5, 5
REMEDY = 'if labels may come later or never, add "partial": true to the target in schema.json'
SIZE = "\0size"

Example = tuple[str, int, str]


@dataclass(frozen=True)
class RawTable:
    """A raw file: its place, its columns, and how to read them.

    `label` names the file in messages. The fields in `required` may not be missing, whatever their constraints say.
    `deliveries` are the files whose rows it has, in order. Of a `shard` only its rows are read.
    """

    path: Path
    label: str
    schema: Schema
    columns: Sequence[str]
    required: Sequence[str]
    deliveries: Sequence[Delivery]
    may_be_empty: bool = False
    shard: Shard | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def fields(self) -> list[Field]:
        return self.schema.of(self.columns)

    @property
    def parts(self) -> int:
        """In how many parts the keys are compared."""
        return 1 + self.path.stat().st_size // (self.shard.of if self.shard else 1) // PART_BYTES


@dataclass
class Counts:
    """What happened to the rows: how many each file has, how many were rejected and why, how many were written.

    `seen` has how many rows were read in each file: in a shard more than its own. `examples` are the first rejected
    rows of each file: the delivered file, the line there and the reason; `contradictory` are those with a key that has
    other labels too, of which `contradictions` counts all. `files` are the delivered files in order.
    `unlabelled_kinds` are the faults of a row without a label. Where labels may be partial, a row with no other fault
    is not rejected but counts in `unlabelled`. A row that a later delivery supersedes counts in `superseded`.
    `given_up` has the delivered file and the first and the last line of rows in a row of which nobody can say whether
    they are rows.
    """

    rows: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    contradictory: list[Example] = field(default_factory=list)
    contradictions: int = 0
    files: list[str] = field(default_factory=list)
    written: int = 0
    extra_columns: dict[str, list[str]] = field(default_factory=dict)
    other_order: str = ""
    warnings: list[str] = field(default_factory=list)
    unlabelled_kinds: Sequence[str] = ()
    labels_are_partial: bool = False
    unlabelled: Counter[str] = field(default_factory=Counter)
    superseded: Counter[str] = field(default_factory=Counter)
    given_up: list[tuple[str, int, int]] = field(default_factory=list)

    # What is added up over the shards of a day: counts by name, and numbers.
    SUMS: ClassVar[tuple[str, ...]] = ("rows", "rejected", "reasons", "unlabelled", "superseded")
    TOTALS: ClassVar[tuple[str, ...]] = ("written", "contradictions")

    def take_unlabelled(self, file: str, bad: pl.DataFrame) -> pl.DataFrame:
        """Count the rows that only lack a label, if they may; returns the others, which are rejected."""
        if not self.labels_are_partial or not bad.height:
            return bad
        is_of_these = pl.element().is_in(self.unlabelled_kinds)
        unlabelled = bad.select(pl.col(KINDS).list.eval(is_of_these).list.all()).to_series()
        if rows := int(unlabelled.sum()):
            self.unlabelled[file] += rows
        return bad.filter(~unlabelled)

    def add_rejected(self, file: str, bad: pl.DataFrame) -> None:
        """Count rejected rows of a file (the columns of REJECTED, and FILE)."""
        self.rejected[file] += bad.height
        # In an order of their own: polars gives another each time, and a shard keeps them in a file.
        self.reasons.update(dict(sorted(bad[KINDS].explode().value_counts().iter_rows())))
        _show(self.examples.setdefault(file, []), bad, SHOWN_REJECTS)
        if file == TARGET:
            of_kind = pl.element().str.ends_with(f": {CONTRADICTION}")
            contradictory = bad.filter(pl.col(KINDS).list.eval(of_kind).list.any())
            self.contradictions += contradictory.height
            _show(self.contradictory, contradictory, 1)
        self._add_given_up(bad.filter(pl.col(KINDS).list.contains(QUOTES_WRONG)))

    def _add_given_up(self, damaged: pl.DataFrame) -> None:
        """Note which lines may be inside quotes, in the order of the file; `damaged` are records with wrong quotes."""
        last = pl.col(LINE) + pl.col(TEXT).str.count_matches("\n", literal=True)
        lines = damaged.select(FILE, LINE, REASON, last.alias("last"))
        lines = lines.filter((pl.col(REASON) == LOST) | (pl.col("last") > pl.col(LINE)))
        begins = (pl.col(LINE) != pl.col("last").shift() + 1) | (pl.col(FILE) != pl.col(FILE).shift())
        runs = lines.group_by(begins.fill_null(True).cum_sum().alias("run"), maintain_order=True).agg(
            pl.first(FILE, LINE), pl.last("last")
        )
        for _, file, first, end in runs.iter_rows():
            begin = self.given_up.pop()[1] if self.given_up and self.given_up[-1][::2] == (file, first - 1) else first
            self.given_up.append((file, begin, end))

    def warn(self) -> None:
        """Add the warnings that follow from the files: on their columns, and on lines that are given up."""
        self.warnings += [not_named(*extra) for extra in self.extra_columns.items()]
        self.warnings += [self.other_order] if self.other_order else []
        self.warnings += self.gaps()
        if self.contradictions:
            self.warnings.append(
                f"{self.contradictions:,} rows of {TARGET} have a key that has another label too, so none of these "
                f"labels counts, such as {_shown(self.contradictory[0])}; correct them"
            )

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
        """Log what was rejected, and warn if too many of the labels that have come cannot be used.

        Errors: NotReady if no row has a label yet; BadInput if no row is left, or if more than the fraction `most` of a
        file's rows was rejected.
        """
        self.log()
        for file, rejected in self.rejected.items():
            # A row without a label yet may be right, and one that a later delivery supersedes is judged there.
            if rejected > most * (self.rows[file] - self.superseded[file]):
                raise self._refusal(file, most, label)
        unlabelled, rows = self.unlabelled[DATA], self.rows[DATA]
        if not self.written and not unlabelled:
            raise self._refusal(DATA, most, label)
        came, unusable = self._labels()
        if not self.written:
            raise self._not_ready(came, label)
        if unlabelled:
            self.warnings.append(
                f"{unlabelled:,} of {rows:,} rows of {label}/{DATA} ({unlabelled / rows:.1%}) have no label: "
                "no model learns from them, and no figure of `validate` is about them"
            )
            if unusable > most * came:
                self.warnings.append(
                    f"{unusable:,} of {came:,} labels that have come ({unusable / came:.1%}) cannot be used, such as "
                    f"{_shown(self.examples[TARGET][0])}"
                )

    def _labels(self) -> tuple[int, int]:
        """How many labels have come that no later delivery supersedes, and how many of them were rejected."""
        came = self.rows.get(TARGET, 0) - self.superseded[TARGET] - self.unlabelled[TARGET]
        return came, self.rejected.get(TARGET, 0)

    def _not_ready(self, came: int, label: str) -> NotReady:
        state = f"that can be used; {came:,} labels have come" if came else "yet"
        found = f"none of {self.rows[DATA]:,} rows of {label}/{DATA} has a label {state}"
        rejected = sum(self.rejected.values())
        if rejected:
            examples = " | ".join(map(_shown, chain.from_iterable(self.examples.values())))
            found += f"; {rejected:,} rows are rejected: {self._reasons()}; {examples}"
        return NotReady(
            found,
            expected="rows with a label to learn from",
            do=("correct the rejected rows, " if rejected else "")
            + "add labels (`preprocessing import-target`), or train on a day whose labels are there",
        )

    def _refusal(self, file: str, most: float, label: str) -> BadInput:
        rejected, rows = self.rejected[file], self.rows[file] - self.superseded[file]
        may_be_partial = not self.labels_are_partial and any(self.reasons[kind] for kind in self.unlabelled_kinds)
        remedy = f"; {REMEDY}" if may_be_partial else ""
        return BadInput(
            f"{rejected} of {rows} rows of {label}/{file} are rejected ({rejected / rows:.1%}): {self._reasons()}",
            expected=f"at most {most:.1%}, and at least one good row",
            do=f"correct the file or schema.json, or allow more with --max-rejected{remedy}; "
            + " | ".join([*self.gaps(), *map(_shown, self.examples.get(file, []))]),
        )

    def log(self) -> None:
        """Log some of the rejected rows, and how often each reason was met."""
        for example in chain.from_iterable(self.examples.values()):
            log.warning("rejected %s", _shown(example))
        if self.reasons:
            log.warning("reasons: %s", self._reasons())
        for file, rows in self.superseded.items():
            log.info("%d rows of %s are superseded by a later delivery", rows, file)

    def result(self) -> dict[str, Any]:
        """What the result line says of the rows of a day."""
        return {
            "rows_in": self.rows[DATA],
            "rows_out": self.written,
            "rejected": self.rejected,
            "reasons": dict(sorted(self.reasons.items())),
            **self.set_aside(),
            **self.extra(),
        }

    def set_aside(self) -> dict[str, int]:
        """What the result line says of rows that are neither written nor rejected."""
        unlabelled = {"unlabelled": self.unlabelled[next(iter(self.rows))]} if self.labels_are_partial else {}
        return {**unlabelled, **({"superseded": self.superseded[TARGET]} if self.superseded else {})}

    def extra(self) -> dict[str, Any]:
        """What the result line says of columns that nothing reads, and its warnings; empty if there are none."""
        found = {"extra_columns": self.extra_columns, "warnings": self.warnings}
        return {name: value for name, value in found.items() if value}

    def _reasons(self) -> str:
        return ", ".join(f"{kind} ({number})" for kind, number in self.reasons.most_common())


def _show(examples: list[Example], bad: pl.DataFrame, most: int) -> None:
    """Add the first of these rows to the examples, of which there may be so many."""
    examples += bad.select(FILE, LINE, REASON).head(most - len(examples)).rows()


def _shown(example: Example) -> str:
    file, line, reason = example
    return f"{file} line {line}: {reason}"


def no_label(file: str, unlabelled: int, rows: int) -> str:
    """The warning on rows without a label, of a day on which each row should have one."""
    return f"{unlabelled:,} of {rows:,} rows of {file} have no label, so they count as wrong rows; {REMEDY}"


class CheckedTable:
    """The rows of a raw file, each one checked by itself, on disk below `folder`. `keys` compares them with each other.

    Equal keys of two tables meet in one part only if both have the same number of `parts`.
    """

    def __init__(self, table: RawTable, folder: Path, parts: int) -> None:
        self.name, self.rows, self.seen, self._path = table.name, 0, 0, table.path
        self.shard = table.shard
        self._kept = [field.name for field in table.fields if field.role != "ignore"]
        # A few rows of a batch would keep the texts of the whole batch in memory, so the bad rows go to disk.
        self._rows, self._bad = Shelf(folder / "rows"), Shelf(folder / "bad", in_memory=False)
        self.lines = DeliveredLines(table.deliveries)
        self.keys = KeyedRows(folder, self.name, table.fields, parts, self.lines)
        self._read(table)
        log.info("checked %d rows of %s", self.rows, table.label)

    @property
    def batches(self) -> int:
        return self._rows.count

    def _read(self, table: RawTable) -> None:
        shows_text = not table.schema.hides_values
        ends = [delivery.byte for delivery in table.deliveries[1:]]
        file = CsvFile(table.path, table.label, may_be_empty=table.may_be_empty, shows_text=shows_text, ends=ends)
        self.extra_columns = file.require_columns(table.columns)
        self.other_order = other_order(file.header, table.columns, DATA) if self.name == DATA else ""
        checks = FieldChecks(table.fields, table.schema.missing, table.required, "schema.json")
        own = OwnRows(table.shard, table.fields, table.schema.missing) if table.shard else None

        def check(block: Block) -> tuple[int, Checked]:
            if own:
                batch, seen = own.parse(file, block)
            else:
                batch = file.parse(block)
                seen = batch.rows.height + batch.rejected.height
            return seen, checks.apply(batch)

        line = file.first_line
        for seen, checked in in_order(check, file.blocks()):
            self.seen += seen
            self._add(checked, line)
            line += checked.lines
        self.is_plain = file.is_plain

    def _add(self, checked: Checked, line: int) -> None:
        rows, bad = down(checked.rows, line), down(checked.bad, line)
        good = rows.select(LINE, TEXT, *self.keys.columns).filter(~checked.is_bad)
        self.keys.add(self.batches, good, valid=True)
        self.keys.add(self.batches, bad, valid=False)
        size = pl.col(TEXT).str.len_bytes().alias(SIZE)
        self._rows.add(rows.select(LINE, OFFSET, size, *self._kept))
        self._bad.add(self.lines.explained(bad.select(*REJECTED)))
        self.rows += good.height + bad.height

    def batch(self, number: int) -> tuple[pl.DataFrame, pl.DataFrame, int]:
        """The good and the rejected rows of a batch, and how many others are superseded.

        The keys must have been compared before.
        """
        rows, bad = self._rows.read(number), self._bad.read(number)
        superseded = self.keys.superseded.read(number)[LINE]
        if superseded.len():
            rows, bad = (frame.filter(~pl.col(LINE).is_in(superseded.implode())) for frame in (rows, bad))
        late = self.keys.reasons.read(number)
        if late.height:
            late = late.sort(LINE, KINDS).group_by(LINE).agg(KINDS, pl.col(REASON).str.join("; "))
            rejected = rows.select(LINE, OFFSET, SIZE).join(late, on=LINE)
            texts = texts_at(self._path, rejected.select(OFFSET, SIZE).iter_rows())
            rejected = rejected.with_columns(pl.Series(TEXT, texts, dtype=pl.String))
            bad = pl.concat([bad, rejected.select(*REJECTED)]).sort(LINE)
        return rows.filter(~pl.col(LINE).is_in(bad[LINE].implode())), bad, superseded.len()


def write_rows(
    tables: Sequence[CheckedTable],
    file: str,
    publication: Publication,
    columns: Callable[[pl.DataFrame, int], pl.DataFrame],
    counts: Counts | None = None,
) -> Counts:
    """Write the good rows of the first table to `file`, the rejected rows of all tables to rejected.csv.

    `columns` makes the columns of `file` from the good rows of a batch and the number of the batch. A shard also gets
    LINES_FILE, the line of each good row. Returns what was counted: the `counts`, if given.
    """
    counts = counts or Counts()
    counts.rows = {table.name: table.rows for table in tables}
    counts.seen = {table.name: table.seen for table in tables}
    counts.rejected = dict.fromkeys(counts.rows, 0)
    counts.extra_columns = {table.name: table.extra_columns for table in tables if table.extra_columns}
    counts.other_order = tables[0].other_order
    counts.files = [file for table in tables for file in table.lines.files]

    def work(place: tuple[int, int]) -> tuple[pl.DataFrame | None, pl.Series, pl.DataFrame, int]:
        number, batch = place
        good, bad, superseded = tables[number].batch(batch)
        return None if number else columns(good, batch), good[LINE], bad, superseded

    places = [(number, batch) for number, table in enumerate(tables) for batch in range(table.batches)]
    needs_quotes = not all(table.is_plain for table in tables)
    with ExitStack() as stack:
        accepted = stack.enter_context(CsvWriter(publication.path(file), needs_quotes=needs_quotes))
        rejected = stack.enter_context(CsvWriter(publication.path(REJECTED_FILE)))
        lines = stack.enter_context(CsvWriter(publication.path(LINES_FILE))) if tables[0].shard else None
        done = track(in_order(work, places), f"writing {file}", len(places), "batches")
        for (number, _), (good, line, bad, superseded) in zip(places, done, strict=True):
            if good is not None:
                accepted.write(good)
                counts.add_written(good)
                if lines:
                    lines.write(line.to_frame("line"))
            name = tables[number].name
            if superseded:
                counts.superseded[name] += superseded
            bad = tables[number].lines.placed(counts.take_unlabelled(name, bad))
            rejected.write(bad.select(file=FILE, line=LINE, reason=REASON, row=TEXT))
            counts.add_rejected(name, bad)
    counts.warn()
    publication.rows = {file: accepted.rows, REJECTED_FILE: rejected.rows}
    if lines:
        publication.rows[LINES_FILE] = lines.rows
    return counts
