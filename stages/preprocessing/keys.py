"""Finds duplicate rows and brings data and target together by key, in bounded memory.

The keys of both files are sorted into parts by their hash, so that equal keys meet in one part whatever the
files' order; each part is settled by itself, and what was found out is sorted back by batch of the file.

Rules. Among the rows that are right in themselves the first one with a key is kept, and so is the first one
with a value in a field declared unique; later ones are rejected, also when they say something else. A target
row needs a data row of its key; where that row is there but was rejected, the target row is passed over.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from csv_input import KINDS, LINE, REASON, TEXT
from spill import Spill

BATCH, PART, CONTENT, SOUND, OTHER = "\0batch", "\0part", "\0content", "\0sound", "\0other"
RIGHT, HASH = "\0right", "\0hash"  # of the key, or of the value that must be unique: equal ones have equal hashes
PLACE = {BATCH: pl.Int64(), LINE: pl.Int64()}
HASHED = {HASH: pl.UInt64(), PART: pl.UInt32()}


class Rows:
    """The rows of one file as far as keys matter. `carry` is the target's name for target.csv, else nothing."""

    def __init__(
        self,
        folder: Path,
        label: str,
        dtypes: dict[str, pl.DataType],
        key: Sequence[str],
        unique: Sequence[str],
        carry: Sequence[str],
        parts: int,
    ) -> None:
        self.label, self.key, self.parts = label, list(key), parts
        columns = {name: dtypes[name] for name in [*key, *carry]}
        self.keys = Spill(
            folder / "keys", PART, {**PLACE, **HASHED, CONTENT: pl.UInt64(), SOUND: pl.Boolean(), **columns}
        )
        self.unique = {
            name: Spill(folder / f"unique-{number}", PART, {**PLACE, **HASHED, name: dtypes[name]})
            for number, name in enumerate(unique)
        }
        self.reasons = Spill(folder / "reasons", BATCH, {**PLACE, KINDS: pl.String(), REASON: pl.String()})

    def add(self, batch: int, rows: pl.DataFrame, *, sound: bool) -> None:
        """Add the rows of a batch: those that are right in themselves, or the others (whose key may be unknown)."""
        rows = rows.drop_nulls(self.key) if all(name in rows.columns for name in self.key) else rows.clear()
        if not rows.height:
            return
        rows = rows.with_columns(
            pl.lit(batch, pl.Int64).alias(BATCH), pl.lit(sound).alias(SOUND), pl.col(TEXT).hash().alias(CONTENT)
        )
        self.keys.add(self._hashed(rows, self.key))
        if sound:
            for name, spill in self.unique.items():
                spill.add(self._hashed(rows.drop_nulls(name), [name]))

    def _hashed(self, rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        value = pl.col(columns[0]) if len(columns) == 1 else pl.struct(columns)
        return rows.with_columns(value.hash().alias(HASH)).with_columns(
            (pl.col(HASH) % self.parts).cast(pl.UInt32).alias(PART)
        )

    def reject(self, rows: pl.DataFrame, kind: str, reason: pl.Expr) -> None:
        """Note for rows (BATCH, LINE and what the reason needs) why they are rejected."""
        self.reasons.add(rows.with_columns(pl.lit(kind).alias(KINDS), reason.alias(REASON)))

    def reject_repeated(self) -> None:
        """Reject the later ones of the rows that share a value in a field declared unique."""
        for name, spill in self.unique.items():
            for part in range(self.parts):
                repeated = _repeated(spill.read(part), [name])
                reason = pl.concat_str(
                    pl.lit(f"{name}: '"), pl.col(name).cast(pl.String), pl.lit("' is not unique, it is on line "), OTHER
                )
                self.reject(repeated, f"{name}: unique", reason)

    def take_first(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Of the sound rows of a part, the first with each key; the others are rejected."""
        sound = keys.filter(SOUND)
        repeated = _repeated(sound, self.key)
        if not repeated.height:
            return sound
        name = ", ".join(self.key)
        same, other = pl.lit(f"{name}: duplicate of line "), pl.lit(f"{name}: same key with other content as line ")
        told = pl.when(pl.col(CONTENT) == pl.col(OTHER + CONTENT)).then(same).otherwise(other)
        self.reject(repeated, f"{name}: duplicate", pl.concat_str(told, OTHER))
        return sound.join(repeated, on=LINE, how="anti")


def _repeated(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The rows after the first of each group of equals, with the first one's line (OTHER) and content."""
    # Hashes first: they are cheap, and few rows are left to be compared as they are.
    candidates = rows.filter(pl.col(HASH).is_duplicated()).sort(LINE)
    firsts = [pl.col(LINE).first().over(columns).alias(OTHER)]
    if CONTENT in rows.columns:
        firsts.append(pl.col(CONTENT).first().over(columns).alias(OTHER + CONTENT))
    return candidates.with_columns(firsts).filter(pl.col(LINE) != pl.col(OTHER))


def settle(data: Rows, target: Rows | None, matches: Spill | None) -> None:
    """Note every rejection that takes more than one row to see, and in `matches` the target of each data row kept."""
    for rows in (data, target):
        if rows:
            rows.reject_repeated()
    for part in range(data.parts):
        of_data = data.keys.read(part)
        kept = data.take_first(of_data)
        if target and matches:
            _match(data, target, matches, of_data, kept, target.keys.read(part))


def _match(
    data: Rows, target: Rows, matches: Spill, of_data: pl.DataFrame, kept: pl.DataFrame, of_target: pl.DataFrame
) -> None:
    key = data.key
    targets = target.take_first(of_target)
    joined = _by_key(kept.select(*PLACE, HASH, *key), targets.drop(BATCH, PART, CONTENT, SOUND), key)
    missing = pl.col(OTHER).is_null()
    matched, unmatched = joined.filter(~missing), joined.filter(missing)
    matches.add(matched)
    lonely = targets.join(matched, left_on=LINE, right_on=OTHER, how="anti")
    of_lonely = of_data.filter(pl.col(HASH).is_in(lonely[HASH].implode()))
    orphans = lonely.join(of_lonely, on=key, how="anti")
    target.reject(orphans, "no data for this target row", pl.lit("no data for this target row"))
    refused = of_target.filter(~pl.col(SOUND)).group_by(key).agg(pl.col(LINE).min().alias(OTHER))
    unmatched = unmatched.drop(OTHER).join(refused, on=key, how="left")
    why = (
        pl.when(pl.col(OTHER).is_null())
        .then(pl.lit("no target for this key"))
        .otherwise(pl.concat_str(pl.lit(f"its row in {target.label} was rejected (line "), OTHER, pl.lit(")")))
    )
    data.reject(unmatched, "no target for this key", why)


def _by_key(rows: pl.DataFrame, targets: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The rows with what `targets` has for their key, its line as OTHER; nulls where it has nothing."""
    targets = targets.rename({LINE: OTHER})
    # Numbers are joined much faster than texts. Where two keys share a hash, it takes the keys themselves.
    joined = rows.join(targets, on=HASH, how="left", suffix=RIGHT)
    same = pl.all_horizontal(pl.col(name) == pl.col(name + RIGHT) for name in key)
    if joined.height == rows.height and joined.filter(pl.col(OTHER).is_not_null(), ~same).is_empty():
        return joined.drop(name + RIGHT for name in key)
    return rows.join(targets.drop(HASH), on=key, how="left")
