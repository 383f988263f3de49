"""Finds repeated rows and joins data and target by key, in bounded memory.

The keys of both files are sorted into parts by their hash, so that equal keys meet in one part, whatever the
files' order. Each part is compared by itself. The reasons for rejections are sorted back by batch of the file.

Rules. Of the valid rows with one key the first is kept; so is the first with a value in a field declared unique.
Later rows are rejected: as a duplicate, or as a contradiction if they have other content. Where the labels of one key
contradict each other, none is kept, because nobody can say which one is right. A target row needs a data row with its
key. If that data row exists but was rejected, the target row is passed over.

A file may be in several deliveries, the newest first. The newest one with a valid row of a key decides about this key;
if none has one, the newest with the key does. Rows of the key in the deliveries before are superseded, valid or not:
they are neither kept nor rejected, also if the labels of the newest one contradict each other. A row whose key cannot
be read is superseded if a later delivery has the same text.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from checks import DTYPES, HIDDEN
from csv_input import KINDS, LINE, REASON, TEXT
from delivered_lines import DeliveredLines
from parallel import in_order
from spill import Spill
from table_schema import Field, unique_beside_key

BATCH, PART, CONTENT, VALID, OTHER = "\0batch", "\0part", "\0content", "\0valid", "\0other"
DELIVERY, FIRST, SHOWN = "\0delivery", "\0first", "\0shown"
DUPLICATE, CONTRADICTION = "duplicate", "contradiction"
NO_TARGET = "no target for this key"
RIGHT, HASH = "\0right", "\0hash"  # of the key, or of the value that must be unique: equal ones have equal hashes
PLACE = {BATCH: pl.Int64(), LINE: pl.Int64()}
HASHED = {HASH: pl.UInt64(), PART: pl.UInt32()}


class KeyedRows:
    """The keys of one file, with its unique fields and its target, if it has these.

    `reasons` are the rejections that take more than one row to see, and `superseded` the places of such rows, by batch
    of the file. `lines` says where its rows were delivered.
    """

    def __init__(self, folder: Path, label: str, fields: Sequence[Field], parts: int, lines: DeliveredLines) -> None:
        self.label, self.parts, self._lines, self._earlier = label, parts, lines, lines.first_lines
        self.key = [field.name for field in fields if field.role == "key"]
        # Of a label the value counts: 1 and 1.0 are one class, and a column beside it is no label.
        self._target = next((field.name for field in fields if field.role == "target"), None)
        columns = {field.name: DTYPES[field.type] for field in fields if field.role in ("key", "target")}
        unique = unique_beside_key(fields)
        self.columns = [*columns, *(field.name for field in unique if field.name not in columns)]
        self.keys = Spill(
            folder / "keys", PART, {**PLACE, **HASHED, CONTENT: pl.UInt64(), VALID: pl.Boolean(), **columns}
        )
        self.unique = {
            field.name: Spill(folder / f"unique-{number}", PART, {**PLACE, **HASHED, field.name: DTYPES[field.type]})
            for number, field in enumerate(unique)
        }
        self._hidden = {field.name for field in fields if field.sensitive}
        self.reasons = Spill(folder / "reasons", BATCH, {**PLACE, KINDS: pl.String(), REASON: pl.String()})
        self.superseded = Spill(folder / "superseded", BATCH, PLACE)
        self._keyless = Spill(folder / "keyless", PART, {**PLACE, **HASHED})

    def add(self, batch: int, rows: pl.DataFrame, *, valid: bool) -> None:
        """Add rows of a batch that break no rule by themselves, or rows that do (their key may be unknown)."""
        if not rows.height:
            return
        rows = rows.with_columns(
            pl.lit(batch, pl.Int64).alias(BATCH), pl.lit(valid).alias(VALID), pl.col(TEXT).hash().alias(CONTENT)
        )
        all_rows, readable = rows, all(name in rows.columns for name in self.key)
        rows = rows.drop_nulls(self.key) if readable else rows.clear()
        if self._earlier and rows.height < all_rows.height:
            self._keyless.add(self._hashed(all_rows.join(rows, on=LINE, how="anti"), [TEXT]))
        if not rows.height:
            return
        self.keys.add(self._hashed(rows, self.key))
        if valid:
            for name, spill in self.unique.items():
                spill.add(self._hashed(rows.drop_nulls(name), [name]))

    def _hashed(self, rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        value = pl.col(columns[0]) if len(columns) == 1 else pl.struct(columns)
        return rows.with_columns(value.hash().alias(HASH)).with_columns(
            (pl.col(HASH) % self.parts).cast(pl.UInt32).alias(PART)
        )

    def reject(self, rows: pl.DataFrame, kind: str, reason: pl.Expr) -> None:
        """Record why rows are rejected. They have BATCH, LINE and the columns that the reason needs."""
        rows = rows.rechunk()  # polars' concat_str panics on an empty chunk
        self.reasons.add(rows.with_columns(pl.lit(kind).alias(KINDS), reason.alias(REASON)))

    def reject_repeated(self) -> None:
        """Reject the later rows that share a value in a field declared unique."""
        for name, spill in self.unique.items():
            for part in range(self.parts):
                repeated = self.with_shown(_repeated(spill.read(part), [name]))
                shown = pl.lit(HIDDEN) if name in self._hidden else pl.col(name).cast(pl.String)
                reason = pl.concat_str(pl.lit(f"{name}: '"), shown, pl.lit("' is not unique, it is on line "), SHOWN)
                self.reject(repeated, f"{name}: unique", reason)

    def supersede_keyless(self) -> None:
        """Find the rows without a key whose text is in a later delivery too."""
        for part in range(self.parts) if self._earlier else ():
            rows = self._with_delivery(self._keyless.read(part))
            self.superseded.add(rows.filter(pl.col(DELIVERY) > pl.col(DELIVERY).min().over(HASH)))

    def _with_delivery(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The same rows with the number of their delivery, from 0, the newest."""
        first_lines = pl.Series(self._earlier, dtype=pl.Int64)
        return rows.with_columns(first_lines.search_sorted(rows[LINE], "right").alias(DELIVERY))

    def _superseded(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of a part that a later delivery supersedes."""
        decides = pl.coalesce(pl.col(DELIVERY).filter(VALID).min(), pl.col(DELIVERY).min()).over(self.key)
        return self._with_delivery(keys).filter(pl.col(DELIVERY) > decides)

    def with_shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The same rows with the line OTHER as messages show it (SHOWN)."""
        return rows.with_columns(self._lines.shown(rows[OTHER]).alias(SHOWN))

    def take_first(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of a part that are kept: the first valid one with each key, unless labels contradict each other.

        The others are superseded, or rejected if they are valid.
        """
        valid = keys.filter(VALID)
        content = self._target or CONTENT
        others = repeated = _repeated(valid, self.key, content)
        if self._earlier:
            superseded = self._superseded(keys)
            self.superseded.add(superseded)
            repeated = repeated.join(superseded, on=LINE, how="anti")
        if not others.height:
            return valid
        kept, name = valid.join(others, on=LINE, how="anti"), ", ".join(self.key)
        differs = pl.col(content) != pl.col(FIRST)
        same, other = repeated.filter(~differs), repeated.filter(differs)
        if self._target and other.height:
            # The first label is in doubt too, as are those that equal it: each gets the line of one that differs.
            in_doubt = other.group_by(OTHER).agg(pl.col(LINE).min().alias(RIGHT))
            first = kept.join(in_doubt, left_on=LINE, right_on=OTHER).rename({RIGHT: OTHER})
            like_first = same.join(in_doubt, on=OTHER).drop(OTHER).rename({RIGHT: OTHER})
            other = pl.concat([frame.select(*PLACE, OTHER) for frame in (first, like_first, other)])
            same, kept = same.join(in_doubt, on=OTHER, how="anti"), kept.join(first, on=LINE, how="anti")
        what = "another label is on line " if self._target else "same key with other content as line "
        for rows, kind, text in ((same, DUPLICATE, "duplicate of line "), (other, CONTRADICTION, what)):
            reason = pl.concat_str(pl.lit(f"{name}: {text}"), SHOWN)
            self.reject(self.with_shown(rows), f"{name}: {kind}", reason)
        return kept


def _repeated(rows: pl.DataFrame, columns: Sequence[str], content: str | None = None) -> pl.DataFrame:
    """The rows after the first of each group of equals, with the first one's line (OTHER) and `content` (FIRST)."""
    # Hashes come first: they are cheap, and few rows are left to be compared by value. To sort them takes half the time
    # of `is_duplicated`.
    hashes = rows[HASH].sort()
    repeated = hashes.filter(hashes == hashes.shift())
    candidates = rows.filter(pl.col(HASH).is_in(repeated.implode())).sort(LINE)
    firsts = [pl.col(LINE).first().over(columns).alias(OTHER)]
    if content:
        firsts.append(pl.col(content).first().over(columns).alias(FIRST))
    return candidates.with_columns(firsts).filter(pl.col(LINE) != pl.col(OTHER))


def compare_keys(rows: KeyedRows) -> None:
    """Reject every row of a file that repeats an earlier row's key or unique value, and is not superseded."""
    rows.reject_repeated()
    rows.supersede_keyless()
    for part in range(rows.parts):
        rows.take_first(rows.keys.read(part))


def join_targets(data: KeyedRows, target: KeyedRows, matches: Spill) -> None:
    """Reject the rows of both files that repeat an earlier row or have no partner in the other file.

    `matches` gets the target of each data row that is kept.
    """
    data.reject_repeated()
    target.reject_repeated()
    target.supersede_keyless()

    def match(part: int) -> pl.DataFrame:
        return _match(data, target, data.keys.read(part), target.keys.read(part))

    for matched in in_order(match, range(data.parts)):
        matches.add(matched)


def _match(data: KeyedRows, target: KeyedRows, of_data: pl.DataFrame, of_target: pl.DataFrame) -> pl.DataFrame:
    """The kept data rows of a part with their targets."""
    key, kept, targets = data.key, data.take_first(of_data), target.take_first(of_target)
    joined = _by_key(kept.select(*PLACE, HASH, *key), targets.drop(BATCH, PART, CONTENT, VALID), key)
    missing = pl.col(OTHER).is_null()
    matched, unmatched = joined.filter(~missing), joined.filter(missing)
    lonely = targets.filter(~pl.col(LINE).is_in(matched[OTHER].implode()))
    of_lonely = of_data.filter(pl.col(HASH).is_in(lonely[HASH].implode()))
    orphans = lonely.join(of_lonely, on=key, how="anti")
    target.reject(orphans, "no data for this target row", pl.lit("no data for this target row"))
    refused = of_target.filter(pl.col(HASH).is_in(unmatched[HASH].implode()))
    refused = refused.group_by(key).agg(pl.col(LINE).min().alias(OTHER))
    unmatched = unmatched.drop(OTHER).join(refused, on=key, how="left")
    why = (
        pl.when(pl.col(OTHER).is_null())
        .then(pl.lit(NO_TARGET))
        .otherwise(pl.concat_str(pl.lit(f"its row in {target.label} was rejected (line "), SHOWN, pl.lit(")")))
    )
    data.reject(target.with_shown(unmatched), NO_TARGET, why)
    return matched


def _by_key(rows: pl.DataFrame, targets: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The rows with the columns that `targets` has for their key, its line as OTHER; nulls if it has no such key."""
    targets = targets.rename({LINE: OTHER})
    # Numbers are joined much faster than texts. If two keys share a hash, the keys themselves are joined.
    joined = rows.join(targets, on=HASH, how="left", suffix=RIGHT)
    same = pl.all_horizontal(pl.col(name) == pl.col(name + RIGHT) for name in key)
    if joined.height == rows.height and joined.filter(pl.col(OTHER).is_not_null(), ~same).is_empty():
        return joined.drop(name + RIGHT for name in key)
    return rows.join(targets.drop(HASH), on=key, how="left")
