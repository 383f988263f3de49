"""A file of which every row has been seen, for the draft of a schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from column_choice import KNOWN_MISSING
from column_values import Column
from draft_keys import KeyCandidates
from label_pairs import LabelPairs
from readings import all_readings, assumed
from source_rows import Malformed
from source_table import open_table

# How many rows of the target are looked for in the data.
HEAD_ROWS = 100_000


@dataclass(frozen=True)
class Facts:
    """What a person says of the files: see the options of `infer-schema`."""

    key: Sequence[str] = ()
    entity: str | None = None
    weight: str | None = None
    target_column: str | None = None
    missing: Sequence[str] = ()
    assume: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None


class Watcher(Protocol):
    """Something that looks at all rows of a file, batch by batch."""

    def look_at(self, texts: pl.DataFrame, /) -> None:
        """Take in the rows of a batch."""


class FileLook:
    """The columns of a file. The header is read first, the rows by `read`."""

    def __init__(self, path: Path, facts: Facts, scratch: Path) -> None:
        self.table = open_table(path, str(path), scratch, facts.delimiter, facts.encoding)
        self.label, self.header, self.rows = self.table.label, self.table.header, 0
        readings = {name: assumed(format_) for name, format_ in facts.assume.items()}
        self.columns = {
            name: Column(name, readings.get(name) or all_readings(), facts.missing, KNOWN_MISSING)
            for name in self.header
        }
        self.keys = KeyCandidates(self.header, facts.key, facts.missing)
        self.malformed = Malformed(self.label, len(self.header))

    def read(self, *watchers: Watcher) -> None:
        """Read all rows, for the columns and for others that look at them."""
        for rows in self.table.rows():
            self.malformed.add(rows)
            everybody: tuple[Watcher, ...] = (*self.columns.values(), self.keys, *watchers)
            for watcher in everybody:
                watcher.look_at(rows.texts)
        self.malformed.require_rows_of_the_header()
        self.rows = self.malformed.good


class Head:
    """Keeps the first rows."""

    def __init__(self) -> None:
        self.rows = pl.DataFrame()

    def look_at(self, texts: pl.DataFrame) -> None:
        """Take in the rows of a batch."""
        if self.rows.height < HEAD_ROWS:
            self.rows = pl.concat([self.rows, texts.head(HEAD_ROWS - self.rows.height)], how="diagonal")


class JoinedPairs:
    """LabelPairs for a target in a file of its own, of which some rows are given."""

    def __init__(self, columns: Sequence[str], key: Sequence[str], target: str, labels: pl.DataFrame) -> None:
        self._key, self._labels = key, labels.select(*key, target).unique(key)
        self.pairs = LabelPairs([name for name in columns if name not in key], target)

    def look_at(self, texts: pl.DataFrame) -> None:
        """Take in the rows of a batch that have one of the labels."""
        self.pairs.look_at(texts.join(self._labels, on=list(self._key)))
