"""The labels of a day by key: what `preprocessing label` publishes, joined with the predictions.

Both files have the same canonical key texts, but no common order, and each may have rows that the other has not. A key
is kept as two hashes of 64 bits, not as text: 10 million labels take some 250 MB, 500 MB while they are sorted. The
probability that two of so many keys share both hashes is less than 10^-24.
"""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
from pandas.util import hash_array
from stagekit import BadInput, Partition
from stagekit.contract import Encoder

from scoring import open_table

HASH_KEYS = ("airflow-ml first", "airflow-ml other")  # 16 bytes each, as pandas requires
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
NO_LABEL = -1
MOST_NEW_CLASSES, OTHER_CLASSES = 100, "other classes"
SHOWN_CHARACTERS, SHOWN_EXAMPLES = 60, 5
COUNTS = ("rows", "malformed", "missing", "unreadable", "repeated")
# Rows that say nothing of a label: none has come yet, or a later delivery has the key. Not in every result.
SET_ASIDE = ("unlabelled", "superseded")


class Labels:
    """The class codes of a day's rows by key.

    A class that the model does not know has a code from `len(encoder.classes)` on; `new_classes` names these.
    `counts` are of target.csv: its rows, and those that cannot be used by reason. `examples` show some of the latter.
    """

    def __init__(self, partition: Partition, encoder: Encoder) -> None:
        self.counts, self.examples = _read_counts(partition), _read_examples(partition)
        self.new_classes: list[str] = []
        self._known = {name: code for code, name in enumerate(encoder.classes)}
        nothing = (np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int32))
        parts = [nothing]
        if partition.rows("labels.csv") != 0:
            texts = [*encoder.key, encoder.target]
            table = open_table(partition, "labels.csv", "`preprocessing label`", texts, [])
            for chunk in table.chunks():
                *keys, names = chunk.texts
                parts.append((*hash_keys(keys), self._codes(names)))
        self._sort(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @property
    def rows(self) -> int:
        """The labels: rows of target.csv that name a key, once, and a class."""
        return len(self._first)

    def codes_of(self, keys: Sequence[list[str]]) -> np.ndarray:
        """The class code of each row of predictions, given its key columns; NO_LABEL if it has none."""
        first, other = hash_keys(keys)
        codes = np.full(len(first), NO_LABEL)
        if not self.rows:
            return codes
        place = np.searchsorted(self._first, first)
        for further in range(self._longest):
            at = np.minimum(place + further, len(self._first) - 1)
            same = (self._first[at] == first) & (self._other[at] == other)
            codes[same] = self._class[at[same]]
        return codes

    def _codes(self, names: list[str]) -> np.ndarray:
        codes = (self._known.get(name, NO_LABEL) for name in names)
        found = [self._new_code(name) if code == NO_LABEL else code for code, name in zip(codes, names, strict=True)]
        return np.array(found, dtype=np.int32)

    def _new_code(self, name: str) -> int:
        """The code of a class that the model does not know. After the first hundred, all share one code."""
        name = name[:SHOWN_CHARACTERS]
        if name not in self.new_classes:
            if len(self.new_classes) >= MOST_NEW_CLASSES:
                name = OTHER_CLASSES
            if name not in self.new_classes:
                self.new_classes.append(name)
        return len(self._known) + self.new_classes.index(name)

    def _sort(self, first: np.ndarray, other: np.ndarray, codes: np.ndarray) -> None:
        order = np.argsort(first)
        self._first, self._other, self._class = first[order], other[order], codes[order]
        _, alike = np.unique(self._first, return_counts=True)
        self._longest = int(alike.max(initial=0))  # 1, unless two keys share the first hash


def _read_counts(partition: Partition) -> dict[str, int]:
    """What `label` counted in target.csv, as its mark records it."""
    result: dict[str, Any] = partition.step("labels.csv").get("result") or {}
    counts = {key: result.get(key) for key in COUNTS} | {key: result[key] for key in SET_ASIDE if key in result}
    if any(type(count) is not int for count in counts.values()):
        raise BadInput(
            f"the mark of {partition.name} does not count the rows of target.csv: {counts}",
            expected=f"whole numbers {', '.join(COUNTS)} in the result of its step",
            do=f"run `preprocessing label --ds {partition.name.removeprefix('labels/')} --force`",
        )
    return counts  # type: ignore[return-value]


def _read_examples(partition: Partition) -> list[str]:
    """Some rows of target.csv that cannot be used: their lines and the reasons."""
    with (partition / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        shown = [row for row, _ in zip(rows, range(SHOWN_EXAMPLES), strict=False)]
    return [f"{row.get('file')} line {row.get('line')}: {row.get('reason')}" for row in shown]


def hash_keys(columns: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Two hashes of each row, uint64 of shape (rows,)."""
    hashes = []
    for key in HASH_KEYS:
        total = np.zeros(len(columns[0]), dtype=np.uint64)
        for column in columns:
            texts = np.array(column, dtype=object)
            total = total * MULTIPLIER + hash_array(texts, hash_key=key, categorize=False)
        hashes.append(total)
    return hashes[0], hashes[1]
