"""Writes a day's data.csv and target.csv from tables in any container: plain CSV in UTF-8, with the same values.

A row that is malformed stays a malformed row, so that `prepare` rejects it: its text becomes one quoted field, and
`delivered_lines` has what is wrong with it. A file that is plain CSV already is copied as it is if a row of it is
malformed: its own text explains such a row best.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import polars as pl
from stagekit import BadInput, Publication

from checked_table import no_label
from checks import FieldChecks
from csv_input import KINDS, LINE, REASON, REJECTED, TEXT, extra_columns, not_named, other_order, was_named
from csv_output import CsvWriter
from delivered_lines import SIZE, LineNotes
from deliveries import DATA, TARGET, notes_of
from key_match import KeyMatch
from source_rows import Malformed, Rows, SourceTable
from table_schema import Schema

log = logging.getLogger(__name__)

NEEDS_QUOTES = '[",\r\n]'


@dataclass(frozen=True)
class Output:
    """A file to write: its columns, and whether malformed rows of the table are kept in it."""

    name: str
    columns: Sequence[str]
    keeps_malformed: bool = True


class RawDay:
    """The files of a day.

    `read`: what each was read from; `malformed`: how many of its rows are malformed; `unlabelled`: how many rows of a
    file with labels have none. `warnings` are those on the schema, for the result.
    """

    def __init__(self, schema: Schema, publication: Publication, warnings: Sequence[str] = ()) -> None:
        self._schema, self._publication, self._warnings = schema, publication, warnings
        self.read: dict[str, str] = {}
        self.malformed: dict[str, int] = {}
        self._match: KeyMatch | None = None
        self.extra: dict[str, list[str]] = {}
        self._other_order = ""
        self._named: dict[str, list[str]] = {}
        self._labels = FieldChecks(schema.of(schema.named("target")), schema.missing, (), "schema.json")
        self.unlabelled: dict[str, int] = {}

    def write_target(self, table: SourceTable, path: Path) -> None:
        """Write target.csv, from a file of its own."""
        made_up = self._schema.row_number
        expected = [name for name in self._schema.target_columns if name != made_up]
        self._keep_extra(TARGET, _extra_columns(table, expected, made_up))
        batches: list[pl.DataFrame] = []
        outputs = [Output(TARGET, [*([made_up] if made_up else []), *table.header])]
        self._write(table, path, outputs, lambda rows: None if batches else batches.append(rows))
        if batches and not made_up:
            self._match = self._keys_of(batches[0], table)

    def write_delivery(
        self, table: SourceTable, path: Path, name: str, columns: Sequence[str] | None, data: SourceTable
    ) -> None:
        """Write labels that came after `data` as the file `name`, with the `columns` of those before, if there are any.

        Errors: BadInput if a column is missing, or if no key is in the data.
        """
        expected = [*columns] if columns else [*self._schema.target_columns]
        self._keep_extra(name, _extra_columns(table, expected, None))
        batches: list[pl.DataFrame] = []
        output = Output(name, expected if columns else [*table.header])
        self._write(table, path, [output], lambda rows: None if batches else batches.append(rows))
        if batches:
            match = self._keys_of(batches[0], table)
            for rows in data.rows():
                match.look_at(rows.texts)
            match.require_matches(data.label)

    def write_data(self, table: SourceTable, path: Path) -> None:
        """Write data.csv, and target.csv too if the label is in this table. A target.csv comes before."""
        target, made_up = self._schema.named("target"), self._schema.row_number
        inside = [name for name in target if name in table.header]
        expected = [name for name in self._schema.data_columns if name != made_up]
        self._keep_extra(DATA, _extra_columns(table, [*expected, *inside], made_up))
        self._other_order = other_order(table.header, expected, table.label)
        if inside and TARGET in self._publication.rows:
            raise BadInput(
                f"{table.label} has the target {inside[0]}, and a target.csv is named too",
                expected="the target in one of them",
                do="leave out --target, or remove that column from the data",
            )
        numbered = [made_up] if made_up else []
        outputs = [Output(DATA, [*numbered, *(name for name in table.header if name not in inside)])]
        if inside:
            log.info("%s holds the target %s: it becomes target.csv", table.label, inside[0])
            outputs.append(Output(TARGET, [*self._schema.named("key"), *inside], keeps_malformed=False))
        match = self._match
        self._write(table, path, outputs, match.look_at if match else None)
        if match:
            match.require_matches(table.label)
        if not inside and TARGET in self._publication.rows:
            self._require_as_many_rows()

    def _keys_of(self, labels: pl.DataFrame, table: SourceTable) -> KeyMatch:
        return KeyMatch(self._schema.of(self._schema.named("key")), self._schema.missing, labels, table.label)

    def _require_as_many_rows(self) -> None:
        rows = self._publication.rows
        if self._schema.row_number and rows[DATA] != rows[TARGET]:
            raise BadInput(
                f"the data has {rows[DATA]:,} rows and the target {rows[TARGET]:,}; the key is the row's number",
                expected="the same rows in both files, in the same order",
                do="give both files a key column, or put the label into the data file",
            )

    def _write(
        self, table: SourceTable, path: Path, outputs: Sequence[Output], watch: Callable[[pl.DataFrame], None] | None
    ) -> None:
        malformed, unlabelled = Malformed(table.label, len(table.header)), 0
        has_labels = {*self._schema.named("target")} & {*table.header}
        as_it_is = [*outputs[0].columns] == [*table.header]
        paths = [self._publication.path(output.name) for output in outputs]
        paths_of_notes = [self._publication.path(notes_of(output.name)) for output in outputs]
        with ExitStack() as stack:
            writers = [stack.enter_context(CsvWriter(path)) for path in paths]
            notes = [stack.enter_context(LineNotes(path)) for path in paths_of_notes]
            for output, writer in zip(outputs, writers, strict=True):
                writer.write(pl.DataFrame(schema=dict.fromkeys(output.columns, pl.String)))
            for rows in _numbered(table.rows(), self._schema.row_number):
                malformed.add(rows)
                if watch:
                    watch(rows.texts)
                unlabelled += self._labels.missing(rows.texts) if has_labels else 0
                for output, writer, of_output in zip(outputs, writers, notes, strict=True):
                    _write_rows(writer, output, rows, as_it_is)
                    of_output.add(_lines_written(output, rows))
        malformed.require_rows_of_the_header()
        is_copied = malformed.count and as_it_is and table.is_plain
        if is_copied:
            shutil.copyfile(path, paths[0])
        for of_output, its_path in zip(notes, paths_of_notes, strict=True):
            if is_copied or not of_output.rows:
                its_path.unlink()
        self._publication.rows |= {output.name: writer.rows for output, writer in zip(outputs, writers, strict=True)}
        self._report(table, outputs[0].name, malformed)
        if unlabelled:
            self.unlabelled[outputs[-1].name] = unlabelled
            log.info("%s: %d of %d rows have no label", table.label, unlabelled, malformed.good)
        if table.named:
            self._named[outputs[0].name] = table.named

    def _keep_extra(self, name: str, extra: list[str]) -> None:
        if extra:
            self.extra[name] = extra

    def faults(self) -> dict[str, Any]:
        """What the result line says of rows that are malformed or have no label, and of columns that nothing names."""
        warnings = [*self._warnings, *starmap(was_named, self._named.items()), *starmap(not_named, self.extra.items())]
        warnings += [self._other_order] if self._other_order else []
        if not self._schema.labels_are_partial:
            rows = self._publication.rows
            warnings += [no_label(file, number, rows[file]) for file, number in self.unlabelled.items()]
        found = {
            "malformed": self.malformed,
            "unlabelled": self.unlabelled,
            "extra_columns": self.extra,
            "warnings": warnings,
        }
        return {name: faults for name, faults in found.items() if faults}

    def _report(self, table: SourceTable, name: str, malformed: Malformed) -> None:
        log.info("%s: %s, %d rows", table.label, table.form, malformed.good + malformed.count)
        self.read[name] = table.form
        if malformed.count:
            examples = "; ".join(malformed.examples)
            log.warning("%s: malformed rows: %d, such as %s", table.label, malformed.count, examples)
            self.malformed[name] = malformed.count


def _write_rows(writer: CsvWriter, output: Output, rows: Rows, as_it_is: bool) -> None:
    """Write some rows: as they are if this gives the same bytes, which is faster."""
    if as_it_is and rows.content is not None:
        writer.append(rows.content, rows.texts.height)
    elif rows.malformed.height and output.keeps_malformed:
        good = rows.texts.select(LINE, _record(output.columns).alias(TEXT))
        bad = rows.malformed.select(LINE, _quoted(pl.col(TEXT)).alias(TEXT))
        records = pl.concat([good, bad]).sort(LINE)[TEXT]
        writer.append("".join(f"{text}\n" for text in records).encode(), records.len())
    else:
        writer.write(rows.texts.select(pl.when(pl.col(name) != "").then(pl.col(name)) for name in output.columns))


def _lines_written(output: Output, rows: Rows) -> pl.DataFrame:
    """The records that were written, as LineNotes takes them."""
    columns = [] if rows.content is not None else output.columns  # in that text each record is one line
    breaks = pl.sum_horizontal(pl.lit(0, pl.Int64), *(_line_breaks(name) for name in columns))
    good = rows.texts.select(LINE, (1 + breaks).alias(SIZE))
    if not (rows.malformed.height and output.keeps_malformed):
        return good.with_columns(pl.lit(None, REJECTED[KINDS]).alias(KINDS), pl.lit(None, pl.String).alias(REASON))
    bad = rows.malformed.select(LINE, (1 + _line_breaks(TEXT)).alias(SIZE), KINDS, REASON)
    return pl.concat([good, bad], how="diagonal").sort(LINE)


def _line_breaks(name: str) -> pl.Expr:
    return pl.col(name).str.count_matches("\n", literal=True).fill_null(0).cast(pl.Int64)


def _record(columns: Sequence[str]) -> pl.Expr:
    """The text of each row, as CsvWriter writes it."""
    values = [pl.col(name).fill_null("") for name in columns]
    needed = (pl.when(value.str.contains(NEEDS_QUOTES)).then(_quoted(value)).otherwise(value) for value in values)
    return pl.concat_str(needed, separator=",")


def _quoted(text: pl.Expr) -> pl.Expr:
    return pl.concat_str(pl.lit('"'), text.str.replace_all('"', '""', literal=True), pl.lit('"'))


def _numbered(batches: Iterator[Rows], name: str | None) -> Iterator[Rows]:
    """The rows; with their numbers from 1 in the column `name`, if there is one. A malformed row has a number too."""
    if name is None:
        yield from batches
        return
    first = 1
    for rows in batches:
        lines = pl.concat([rows.texts[LINE], rows.malformed[LINE]]).sort()
        numbers = (lines.search_sorted(rows.texts[LINE]) + first).cast(pl.String).alias(name)
        yield Rows(rows.texts.with_columns(numbers), rows.malformed)
        first += lines.len()


def _extra_columns(table: SourceTable, expected: Sequence[str], made_up: str | None) -> list[str]:
    """The columns beside those `expected`. Errors: BadInput if one is missing, or has the name of the made-up key."""
    if made_up in table.header:
        raise BadInput(
            f"{table.label} has the column {made_up}, which schema.json makes up (rowNumber)",
            expected="a name that no column has",
            do=f"rename that key in schema.json, or remove its rowNumber so that the column {made_up} is the key",
        )
    return extra_columns(table.header, expected, table.label, table.form)
