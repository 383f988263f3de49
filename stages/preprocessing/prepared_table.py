"""Reads train_data.csv, and val_data.csv with a part of its rows, block by block and with the types of the schema."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

import polars as pl
from stagekit import BadInput

from checks import DTYPES, convert
from csv_input import Block, CsvFile, with_mark
from parallel import in_order
from spill import Shelf
from table_schema import TIME_TYPES, Schema, columns_kept

GROUP = "\0group"
UNIT_SEPARATOR = "\x1f"


class PreparedTable:
    """A file with the columns of train_data.csv. `label` names it in messages."""

    def __init__(self, path: Path, label: str, schema: Schema) -> None:
        self.schema, self.label = schema, label
        self.target = schema.named("target")[0]
        self._file, self._columns = CsvFile(path, label), columns_kept(schema)
        if extra := self._file.require_columns(self._columns):
            raise BadInput(
                f"{label} has the column {extra[0]}", expected="what prepare wrote", do="run `prepare` again"
            )

    def blocks(self) -> Iterator[Block]:
        """The file in blocks of whole rows, in order."""
        return self._file.blocks()

    @property
    def header_line(self) -> bytes:
        """The first line of the file."""
        return self._file.header_line

    def texts(self, block: Block) -> pl.Series:
        """Each of a block's rows as its text in the file, without its line end."""
        return self._file.texts(block)

    def first_keys(self) -> pl.DataFrame:
        """The key columns of the first block, as texts."""
        return self.keys(next(self.blocks()))

    def keys(self, block: Block) -> pl.DataFrame:
        """The key columns of a block's rows, as texts."""
        schema = dict.fromkeys(self._columns, pl.String())
        rows = pl.scan_csv(with_mark(block.content), has_header=False, schema=schema)
        return rows.select(self.schema.named("key")).collect()

    def typed(self, block: Block) -> pl.DataFrame:
        """The GROUP, the target (as text), and the features, times and weight (with their types) of a block's rows.

        Rows with the same GROUP belong to one entity, or, in a schema without entities, have the same key.
        """
        fields = self.schema.of(self.schema.named("feature", "time", "weight"))
        times = [field for field in fields if field.type in TIME_TYPES]
        dtypes = {field.name: DTYPES[field.type] for field in fields if field.type not in TIME_TYPES}
        schema = {name: dtypes.get(name, pl.String()) for name in self._columns}
        rows = pl.scan_csv(with_mark(block.content), has_header=False, schema=schema)
        values = [convert(field.as_written(), pl.col(field.name)).alias(field.name) for field in times]
        names = self.schema.named("entity") or self.schema.named("key")
        group = pl.col(names[0]) if len(names) == 1 else pl.concat_str(names, separator=UNIT_SEPARATOR)
        return (
            rows.select(group.alias(GROUP), self.target, *(field.name for field in fields))
            .with_columns(values)
            .collect()
        )


class TrainData:
    """The typed rows of one train_data.csv or several, read once and kept below the folder `scratch`.

    GROUP is a 32-bit hash here. `table` is the last one; `earlier` is the number of rows in the others.
    """

    def __init__(self, tables: Sequence[PreparedTable], scratch: Path) -> None:
        self._tables, self.table, self.earlier = tables, tables[-1], 0
        self._shelf = Shelf(scratch)
        for table in tables:
            for frame in in_order(self._read, ((table, block) for block in table.blocks())):
                self._shelf.add(frame)
                self.earlier += frame.height if table is not self.table else 0

    @property
    def label(self) -> str:
        """What messages call the rows."""
        days = len(self._tables) - 1
        return f"{self.table.label} and that of {days} days before" if days else self.table.label

    def blocks(self) -> Iterator[Block]:
        """The blocks of all tables, one for each frame."""
        return (block for table in self._tables for block in table.blocks())

    def frames(self, names: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows, or some of their columns, in the file's order: a frame for each block of the file."""
        return self._shelf.all(names)

    def _read(self, place: tuple[PreparedTable, Block]) -> pl.DataFrame:
        table, block = place
        frame = table.typed(block)
        return frame.with_columns(hashes(frame[GROUP]))


def hashes(texts: pl.Series) -> pl.Series:
    """A 32-bit hash of each text. Usually many rows share one."""
    distinct = texts.unique()
    hashes = pl.Series(list(map(crc32, distinct.cast(pl.Binary).to_list())), dtype=pl.UInt32)
    return texts.replace_strict(distinct, hashes, return_dtype=pl.UInt32)
