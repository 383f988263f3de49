"""Whether the keys of data and target fit: some keys of the target are looked for in all of the data, or all in all."""

from collections.abc import Collection, Sequence

import polars as pl
from stagekit import BadInput

from checks import FieldChecks
from table_schema import Field

# How many keys of the target are looked for.
MOST_KEYS = 10_000
KEY, LOOSE, SHOWN = "\0key", "\0loose", "\0shown"
SEPARATOR = "\x1f"


class KeyMatch:
    """Some keys of the target, of the file `label`. Keys are the same if their values are, not their texts.

    `missing` are the texts that mean "missing" in a field that has none of its own.
    """

    def __init__(self, fields: Sequence[Field], missing: Collection[str], target: pl.DataFrame, label: str) -> None:
        self._fields, self._label = fields, label
        self._values = FieldChecks(fields, missing, (), "schema.json").values
        self._wanted = self._keys(target.head(MOST_KEYS)).drop_nulls(KEY).unique(KEY, maintain_order=True)
        self._missed = self._wanted
        self._loosely_alike: tuple[str, str] | None = None
        self._shown = ""

    def look_at(self, data: pl.DataFrame) -> None:
        """Look for the keys in some rows of the data."""
        if not self._missed.height or not data.height:
            return
        keys = self._keys(data)
        self._shown = self._shown or keys[SHOWN][0]
        self._missed = self._missed.join(keys, on=KEY, how="anti", maintain_order="left")
        if self._loosely_alike is None and self._missed.height == self._wanted.height:
            alike = keys.join(self._missed, on=LOOSE, maintain_order="left").head(1)
            self._loosely_alike = next(alike.select(SHOWN, f"{SHOWN}_right").iter_rows(), None)

    def require_matches(self, data: str) -> None:
        """Errors: BadInput if `data` has none of the keys; the message says if they are only written differently."""
        if not self._wanted.height or self._missed.height < self._wanted.height:
            return
        target = self._label
        name = ", ".join(field.name for field in self._fields)
        if self._loosely_alike:
            one, other = self._loosely_alike
            raise BadInput(
                f"no key of {target} is in {data}: the same {name} is {one!r} in the data and {other!r} in the target",
                expected="keys that are written alike",
                do="write them alike, or make the key an integer in schema.json (of infer-schema: "
                f"--assume '{name}=integer') if all are whole numbers",
            )
        raise BadInput(
            f"no key of {target} is in {data}: {name} is {self._shown!r} in the first row of the data "
            f"and {self._wanted[SHOWN][0]!r} in the target",
            expected="the same rows in both files",
            do="name the file that belongs to the data, or name the right key",
        )

    def _keys(self, rows: pl.DataFrame) -> pl.DataFrame:
        texts = [pl.col(field.name) for field in self._fields]
        loose = [
            text.str.strip_chars().str.to_lowercase().str.replace(r"^0+([0-9])", "$1").str.replace(r"\.0+$", "")
            for text in texts
        ]
        alike = {LOOSE: loose, SHOWN: texts}
        shown = rows.select(pl.concat_str(parts, separator=SEPARATOR).alias(name) for name, parts in alike.items())
        return _key(self._values(rows)).hstack(shown)


class KeyHashes:
    """The keys of all rows of a file, without those in which a value is missing.

    A hash of each is kept, 8 bytes, so that memory stays small.
    """

    def __init__(self, fields: Sequence[Field], missing: Collection[str]) -> None:
        self._values = FieldChecks(fields, missing, (), "schema.json").values
        self._hashes = [pl.Series(KEY, dtype=pl.UInt64)]

    def look_at(self, texts: pl.DataFrame) -> None:
        """Take in the keys of a batch."""
        self._hashes.append(_key(self._values(texts))[KEY].drop_nulls().hash())

    def absent_from(self, other: "KeyHashes") -> int:
        """How many rows of this file have a key that the other file does not have."""
        ours, theirs = (pl.concat(keys._hashes).to_frame(KEY) for keys in (self, other))
        return int(ours.join(theirs, on=KEY, how="anti").height)


def _key(values: pl.DataFrame) -> pl.DataFrame:
    """The values of the key as one text, null if one of them is missing."""
    return values.select(pl.concat_str(pl.all().cast(pl.String), separator=SEPARATOR).alias(KEY))
