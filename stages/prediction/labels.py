"""The labels of a day by key: what `preprocessing label` publishes, joined with the predictions.

Both files have the same canonical key texts, but no common order, and each may have rows that the other has not. A key
is kept as two hashes of 64 bits, not as text: 10 million labels take some 250 MB, 500 MB while they are sorted. The
probability that two of so many keys share both hashes is less than 10^-24.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pandas.util import hash_array
from stagekit import BadInput, Partition
from stagekit.contract import Encoder

from breaches import CONTRADICTORY, COUNTED_BY_LABEL, SET_ASIDE
from scoring import open_table

HASH_KEYS = ("airflow-ml first", "airflow-ml other")  # 16 bytes each, as pandas requires
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
NO_LABEL = -1
MOST_NEW_CLASSES, OTHER_CLASSES = 100, "other classes"
SHOWN_CHARACTERS, SHOWN_EXAMPLES = 60, 5
COUNTS = ("rows", *COUNTED_BY_LABEL)


class Labels:
    """The class codes of a day's rows by key.

    A class that the model does not know has a code from `classes`, the number of known ones, on. `new_classes` names
    these: the first ones by name, so that the shards of a day name the same, and one for all others.
    """

    def __init__(self, partition: Partition, encoder: Encoder) -> None:
        self.classes = len(encoder.classes)
        self.new_classes: list[str] = []
        self._known = {name: code for code, name in enumerate(encoder.classes)}
        nothing = (np.empty(0, np.uint64), np.empty(0, np.uint64))
        keys, codes = [nothing], [np.empty(0, np.int32)]
        if partition.rows("labels.csv") != 0:
            texts = [*encoder.key, encoder.target]
            table = open_table(partition, "labels.csv", "`preprocessing label`", texts, [])
            for chunk in table.chunks():
                *columns, names = chunk.texts
                keys.append(hash_keys(columns))
                codes = self._with_new_classes(codes, names)
                codes.append(self._codes(names))
        first, other = (np.concatenate(column) for column in zip(*keys, strict=True))
        self._sort(first, other, np.concatenate(codes))

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

    def _with_new_classes(self, codes: list[np.ndarray], names: list[str]) -> list[np.ndarray]:
        """Name the classes among `names` that are new. Returns the `codes` before, which may change by that."""
        before, new = self.new_classes, {name[:SHOWN_CHARACTERS] for name in names if name not in self._known}
        self.new_classes = first_classes([*before, *new])
        if self.new_classes[: len(before)] == before:
            return codes
        changed = np.array([*range(self.classes), *self._codes_of_new(before).values()], dtype=np.int32)
        return [changed[part] for part in codes]

    def _codes(self, names: list[str]) -> np.ndarray:
        new = self._codes_of_new({*names} - self._known.keys())
        return np.array([self._known.get(name, new.get(name)) for name in names], dtype=np.int32)

    def _codes_of_new(self, names: Iterable[str]) -> dict[str, int]:
        """The codes of classes that the model does not know. All but those that are named share the last code."""
        codes = {name: code for code, name in enumerate(self.new_classes, start=self.classes)}
        last = self.classes + len(self.new_classes) - 1
        return {name: codes.get(name[:SHOWN_CHARACTERS], last) for name in names}

    def _sort(self, first: np.ndarray, other: np.ndarray, codes: np.ndarray) -> None:
        order = np.argsort(first)
        self._first, self._other, self._class = first[order], other[order], codes[order]
        _, alike = np.unique(self._first, return_counts=True)
        self._longest = int(alike.max(initial=0))  # 1, unless two keys share the first hash


def first_classes(names: Iterable[str]) -> list[str]:
    """The first hundred of the names in alphabetical order; if there are more, a name for all others comes last."""
    found = {*names}
    named = sorted(found - {OTHER_CLASSES})
    more = OTHER_CLASSES in found or len(named) > MOST_NEW_CLASSES
    return [*named[:MOST_NEW_CLASSES], *([OTHER_CLASSES] if more else [])]


def add_new_classes(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The rows of each new class of a day, from those of its shards."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part)
    named = dict.fromkeys(first_classes(counts), 0)
    for name, rows in counts.items():
        named[name if name in named else OTHER_CLASSES] += rows
    return named


def read_counts(partition: Partition) -> dict[str, int]:
    """What `label` counted in target.csv, as its mark records it."""
    result: dict[str, Any] = partition.step("labels.csv").get("result") or {}
    counts = {key: result.get(key) for key in COUNTS} | {CONTRADICTORY: result.get(CONTRADICTORY, 0)}
    counts |= {key: result[key] for key in SET_ASIDE if key in result}
    if any(type(count) is not int for count in counts.values()):
        raise BadInput(
            f"the mark of {partition.name} does not count the rows of target.csv: {counts}",
            expected=f"whole numbers {', '.join(COUNTS)} in the result of its step",
            do=f"run `preprocessing label --ds {partition.name.removeprefix('labels/')} --force`",
        )
    return counts  # type: ignore[return-value]


def read_examples(partition: Partition) -> list[str]:
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
