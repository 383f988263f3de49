"""Reads a CSV file in batches of whole records, as text, with the physical line on which each record begins.

The file is never held as a whole: it is cut into blocks of some MiB where a record ends. Faults that belong to no
row (no UTF-8, NUL bytes, endless lines) are BadInput. A record that is malformed (wrong number of fields, stray
quotes) is set aside with its reason, and the records after it are read as usual. `quoting.py` finds where they end.

polars reads a block twice: as lines, and as fields. polars may misread records with quotes and records whose last
field is empty, so these are checked one by one. If polars reads no fields, or not one row for each record, all
records of the block are checked.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from stagekit import BadInput, StageError, progress

from container_options import how_to_read
from parallel import in_order
from quoting import Cut, Range, cut_damaged_records, cut_records

BLOCK_BYTES, MOST_LINES = 16 << 20, 1 << 19
LONGEST_RECORD = 1 << 20
COMMA = ","
BYTE_ORDER_MARK = "\ufeff".encode()

# Our own columns. No header holds a NUL, so no column of a file has one of these names.
LINE, OFFSET, TEXT, KINDS, REASON = "\0line", "\0offset", "\0text", "\0kinds", "\0reason"
QUOTES_WRONG, FIELDS_WRONG = "quotes", "number of fields"
MALFORMED = (QUOTES_WRONG, FIELDS_WRONG)
STRAY = "a quote that is not around a whole field"
LOST = "perhaps inside a quoted field that does not end as it should"
REJECTED = {LINE: pl.Int64, TEXT: pl.String, KINDS: pl.List(pl.String), REASON: pl.String}

# A record as RFC 4180 has it: a field is quoted from end to end, or holds no quote at all.
HAS_QUOTE = pl.col(TEXT).str.contains('"', literal=True)
QUOTES = pl.col(TEXT).str.count_matches('"', literal=True)
QUOTED_PART = r'"[^"]*"'
WELL_QUOTED = r'\A(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*\z'


@dataclass(frozen=True)
class Block:
    """Some whole records as bytes, the byte of the file at which they begin, and what is known of their quotes."""

    offset: int
    content: bytes
    cut: Cut = field(default_factory=Cut)


@dataclass(frozen=True)
class Batch:
    """Some records: `rows` has LINE, OFFSET (in bytes), TEXT and the file's columns; `rejected` has those of REJECTED.

    `lines` is the number of lines of the block. `parse` counts lines from 0 at the start of the block.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    lines: int = 0


def texts_at(path: Path, places: Iterable[tuple[int, int]]) -> list[str]:
    """The texts of records, each given by its OFFSET and its size in bytes."""
    with path.open("rb") as file:
        return [_read(file, offset, size).decode("utf-8") for offset, size in places]


class CsvFile:
    """A CSV file whose header has been read. `label` names it in messages.

    Columns without a name get one if `names_columns`, otherwise they are an error; `named` has these names. `is_plain`
    says that no value that was parsed has a quote, a delimiter or a line end. `delimiter` is that of the file of which
    this is a copy, with delimiter and comma in each other's place: header and messages are as in that file. No record
    goes past one of the `ends`, in bytes.
    Errors: BadInput if the file is empty or its header cannot be read.
    """

    def __init__(
        self,
        path: Path,
        label: str,
        *,
        may_be_empty: bool = False,
        shows_text: bool = True,
        names_columns: bool = False,
        delimiter: str = COMMA,
        ends: Sequence[int] = (),
    ) -> None:
        self._delimiter, self._ends = delimiter, ends
        self.path, self.label, self._may_be_empty, self._shows_text = path, label, may_be_empty, shows_text
        self._names_columns, self.named, self.is_plain = names_columns, list[str](), True
        with path.open("rb") as file:
            first = file.readline(LONGEST_RECORD + 1)
        if not first:
            raise BadInput(f"{label} is empty (0 bytes)", expected="a header line and rows", do="give one with rows")
        if len(first) > LONGEST_RECORD:
            raise self._too_long(0)
        self.header_line, self._body_offset = first, len(first)
        self.header = self._header(self._decode(first, 0).removeprefix("\ufeff").rstrip("\r\n"))

    def require_columns(self, expected: Sequence[str]) -> list[str]:
        """The columns beside those `expected`, which come in any order. Errors: BadInput if one of them is missing."""
        return extra_columns(self.header, expected, self.label)

    def blocks(self) -> Iterator[Block]:
        """The file in blocks of some MiB, in order. Errors: BadInput for an endless record or a file without rows."""
        start, whole = self._body_offset, self.path.stat().st_size
        if start == whole and self._may_be_empty:
            yield Block(start, b"")
        elif start == whole:
            raise BadInput(f"{self.label} has a header but no rows", expected="rows", do="give one with rows")
        with self.path.open("rb") as file, progress(f"reading {self.label}", whole, "bytes") as advance:
            for end in (*self._ends, whole):
                for block in self._blocks_between(file, start, end):
                    yield block
                    advance(len(block.content))
                start = end

    def _blocks_between(self, file: BinaryIO, offset: int, end: int) -> Iterator[Block]:
        """A part of the file in blocks. A record begins at `offset`, and none goes past `end`."""
        size, inside = BLOCK_BYTES, False
        while content := _read(file, offset, min(size, end - offset)):
            cut = cut_records(content, len(self.header), last=offset + len(content) == end, inside=inside)
            if cut.end:
                yield from self._blocks(offset, content[: cut.end], cut)
                offset, size, inside = offset + cut.end, BLOCK_BYTES, cut.inside
            elif size > 2 * LONGEST_RECORD:
                raise self._too_long(offset)
            else:
                size *= 2  # the end of this record is not in sight yet

    def _blocks(self, offset: int, content: bytes, cut: Cut) -> Iterator[Block]:
        """Whole records as one block, or as several if they have very many lines: each line takes some memory."""
        if _lines_in(content) <= MOST_LINES:
            yield Block(offset, content, cut)
            return
        if not cut.damaged and b'"' in content:
            cut = cut_damaged_records(content, len(self.header), last=True, inside=False)
        start = 0
        while start < len(content):
            end = _end_of_lines(content, start, cut)
            lost = [(max(first, start) - start, min(after, end) - start) for first, after in cut.lost]
            joined = [(first - start, after - start) for first, after in cut.joined if start <= first < end]
            part = Cut(end - start, joined, [(first, after) for first, after in lost if first < after])
            yield Block(offset + start, content[start:end], part)
            start = end

    def parse(self, block: Block) -> Batch:
        """The records of a block. Errors: BadInput if they are no text in UTF-8, or too long."""
        if not block.content:
            texts = {LINE: pl.Int64, OFFSET: pl.Int64, **dict.fromkeys([TEXT, *self.header], pl.String)}
            return Batch(pl.DataFrame(schema=texts), pl.DataFrame(schema=REJECTED))
        quoted = b'"' in block.content
        if quoted or b"\r" in block.content:
            self.is_plain = False
        records, lines = self._records(block, quoted)
        longest = records.filter(pl.col(TEXT).str.len_bytes() > LONGEST_RECORD)
        if longest.height:
            raise self._too_long(longest[OFFSET][0])
        damaged = block.cut.lost or (quoted and block.cut.damaged)
        bad = _damaged(records, block) if damaged else pl.DataFrame(schema=REJECTED)
        records, content = _without(records, bad, block.content)
        fields = self._fields(content)
        if fields is None or fields.height != records.height:
            other = _other_lengths(records, len(self.header))
            records, content = _without(records, other, content)
            fields = self._fields(content)
        else:  # polars adds empty fields to short records, without a warning
            other = _other_lengths(records.filter(fields.to_series(-1) == ""), len(self.header))
            if other.height:
                whole = ~records[LINE].is_in(other[LINE].implode())
                records, fields = records.filter(whole), fields.filter(whole)
        if fields is None or fields.height != records.height:
            read = "none" if fields is None else fields.height
            raise StageError(f"{self.label}: of {records.height} records {read} were read, from byte {block.offset} on")
        return Batch(records.hstack(fields), pl.concat([bad, other]).sort(LINE), lines)

    def look(self, block: Block, names: Sequence[str]) -> pl.DataFrame | None:
        """LINE, OFFSET, TEXT and some columns of the records of a block; None if only `parse` can read its records.

        It takes half the time of `parse`. A record of another number of fields has nulls in these columns.
        """
        content = block.content
        if not content or block.cut.damaged or block.cut.lost or content.startswith(BYTE_ORDER_MARK):
            return None
        if any(mark in content for mark in (b'"', b"\r", b"\0")):
            return None
        records, _ = self._records(block, quoted=False)
        if not content.endswith(b"\n"):
            content += b"\n"
        try:
            found = pl.read_csv(content, columns=[self.header.index(name) for name in names], **_as_texts(self.header))
        except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
            return None
        too_long = records.filter(pl.col(TEXT).str.len_bytes() > LONGEST_RECORD).height
        if too_long or found.height != records.height:
            return None
        # polars fills short records and cuts long ones, without a warning.
        is_whole = records[TEXT].str.count_matches(",", literal=True) == len(self.header) - 1
        if not is_whole.all():
            found = found.with_columns(pl.when(is_whole).then(pl.col(name)).alias(name) for name in names)
        return records.hstack(found.select(names))

    def texts(self, block: Block) -> pl.Series:
        """The text of each record of a block, without its line end. Malformed records are among them."""
        return self._records(block, b'"' in block.content)[0][TEXT]

    def batches(self) -> Iterator[Batch]:
        """All records, batch by batch, in order. Errors: BadInput as above."""
        line = self.first_line
        for batch in in_order(self.parse, self.blocks()):
            yield Batch(down(batch.rows, line), down(batch.rejected, line), batch.lines)
            line += batch.lines

    @property
    def first_line(self) -> int:
        """The line on which the first record begins."""
        return 2

    def _line(self, offset: int) -> int:
        """The line of a byte of the body. It is counted only for a message, because that takes time."""
        with self.path.open("rb") as file:
            whole, rest = divmod(offset, BLOCK_BYTES)
            return 1 + sum(file.read(size).count(b"\n") for size in [*([BLOCK_BYTES] * whole), rest])

    def _header(self, text: str) -> list[str]:
        try:
            names = next(csv.reader([self._as_delivered(text)], delimiter=self._delimiter, strict=True), [])
        except csv.Error as error:
            raise BadInput(
                f"the header of {self.label} is not CSV ({error})",
                expected=f"names with {self._delimiter!r} between them",
                do="correct it",
            ) from None
        if self._names_columns and any(names):
            names, self.named = with_names(names)
        repeated = sorted({name for name in names if name and names.count(name) > 1})
        if repeated or "" in names or not names:
            found = f"names {', '.join(repeated)} twice" if repeated else "has a column without a name"
            raise BadInput(f"the header of {self.label} {found}", expected="one name for each column", do="correct it")
        return names

    def _decode(self, block: bytes, offset: int) -> str:
        at = block.find(b"\0")
        if at < 0:
            try:
                return block.decode("utf-8")
            except UnicodeDecodeError as error:
                at, what = error.start, f"the byte 0x{block[error.start]:02x}, which is no UTF-8,"
                name = (self._in_cp1252(block, at) if self._shows_text else "") or "--encoding NAME"
                do = f"export the file again as CSV in UTF-8, or add {name}"
        else:
            what, do = "a NUL byte", "export the file again as CSV in UTF-8"
        raise BadInput(
            f"{self.label} has {what} at byte {offset + at}, on line {self._line(offset + at)}",
            expected="text in UTF-8",
            do=do,
        )

    def _in_cp1252(self, block: bytes, at: int) -> str:
        """The option for the encoding that is most often right, with the text around a byte; empty if it is none."""
        around = block[max(block.rfind(b"\n", 0, at) + 1, at - 20) : at + 20].partition(b"\n")[0]
        try:
            text = self._as_delivered(around.decode("cp1252"))
        except UnicodeDecodeError:
            return ""
        return f"--encoding cp1252 (Western European Windows) if this is right: {text!r}"

    def _as_delivered(self, text: str) -> str:
        """The text as the file has it of which this may be a copy."""
        return text.translate(str.maketrans(self._delimiter + COMMA, COMMA + self._delimiter))

    def _too_long(self, offset: int) -> BadInput:
        return BadInput(
            f"the record that begins on line {self._line(offset)} of {self.label} is longer than "
            f"{LONGEST_RECORD:,} bytes",
            expected="shorter records, one a line",
            do="look for a lost line end, or a quote that is never closed, on that line",
        )

    def _records(self, block: Block, quoted: bool) -> tuple[pl.DataFrame, int]:
        """The records of a block (LINE, OFFSET, TEXT): its lines, joined inside quotes. And its number of lines."""
        lines = self._lines(block).select(
            pl.int_range(pl.len(), dtype=pl.Int64).alias(LINE),
            (pl.col(TEXT).str.len_bytes().cast(pl.Int64) + 1)
            .cum_sum()
            .shift(1, fill_value=0)
            .add(block.offset)
            .alias(OFFSET),
            TEXT,
        )
        count = lines.height
        if block.cut.damaged:
            if block.cut.joined:
                lines = _join_lines(lines, _are_inside(block.cut.joined, lines, block.offset))
        elif quoted and lines.filter(HAS_QUOTE).filter(QUOTES % 2 == 1).height:
            lines = _join_lines(lines, (QUOTES.cum_sum() - QUOTES) % 2 == 1)
        if b"\r" in block.content:
            lines = lines.with_columns(pl.col(TEXT).str.strip_suffix("\r"))
        return lines, count

    def _lines(self, block: Block) -> pl.DataFrame:
        """The lines of a block in the column TEXT. Errors: BadInput if they are no text in UTF-8."""
        content = block.content
        if b"\0" in content or b"\r" in content or content.startswith(BYTE_ORDER_MARK):
            # polars would remove the "\r" before a line end, and offsets would be wrong.
            text = self._decode(content, block.offset).removesuffix("\n")
            return pl.DataFrame({TEXT: pl.Series([text]).str.split("\n").explode()})
        try:
            return pl.read_csv(content, separator="\0", quote_char=None, **_as_texts([TEXT]))
        except pl.exceptions.ComputeError:
            self._decode(content, block.offset)
            raise

    def _fields(self, content: bytes) -> pl.DataFrame | None:
        """The fields of records; None if polars does not see records of so many fields."""
        if not content:
            return pl.DataFrame(schema=dict.fromkeys(self.header, pl.String))
        content = with_mark(content)
        if not content.endswith(b"\n"):  # without it polars does not see an extra empty field
            content += b"\n"
        try:
            return pl.read_csv(content, **_as_texts(self.header))
        except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
            return None


def with_mark(content: bytes) -> bytes:
    """Records as polars needs them: it removes a byte order mark in front, which is a part of a value here."""
    return BYTE_ORDER_MARK + content if content.startswith(BYTE_ORDER_MARK) else content


def with_names(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns with a name for each that has none, such as column_1 for the first; and these names."""
    names, named = list(header), []
    for number, name in enumerate(names):
        if not name:
            name = f"column_{number + 1}"
            while name in names:
                name += "_"
            names[number] = name
            named.append(name)
    return names, named


def was_named(file: str, named: Sequence[str]) -> str:
    """The warning on columns without a name."""
    what = "a column without a name is" if len(named) == 1 else "columns without a name are"
    return f"{file}: {what} called {in_short(named)} from here on"


def extra_columns(header: Sequence[str], expected: Sequence[str], label: str, form: str = "") -> list[str]:
    """The columns of a file beside those `expected`, which nothing reads.

    `form` says how the file was read. Errors: BadInput if a column is missing.
    """
    extra = [name for name in header if name not in expected]
    if missing := [name for name in expected if name not in header]:
        also = f" and has unknown {in_short(extra)}" if extra else ""
        raise BadInput(
            f"the header of {label} lacks {in_short(missing)}{also}; it is {in_short(header)}{form and f' ({form})'}",
            expected=f"the columns {in_short(expected)}, as schema.json says",
            do="correct the file's header or schema.json" + (f"; {how_to_read(header)}" if form else ""),
        )
    return extra


def not_named(file: str, extra: Sequence[str]) -> str:
    """The warning on a file's columns that nothing reads."""
    return f"{file} has columns that schema.json does not name, they are not used: {in_short(extra)}"


def other_order(header: Sequence[str], expected: Sequence[str], file: str) -> str:
    """The warning on a file whose columns come in another order than `expected`, read by name; else empty."""
    ours = [name for name in header if name in expected]
    for number, (name, other) in enumerate(zip(ours, expected, strict=False), start=1):
        if name != other:
            found = f"number {number} is {name}, not {other}; they are read by their names"
            return f"{file} has its columns in another order than schema.json: {found}"
    return ""


def in_short(names: Sequence[str], most: int = 50) -> str:
    """The names, or the first of them and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _as_texts(names: Sequence[str]) -> dict[str, Any]:
    return {"has_header": False, "schema": dict.fromkeys(names, pl.String), "empty_string_is_null": False}


def down(frame: pl.DataFrame, lines: int) -> pl.DataFrame:
    """The same rows, with `lines` added to their line."""
    return frame.with_columns(pl.col(LINE) + lines)


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _lines_in(content: bytes) -> int:
    """The number of lines. polars counts them in a tenth of the time that `bytes.count` takes."""
    lines = pl.scan_csv(content, separator="\0", quote_char=None, **_as_texts([TEXT]))
    return int(lines.select(pl.len()).collect().item())


def _end_of_lines(content: bytes, start: int, cut: Cut) -> int:
    """Where the first records from `start` on end: at most MOST_LINES lines, and the rest of a record."""
    end = len(content)
    while content.count(b"\n", start, end) > MOST_LINES:
        middle = (start + end) // 2
        end = content.rfind(b"\n", start, middle) + 1 or content.index(b"\n", middle) + 1
    return next((after for first, after in cut.joined if first < end < after), end)


def _are_inside(ranges: Sequence[Range], lines: pl.DataFrame, offset: int, *, first: bool = False) -> pl.Series:
    """Which lines are in one of the ranges of the block at `offset`; the first line of a range only if `first`."""
    starts, ends = (pl.Series(places, dtype=pl.Int64) + offset for places in zip(*ranges, strict=True))
    begun = starts.search_sorted(lines[OFFSET], "right" if first else "left")
    return begun > ends.search_sorted(lines[OFFSET], "right")


def _join_lines(lines: pl.DataFrame, inside: pl.Expr | pl.Series) -> pl.DataFrame:
    """Join each line that begins `inside` of quotes to the line before it."""
    records = lines.with_columns((~inside).cum_sum().alias("record")).group_by("record", maintain_order=True)
    return records.agg(pl.col(LINE, OFFSET).first(), pl.col(TEXT).str.join("\n")).select(LINE, OFFSET, TEXT)


def _without(records: pl.DataFrame, bad: pl.DataFrame, content: bytes) -> tuple[pl.DataFrame, bytes]:
    """The records that are not bad, and their text; `content` if none is bad."""
    if not bad.height:
        return records, content
    records = records.join(bad, on=LINE, how="anti", maintain_order="left")
    return records, "".join(text + "\n" for text in records[TEXT].to_list()).encode()


def _damaged(records: pl.DataFrame, block: Block) -> pl.DataFrame:
    """The records with quotes that RFC 4180 does not know, and the lost lines: the columns of REJECTED."""
    ranges = block.cut.lost
    lost = _are_inside(ranges, records, block.offset, first=True) if ranges else pl.lit(False)
    marked = records.with_columns(lost.alias("lost"))
    stray = HAS_QUOTE & ~pl.col(TEXT).str.contains(WELL_QUOTED)
    return marked.filter(pl.col("lost") | stray).select(
        LINE,
        TEXT,
        pl.lit([QUOTES_WRONG]).alias(KINDS),
        pl.when("lost").then(pl.lit(LOST)).otherwise(pl.lit(STRAY)).alias(REASON),
    )


def _other_lengths(records: pl.DataFrame, columns: int) -> pl.DataFrame:
    """The records of another number of fields: the columns of REJECTED."""
    bare = pl.when(HAS_QUOTE).then(pl.col(TEXT).str.replace_all(QUOTED_PART, "")).otherwise(TEXT)
    counted = records.select(LINE, TEXT, (bare.str.count_matches(",", literal=True) + 1).alias("fields"))
    other = counted.filter(pl.col("fields") != columns).rechunk()  # polars' format panics on an empty chunk
    noun = pl.when(pl.col("fields") == 1).then(pl.lit("field")).otherwise(pl.lit("fields"))
    reason = pl.format("{} {}, expected {}", "fields", noun, pl.lit(columns)).alias(REASON)
    return other.select(LINE, TEXT, pl.lit([FIELDS_WRONG]).alias(KINDS), reason)
