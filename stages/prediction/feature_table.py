"""Reads tables of numbers from CSV in chunks of bounded memory, and names the place of each error."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from stagekit import BadInput, progress

CHUNK_ROWS = 131_072
READ_BYTES = 1 << 20
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Chunk:
    """Some rows: `texts` the text columns as lists, `numbers` float64 of shape (rows, columns), NaN is missing.

    `weights` (rows,) is what was taken out of the numbers because it is no feature; None if there is none.
    """

    start: int
    texts: list[list[str]]
    numbers: np.ndarray
    weights: np.ndarray | None = None


class FeatureTable:
    """A CSV file of `texts` columns, then `numbers` columns; checked when opened, read in chunks.

    `label` names the file in messages, `total` is how many rows it should have, for the progress. A shard of a day
    `may_be_empty`.
    Errors: BadInput with the line or the data row (the first is 1).
    """

    def __init__(
        self,
        path: Path,
        label: str,
        *,
        texts: Sequence[str],
        numbers: Sequence[str],
        made_by: str,
        total: int | None = None,
        may_be_empty: bool = False,
    ) -> None:
        self.may_be_empty = may_be_empty
        self.path, self.label, self.made_by, self.total = path, label, made_by, total
        self.texts, self.numbers = list(texts), list(numbers)
        regular = self._check_bytes()
        with path.open(encoding="utf-8", newline="") as text:
            self._check_header(next(csv.reader(text)))
        if not regular:
            self._check_rows(len(self.texts) + len(self.numbers))

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """The rows, in order, `rows` at a time; every double is the one nearest to its text."""
        names = [*self.texts, *self.numbers]
        start = 0
        with (
            progress(f"reading {self.label}", self.total, "rows") as advance,
            pd.read_csv(
                self.path,
                header=0,
                names=names,
                index_col=False,
                dtype={**dict.fromkeys(self.texts, object), **dict.fromkeys(self.numbers, np.float64)},
                keep_default_na=False,
                na_values={name: [""] for name in self.numbers},
                lineterminator="\n",
                chunksize=rows,
                engine="c",
            ) as reader,
        ):
            while (frame := self._next_frame(reader)) is not None:
                numbers = frame[self.numbers].to_numpy(dtype=np.float64)
                self._check_finite(numbers, start)
                yield Chunk(start, [frame[name].tolist() for name in self.texts], numbers)
                start += len(frame)
                advance(len(frame))
        if start == 0 and not self.may_be_empty:
            raise self.bad("it has a header and no rows", "at least one row")

    def bad(self, found: str, expected: str) -> BadInput:
        """The error that this table is not what it should be."""
        return BadInput(f"{self.label}: {found}", expected=expected, do=f"run {self.made_by} again")

    def _next_frame(self, reader: "pd.io.parsers.TextFileReader") -> "pd.DataFrame | None":
        try:
            return next(reader)
        except StopIteration:
            return None
        except ValueError as error:
            raise self._explain(error) from None

    def _check_bytes(self) -> bool:
        """Check that the file is UTF-8 without NUL bytes; returns whether all its rows certainly have the same width.

        The parser would not notice: it takes a short row for missing values, and cuts off a long first row.
        """
        with self.path.open("rb") as file:
            first = file.readline()
            if not first:
                raise self.bad("the file is empty", "a header and at least one row")
            self._check_text(first, 0)
            lines, regular = 1, b'"' not in first
            fields = first.count(b",") + 1
            while block := file.read(READ_BYTES):
                block += file.readline()  # whole lines
                self._check_text(block, lines)
                regular = regular and _is_regular(block, fields)
                lines += block.count(b"\n")
        return regular

    def _check_text(self, block: bytes, lines: int) -> None:
        """Check whole lines, which come after so many `lines`."""
        if (at := block.find(b"\0")) >= 0:
            raise self.bad(f"line {lines + block[:at].count(10) + 1} holds a NUL byte", "text in UTF-8")
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = lines + block[: error.start].count(b"\n") + 1
            raise self.bad(f"line {line} is not UTF-8 ({error.reason})", "text in UTF-8") from None

    def _check_rows(self, fields: int) -> None:
        with self.path.open(encoding="utf-8", newline="") as text:
            reader = csv.reader(text, strict=True)
            try:
                for row in reader:
                    if len(row) != fields:
                        raise self.bad(f"line {reader.line_num} has {len(row)} fields", f"{fields}, as the header has")
            except csv.Error as error:
                raise self.bad(f"line {reader.line_num} is no CSV: {error}", "comma-separated values") from None

    def _check_header(self, found: list[str]) -> None:
        expected = [*self.texts, *self.numbers]
        if found == expected:
            return
        missing = [name for name in expected if name not in found]
        extra = [name for name in found if name not in expected]
        problems = [f"missing columns: {', '.join(missing)}"] if missing else []
        problems += [f"columns the model does not know: {', '.join(extra)}"] if extra else []
        if not problems:
            at = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(expected))
            problems = [f"columns in another order: column {at + 1} is {found[at]}, not {[*expected, 'the end'][at]}"]
        raise self.bad("; ".join(problems), f"the header {','.join(expected)}")

    def _check_finite(self, numbers: np.ndarray, start: int) -> None:
        infinite = np.isinf(numbers)
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            raise self.bad(f"row {start + row + 1}: {self.numbers[column]} is infinite", "finite numbers")

    def _explain(self, error: ValueError) -> BadInput:
        """Find the field that made the parser fail, which does not name it itself."""
        with self.path.open(encoding="utf-8", newline="") as text:
            reader = csv.reader(text)
            next(reader)
            for number, row in enumerate(reader, start=1):
                for name, field in zip(self.numbers, row[len(self.texts) :], strict=False):
                    if field and not NUMBER.fullmatch(field):
                        return self.bad(f"row {number}: {name} is {field[:40]!r}", "a number, or nothing where missing")
        return self.bad(f"it cannot be read: {error}", "the key columns, then numbers")


def _is_regular(block: bytes, fields: int) -> bool:
    """Whether whole lines have so many fields each and no quotes: a fast test that most tables pass."""
    if b'"' in block:
        return False
    text = np.frombuffer(block if block.endswith(b"\n") else block + b"\n", np.uint8)
    ends = np.flatnonzero((text == ord(",")) | (text == ord("\n")))
    if len(ends) % fields:
        return False
    ends_line = (text[ends] == ord("\n")).reshape(-1, fields)
    return bool(ends_line[:, -1].all()) and not ends_line[:, :-1].any()
