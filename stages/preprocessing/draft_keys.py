"""Which column of a file may be its key: one with a value in each row that no other row has."""

import re
from collections.abc import Sequence

import polars as pl

ID_NAME = re.compile(
    r"(^|[^a-z])(id|ids|key|uuid|guid|nr|no|number|index|rowid|row|level 0|unnamed: 0)([^a-z0-9]|$)", re.IGNORECASE
)
MADE_UP = "row"


def words_of(name: str) -> str:
    """A name such as createdAt or customer_ID as words: created At, customer ID."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip()


def is_named_like_a_key(name: str) -> bool:
    return bool(ID_NAME.search(words_of(name)))


def made_up_name(header: Sequence[str]) -> str:
    """A name for the number of the row that no column has."""
    names = (MADE_UP, f"{MADE_UP}_number", *(f"{MADE_UP}_{number}" for number in range(1, len(header) + 2)))
    return next(name for name in names if name not in header)


class KeyCandidates:
    """The columns named like a key, the first one and the `named` ones, as long as no value is missing in them.

    A hash of each value is kept, 8 bytes, so that memory stays small.
    """

    def __init__(self, header: Sequence[str], named: Sequence[str], missing: Sequence[str]) -> None:
        self._missing = ["", *missing]
        names = [*(name for name in header if is_named_like_a_key(name)), *header[:1], *named]
        self._hashes: dict[str, list[pl.Series]] = {name: [] for name in names if name in header}

    def look_at(self, texts: pl.DataFrame) -> None:
        """Take in the values of a batch."""
        for name in [*self._hashes]:
            values = texts[name]
            is_missing = values.is_in(self._missing) | ~values.str.contains(r"\S")
            if values.null_count() or is_missing.any() or values.is_duplicated().any():
                del self._hashes[name]
            else:
                self._hashes[name].append(values.hash())

    def unique(self) -> list[str]:
        """Those in which no value repeats: first the ones that are named like a key."""
        return [name for name, parts in self._hashes.items() if parts and not pl.concat(parts).is_duplicated().any()]
