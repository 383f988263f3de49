"""A file of which every row has been seen, for the draft of a schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from column_choice import KNOWN_MISSING
from column_values import Column
from draft_keys import KeyCandidates
from readings import all_readings, assumed
from source_rows import Malformed
from source_table import open_table

# How many rows of the target are looked for in the data.
HEAD_ROWS = 100_000
# A column with more values is no other spelling of classes.
MOST_PAIRS = 50


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
            name: Column(
                name,
                readings.get(name) or all_readings(),
                facts.missing,
                KNOWN_MISSING,
                certain=name in readings,
            )
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
        self._look_again()

    def _look_again(self) -> None:
        """Read all rows once more for the columns whose first batch was not like the others."""
        again = {name: column for name, one in self.columns.items() if (column := one.another_look())}
        for rows in self.table.rows() if again else ():
            for column in again.values():
                column.look_at(rows.texts)
        self.columns |= again


class Head:
    """Keeps the first rows."""

    def __init__(self) -> None:
        self.rows = pl.DataFrame()

    def look_at(self, texts: pl.DataFrame) -> None:
        """Take in the rows of a batch."""
        if self.rows.height < HEAD_ROWS:
            self.rows = pl.concat([self.rows, texts.head(HEAD_ROWS - self.rows.height)], how="diagonal")


class LabelPairs:
    """The columns that say the same as the target: to each value belongs one label, and to each label one value.

    Kept are the pairs of value and label that were seen, for each column that may still equal the target.
    """

    def __init__(self, columns: Sequence[str], target: str) -> None:
        self._target = target
        self._pairs: dict[str, set[tuple[str, str]]] = {name: set() for name in columns if name != target}

    def look_at(self, rows: pl.DataFrame) -> None:
        """Take in some rows that have the target."""
        rows = rows.filter(pl.col(self._target) != "")
        for name, pairs in [*self._pairs.items()]:
            both = pl.DataFrame([rows[name].fill_null(""), rows[self._target]])
            pairs.update(both.unique().head(MOST_PAIRS + 1).iter_rows())
            values, labels = ({pair[side] for pair in pairs} for side in (0, 1))
            if len(pairs) > MOST_PAIRS or not len(values) == len(labels) == len(pairs):
                del self._pairs[name]

    def equal(self) -> dict[str, str]:
        """The columns that equal a target of two labels or more, each with its pairs as text."""
        return {
            name: ", ".join(f"{a!r} is {b!r}" for a, b in sorted(p)[:3])
            for name, p in self._pairs.items()
            if len(p) > 1
        }


class JoinedPairs:
    """LabelPairs for a target in a file of its own, of which some rows are given."""

    def __init__(self, columns: Sequence[str], key: Sequence[str], target: str, labels: pl.DataFrame) -> None:
        self._key, self._labels = key, labels.select(*key, target).unique(key)
        self.pairs = LabelPairs([name for name in columns if name not in key], target)

    def look_at(self, texts: pl.DataFrame) -> None:
        """Take in the rows of a batch that have one of the labels."""
        self.pairs.look_at(texts.join(self._labels, on=list(self._key)))
