"""Reads a CSV file in batches of whole records, as text, with the physical line on which each record begins.

The file is never held as a whole: blocks of a few MiB are cut where a record ends. What no row could be
blamed for (no UTF-8, NUL bytes, endless lines) is BadInput; a record that is malformed in itself (wrong number
of fields, stray quotes) is set aside with its reason, and the records after it are read as usual.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from stagekit import BadInput, StageError

from parallel import in_order

BLOCK_BYTES = 8 << 20
LONGEST_RECORD = 1 << 20

# Our own columns beside those of the file. No header holds a NUL, so no column of a file can have these names.
LINE, OFFSET, TEXT, KINDS, REASON = "\0line", "\0offset", "\0text", "\0kinds", "\0reason"
REJECTED = {LINE: pl.Int64, TEXT: pl.String, KINDS: pl.List(pl.String), REASON: pl.String}

# A record as RFC 4180 has it: a field is quoted from end to end, or holds no quote at all.
QUOTES = pl.col(TEXT).str.count_matches('"', literal=True)
QUOTED_PART = r'"[^"]*"'
WELL_QUOTED = r'\A(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*\z'


@dataclass(frozen=True)
class Block:
    """Some whole records as bytes, and where they begin: the physical line and the byte."""

    line: int
    offset: int
    content: bytes


@dataclass(frozen=True)
class Batch:
    """Some records: `rows` has LINE, OFFSET (in bytes), TEXT and the file's columns; `rejected` has REJECTED's."""

    rows: pl.DataFrame
    rejected: pl.DataFrame


def text_at(path: Path, offset: int, size: int) -> str:
    """The text of a record that was read before: `size` bytes at its OFFSET."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size).decode("utf-8")


class CsvFile:
    """A CSV file whose header has been read. `label` is what messages call it.

    Errors: BadInput where the file is empty, or its header cannot be read.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.path, self.label = path, label
        with path.open("rb") as file:
            first = file.readline(LONGEST_RECORD + 1)
        if not first:
            raise BadInput(f"{label} is empty (0 bytes)", expected="a header line and rows", do="deliver it again")
        if len(first) > LONGEST_RECORD:
            raise self._too_long(1)
        self._body_offset = len(first)
        self.header = self._header(self._decode(first, 1, 0).removeprefix("\ufeff").rstrip("\r\n"))

    def require_columns(self, expected: Sequence[str]) -> None:
        """Errors: BadInput unless the header holds exactly these columns, in whatever order."""
        missing = [name for name in expected if name not in self.header]
        unknown = [name for name in self.header if name not in expected]
        if missing or unknown:
            found = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(
                unknown
            )
            raise BadInput(
                f"the header of {self.label} {' and '.join(found)}; it is {', '.join(self.header)}",
                expected=f"the columns {', '.join(expected)}, as schema.json says",
                do="correct the file's header or schema.json",
            )

    def blocks(self) -> Iterator[Block]:
        """The file in blocks of a few MiB, in order. Errors: BadInput for an endless record, or where none follows."""
        line, offset, pending = 2, self._body_offset, b""
        with self.path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(BLOCK_BYTES):
                pending += chunk
                while end := _end_of_records(pending):
                    block, pending = Block(line, offset, pending[:end]), pending[end:]
                    yield block
                    line, offset = line + block.content.count(b"\n"), offset + end
                if len(pending) > LONGEST_RECORD:
                    raise self._too_long(line)
            if pending:
                yield Block(line, offset, pending)
        if offset == self._body_offset and not pending:
            raise BadInput(f"{self.label} has a header but no rows", expected="at least one row", do="deliver it again")

    def parse(self, block: Block) -> Batch:
        """The records of a block. Errors: BadInput where they are no text in UTF-8, or too long."""
        text = self._decode(block.content, block.line, block.offset).removesuffix("\n")
        records = _records(text, block)
        longest = records.filter(pl.col(TEXT).str.len_bytes() > LONGEST_RECORD)
        if longest.height:
            raise self._too_long(longest[LINE][0])
        bad = _malformed(records, len(self.header), '"' in text)
        if bad.height:
            records = records.join(bad, on=LINE, how="anti", maintain_order="left")
            text = records[TEXT].str.join("\n").item()
        return Batch(self._fields(records, text), bad)

    def batches(self) -> Iterator[Batch]:
        """All records, batch by batch, in order. Errors: BadInput as above."""
        return in_order(self.parse, self.blocks())

    def _header(self, text: str) -> list[str]:
        try:
            names = next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            raise BadInput(
                f"the header of {self.label} is not CSV ({error})", expected="comma-separated names"
            ) from None
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or "" in names or not names:
            found = f"names {', '.join(repeated)} twice" if repeated else "has a column without a name"
            raise BadInput(f"the header of {self.label} {found}", expected="one name for each column", do="correct it")
        return names

    def _decode(self, block: bytes, line: int, offset: int) -> str:
        at = block.find(b"\0")
        if at < 0:
            try:
                return block.decode("utf-8")
            except UnicodeDecodeError as error:
                at, what = error.start, f"the byte 0x{block[error.start]:02x}, which is no UTF-8,"
        else:
            what = "a NUL byte"
        line += block.count(b"\n", 0, at)
        raise BadInput(
            f"{self.label} has {what} at byte {offset + at}, on line {line}",
            expected="text in UTF-8",
            do="export the file again as CSV in UTF-8",
        )

    def _too_long(self, line: int) -> BadInput:
        return BadInput(
            f"the record that begins on line {line} of {self.label} is longer than {LONGEST_RECORD:,} bytes",
            expected="shorter records, one a line",
            do="look for a lost line end, or a quote that is never closed, on that line",
        )

    def _fields(self, records: pl.DataFrame, text: str) -> pl.DataFrame:
        schema = dict.fromkeys(self.header, pl.String)
        if not records.height:
            return records.hstack(pl.DataFrame(schema=schema))
        fields = pl.read_csv(text.encode(), has_header=False, schema=schema, empty_string_is_null=False)
        if fields.height != records.height:
            raise StageError(f"{self.label}: {records.height} records were read as {fields.height} rows")
        return records.hstack(fields)


def _end_of_records(block: bytes) -> int:
    """Where the last whole record of a block ends; 0 if that is not in sight yet."""
    end = block.rfind(b"\n") + 1
    if b'"' not in block:
        return end
    quotes = block.count(b'"', 0, end)
    while quotes % 2:  # that line end is inside a quoted field: one line back
        before = block.rfind(b"\n", 0, end - 1) + 1
        quotes -= block.count(b'"', before, end)
        end = before
    if not end and len(block) > LONGEST_RECORD:
        return block.find(b"\n") + 1  # a quote that is never closed: its line is a record of its own
    return end


def _records(text: str, block: Block) -> pl.DataFrame:
    """Cut text into records: lines, less the line ends inside quotes. Columns LINE, OFFSET and TEXT."""
    lines = pl.DataFrame({TEXT: pl.Series([text]).str.split("\n").explode()}).select(
        (pl.int_range(pl.len(), dtype=pl.Int64) + block.line).alias(LINE),
        (pl.col(TEXT).str.len_bytes().cast(pl.Int64) + 1)
        .cum_sum()
        .shift(1, fill_value=0)
        .add(block.offset)
        .alias(OFFSET),
        TEXT,
    )
    if '"' in text:
        odd = lines.lazy().filter(pl.col(TEXT).str.contains('"', literal=True)).filter(QUOTES % 2 == 1)
        if odd.collect().height:
            lines = _join_lines(lines)
    return lines.with_columns(pl.col(TEXT).str.strip_suffix("\r")) if "\r" in text else lines


def _join_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Join the lines of each record. Where that makes no record, each line is left to speak for itself:
    one stray quote then costs one row, not all the rows up to the next quote."""
    inside = (QUOTES.cum_sum() - QUOTES) % 2 == 1  # the line begins inside quotes
    lines = lines.with_columns((~inside).cum_sum().alias("record"))
    records = lines.group_by("record", maintain_order=True).agg(
        pl.col(LINE, OFFSET).first(), pl.col(TEXT).str.join("\n"), pl.len().alias("lines")
    )
    torn = records.filter(pl.col("lines") > 1, ~pl.col(TEXT).str.strip_suffix("\r").str.contains(WELL_QUOTED))
    whole = records.join(torn, on="record", how="anti")
    again = lines.join(torn, on="record", how="semi")
    return pl.concat([whole.select(LINE, OFFSET, TEXT), again.select(LINE, OFFSET, TEXT)]).sort(LINE)


def _malformed(records: pl.DataFrame, columns: int, some_quoted: bool) -> pl.DataFrame:
    """The records that are no CSV, or have another number of fields: the columns of REJECTED.

    Counted here, for polars fills short rows up without a word.
    """
    text, quotes, length = pl.col(TEXT), pl.lit(["quotes"]), pl.lit(["number of fields"])
    suspect = _fields_in(text) != columns
    if some_quoted:  # commas may be inside quotes
        suspect |= text.str.contains('"', literal=True)
    suspects = records.filter(suspect)
    stray = suspects.filter(~text.str.contains(WELL_QUOTED))
    told = stray.select(
        LINE, TEXT, quotes.alias(KINDS), pl.lit("a quote that is not around a whole field").alias(REASON)
    )
    fields = _fields_in(text.str.replace_all(QUOTED_PART, ""))
    other = suspects.join(stray, on=LINE, how="anti").filter(fields != columns)
    reason = pl.format("{} fields, expected {}", fields, pl.lit(columns))
    return pl.concat([told, other.select(LINE, TEXT, length.alias(KINDS), reason.alias(REASON))]).sort(LINE)


def _fields_in(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(",", literal=True) + 1
