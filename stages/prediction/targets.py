"""What has happened since: `target.csv`, as it was delivered, joined with predictions by key.

The two files are in no common order, and either may have rows that the other lacks. A key is kept as two hashes of
64 bits each, not as text: 10 million rows of target take some 250 MB, 500 MB while they are sorted. That two keys
share both hashes is less likely than one in 10^24 for so many rows.
"""

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from pandas.util import hash_array
from stagekit import BadInput
from stagekit.contract import Encoder

from values import Reader, as_written, field_of, reader

CHUNK_ROWS = 131_072
HASH_KEYS = ("airflow-ml first", "airflow-ml other")  # 16 bytes each, as pandas wants them
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
NO_TARGET = -1
MOST_NEW_CLASSES = 100

Part = tuple[np.ndarray, np.ndarray, np.ndarray]


class Targets:
    """The class codes of a day's rows by key.

    A class that the model does not know has a code from `len(encoder.classes)` on; `new_classes` names these. A key
    that is repeated counts with its first row, as in `preprocessing`. `rows` is how many rows the file has, `counts`
    how many of them are of no use, and why.
    """

    def __init__(self, path: Path, label: str, encoder: Encoder) -> None:
        self.rows = 0
        self.counts: Counter[str] = Counter(malformed=0, missing=0, unreadable=0, repeated=0)
        self.new_classes: list[str] = []
        self._label, self._encoder = label, encoder
        schema = encoder.schema
        self._missing = {"", *schema.get("missingValues", [])}
        fields = [field_of(schema, name) for name in encoder.key]
        self._written = [reader(as_written(field)) for field in fields]
        self._delivered = [reader(field) for field in fields]
        target = field_of(schema, encoder.target)
        self._read_class, known = reader(target), reader(as_written(target))
        self._codes = {_read(name, known): code for code, name in enumerate(encoder.classes)}
        self._of_text: dict[str, int | None] = {}
        self._sort([self._keep(rows) for rows in self._chunks(path)])

    def codes_of(self, keys: Sequence[list[str]]) -> np.ndarray:
        """The class code of each row of predictions, given its key columns; NO_TARGET where there is none."""
        first, other = _hash([_values(column, read) for column, read in zip(keys, self._written, strict=True)])
        codes = np.full(len(first), NO_TARGET)
        place = np.searchsorted(self._first, first)
        for further in range(self._longest):
            at = np.minimum(place + further, len(self._first) - 1)
            same = (self._first[at] == first) & (self._other[at] == other)
            codes[same] = self._class[at[same]]
        return codes

    @property
    def usable(self) -> int:
        """The rows that name a key, once, and a class."""
        return len(self._first)

    def _chunks(self, path: Path) -> Iterator[list[list[str]]]:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = csv.reader(file)
            try:
                header = next(lines, [])
                names = [*self._encoder.key, self._encoder.target]
                if missing := [name for name in names if name not in header]:
                    raise BadInput(
                        f"{self._label} lacks {', '.join(missing)}; its header is {', '.join(header) or 'empty'}",
                        expected=f"the columns {', '.join(names)}", do="deliver it again",
                    )  # fmt: skip
                self._width, self._places = len(header), [header.index(name) for name in names]
                while rows := list(islice(lines, CHUNK_ROWS)):
                    yield rows
            except csv.Error as error:
                raise BadInput(
                    f"{self._label}, line {lines.line_num}: {error}", expected="comma-separated values",
                    do="deliver it again",
                ) from None  # fmt: skip

    def _keep(self, rows: list[list[str]]) -> Part:
        """The two hashes of the key and the class code of each row that can be used."""
        self.rows += len(rows)
        whole = [row for row in rows if len(row) == self._width]
        self.counts["malformed"] += len(rows) - len(whole)
        *columns, targets = ([row[place] for row in whole] for place in self._places)
        keys = [_values(texts, read, self._missing) for texts, read in zip(columns, self._delivered, strict=True)]
        codes = [self._code(text) for text in targets]
        kept = [n for n, code in enumerate(codes) if code is not None and all(values[n] is not None for values in keys)]
        without = sum(text in self._missing for text in targets)
        self.counts["missing"] += without
        self.counts["unreadable"] += len(whole) - len(kept) - without
        first, other = _hash([[values[n] for n in kept] for values in keys])
        return first, other, np.array([codes[n] for n in kept], dtype=np.int32)

    def _code(self, text: str) -> int | None:
        """The code of a class; None where the text is missing, or no value of the target's type."""
        if text not in self._of_text:
            if len(self._of_text) > CHUNK_ROWS:  # a target with a value of its own in each row
                self._of_text.clear()
            value = None if text in self._missing else _read(text, self._read_class)
            self._of_text[text] = None if value is None else self._code_of(value)
        return self._of_text[text]

    def _code_of(self, value: str) -> int:
        """The code of a class by its value. Beyond a hundred, new ones share the last code."""
        if value not in self._codes and len(self.new_classes) < MOST_NEW_CLASSES:
            self._codes[value] = len(self._encoder.classes) + len(self.new_classes)
            self.new_classes.append(value)
        return self._codes.get(value, len(self._encoder.classes) + MOST_NEW_CLASSES - 1)

    def _sort(self, parts: list[Part]) -> None:
        nothing = (np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int32))
        first, other, codes = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
        order = np.lexsort((other, first))  # stable: of a repeated key, the first row comes first
        first, other, codes = first[order], other[order], codes[order]
        again = np.zeros(len(first), dtype=bool)
        again[1:] = (first[1:] == first[:-1]) & (other[1:] == other[:-1])
        self.counts["repeated"] = int(again.sum())
        self._first, self._other, self._class = first[~again], other[~again], codes[~again]
        _, alike = np.unique(self._first, return_counts=True)
        self._longest = int(alike.max(initial=0))  # 1, unless two keys share the first hash


def _read(text: str, read: Reader | None) -> str | None:
    return read(text) if read else text


def _values(column: list[str], read: Reader | None, missing: Collection[str] = ()) -> list[str | None]:
    """The values of a column of texts; None where there is none."""
    return [None if text in missing else _read(text, read) for text in column]


def _hash(columns: Sequence[Sequence[str | None]]) -> tuple[np.ndarray, np.ndarray]:
    """Two hashes of each row, uint64 of shape (rows,)."""
    hashes = []
    for key in HASH_KEYS:
        total = np.zeros(len(columns[0]), dtype=np.uint64)
        for column in columns:
            texts = np.array([text or "" for text in column], dtype=object)
            total = total * MULTIPLIER + hash_array(texts, hash_key=key, categorize=False)
        hashes.append(total)
    return hashes[0], hashes[1]
