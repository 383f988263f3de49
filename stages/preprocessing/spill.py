"""Temporary storage on disk, so that the memory in use does not grow with the number of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

import polars as pl

# How much a Shelf and a Spill keep in memory at most.
SHELF_BYTES, FLUSH_BYTES = 192 << 20, 64 << 20


class Shelf:
    """Frames by number from 0: the first ones stay in memory, the others go to disk."""

    def __init__(self, folder: Path, *, in_memory: bool = True) -> None:
        self._folder, self.count = folder, 0
        self._held: list[pl.DataFrame] = []
        self._room = SHELF_BYTES if in_memory else 0
        folder.mkdir(parents=True)

    def add(self, frame: pl.DataFrame) -> None:
        """Add a frame under the next number."""
        self._room -= frame.estimated_size()
        # After one frame went to disk, all later ones do: the frames in memory are the first ones.
        if self._room > 0 and len(self._held) == self.count:
            self._held.append(frame)
        else:
            frame.write_ipc(self._file(self.count))
        self.count += 1

    def read(self, number: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The frame of this number, or some columns of it."""
        if number < len(self._held):
            return self._held[number].select(columns) if columns is not None else self._held[number]
        return pl.read_ipc(self._file(number), columns=columns)

    def all(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """All frames in order."""
        return (self.read(number, columns) for number in range(self.count))

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.arrow"


class Spill:
    """Rows sorted into numbered boxes: added in any order, read box by box, each box in the order of adding.

    The rows carry the box's number in the column `box`. Small amounts never leave the memory.
    """

    def __init__(self, folder: Path, box: str, schema: dict[str, pl.DataType]) -> None:
        self._folder, self._box, self._schema = folder, box, schema
        self._held: list[pl.DataFrame] = []
        self._flushes, self._adding = 0, Lock()
        folder.mkdir(parents=True)

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows; their columns are those of the schema. Several threads may do so, in any order."""
        with self._adding:
            if rows.height:
                self._held.append(rows.select(*self._schema))
            if sum(frame.estimated_size() for frame in self._held) > FLUSH_BYTES:
                self._flush()

    def read(self, box: int) -> pl.DataFrame:
        """The rows of one box; an empty frame of the same columns if it has none."""
        flushed = [self._file(flush, box) for flush in range(self._flushes)]
        parts = [pl.read_ipc(file) for file in flushed if file.exists()]
        held = [frame.filter(pl.col(self._box) == box) for frame in self._held]
        return pl.concat([pl.DataFrame(schema=self._schema), *parts, *held])

    def _flush(self) -> None:
        rows = pl.concat(self._held).partition_by(self._box, as_dict=True, maintain_order=True)
        for (box,), part in rows.items():
            part.write_ipc(self._file(self._flushes, box))
        self._flushes += 1
        self._held = []

    def _file(self, flush: int, box: int) -> Path:
        return self._folder / f"{flush}-{box}.arrow"
