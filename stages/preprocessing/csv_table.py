"""A CSV file in any container, with any delimiter."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from containers import Container
from csv_input import BYTE_ORDER_MARK, COMMA, LINE, TEXT, Batch, Block, CsvFile, down
from parallel import in_order
from plain_text import TextForm, write_plain
from source_rows import Rows


class CsvTable:
    """A CSV file in any container, with any delimiter. A copy in `scratch` is made if `csv_input` cannot read it."""

    def __init__(self, container: Container, text: TextForm, scratch: Path) -> None:
        self.label, self._text = container.label, text
        self.is_plain = text.is_plain and not container.compression
        self.form = f"{container.compression + ', ' if container.compression else ''}{text}"
        path = container.path
        if not self.is_plain:
            path = scratch / f"{container.path.name}.txt"
            write_plain(container, text, path)
        self._file = CsvFile(path, container.label, names_columns=True, delimiter=text.delimiter)
        self.named = self._file.named
        # Whoever copies the file copies its header.
        self.is_plain = self.is_plain and not self.named
        self.header = self._file.header

    def rows(self) -> Iterator[Rows]:
        line = self._file.first_line
        for batch, content in in_order(self._parse, self._file.blocks()):
            texts = down(batch.rows.select(LINE, *self.header), line)
            yield Rows(texts, down(batch.rejected, line), content)
            line += batch.lines

    def _parse(self, block: Block) -> tuple[Batch, bytes | None]:
        batch = self._file.parse(block)
        other = self._text.delimiter
        # The comma of the file is the other character here. A delimiter in a value is inside quotes.
        if other != COMMA and (b'"' in block.content or other.encode() in block.content or batch.rejected.height):
            batch = Batch(
                batch.rows.with_columns(self._swapped(name) for name in self.header),
                batch.rejected.with_columns(self._swapped(TEXT)),
                batch.lines,
            )
            return batch, None
        odd = (b'"', b"\r", BYTE_ORDER_MARK)
        canonical = not batch.rejected.height and not any(mark in block.content for mark in odd)
        return batch, block.content if canonical else None

    def _swapped(self, name: str) -> pl.Expr:
        other = self._text.delimiter
        return pl.col(name).str.replace_many([COMMA, other], [other, COMMA])
