"""The work of `split`: which rows validate the model, and which train it; the encoder is fitted on the latter only.

Rows stand or fall together by group: all rows of an entity, or, in a schema without entities, of a key. A group
is known by a 32-bit hash of its text; two that collide share a side, which does no harm. Per class, the rarest
first, groups are taken in an order shuffled by the seed until validation has its fraction of the class's rows,
to the nearest group. So each class has its fraction, and no group is on both sides.
"""

import logging
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import polars as pl
from stagekit import BadInput

from checks import DTYPES, convert
from csv_input import Block, CsvFile
from encoder import Encoder, fit
from parallel import in_order
from prepare import CsvWriter
from spill import Shelf
from table_schema import Field, Schema, columns_kept

log = logging.getLogger(__name__)

GROUP, CODE, ROWS = "\0group", "\0code", "\0rows"
UNIT_SEPARATOR = "\x1f"
GOLDEN = 0x9E3779B9  # spreads small seeds over 32 bits


class TrainData:
    """train_data.csv, read once: its columns as far as they are used, in frames below the folder `scratch`.

    Features and times have their types, the target is text, and GROUP tells the rows that stand or fall together.
    """

    def __init__(self, path: Path, schema: Schema, label: str, scratch: Path) -> None:
        self.schema, self.label = schema, label
        self.target = schema.named("target")[0]
        self._columns = columns_kept(schema)
        self._shelf = Shelf(scratch)
        for frame in in_order(self._read, CsvFile(path, label).blocks()):
            self._shelf.add(frame)

    def frames(self, names: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows in the file's order."""
        return self._shelf.all(names)

    def _read(self, block: Block) -> pl.DataFrame:
        fields = self.schema.of(self.schema.named("feature", "time"))
        dtypes = {field.name: DTYPES[field.type] for field in fields if field.role == "feature"}
        schema = {name: dtypes.get(name, pl.String()) for name in self._columns}
        texts = pl.scan_csv(block.content, has_header=False, schema=schema)
        times = [convert(_canonical(f), pl.col(f.name)).alias(f.name) for f in fields if f.role == "time"]
        names = self.schema.named("entity") or self.schema.named("key")
        group = pl.concat_str(names, separator=UNIT_SEPARATOR).alias(GROUP)
        frame = texts.select(group, self.target, *(f.name for f in fields)).with_columns(times).collect()
        return frame.with_columns(_hashes(frame[GROUP]))


def _hashes(texts: pl.Series) -> pl.Series:
    """A 32-bit hash of each text. Many rows share one, as a rule."""
    distinct = texts.unique()
    hashes = pl.Series(list(map(crc32, distinct.cast(pl.Binary).to_list())), dtype=pl.UInt32)
    return texts.replace_strict(distinct, hashes, return_dtype=pl.UInt32)


def _canonical(field: Field) -> Field:
    return Field(field.name, field.type, field.role, "default", {}, (), ())


def split(
    data: TrainData, fraction: float, seed: int, most_categories: int, outputs: tuple[Path, Path, Path]
) -> dict[str, Any]:
    """Write train.csv, val.csv and encoder.json. Errors: BadInput where a class cannot be on both sides."""
    classes = _classes(data)
    codes, validates = choose_rows(data, classes, fraction, seed)
    counts = _require_all_classes(data, classes, codes, validates)
    encoder = fit(data.schema, classes, _frequent(data, validates, most_categories))
    encoder.write(outputs[2])
    with CsvWriter(outputs[0]) as train, CsvWriter(outputs[1]) as val:
        for in_train, in_val in in_order(lambda chunk: _encode(encoder, *chunk), with_sides(data.frames(), validates)):
            train.write(in_train)
            val.write(in_val)
    categories = {f.name: len(f.values) for f in encoder.features if f.kind == "category"}
    return {
        "train_rows": train.rows,
        "val_rows": val.rows,
        "features": len(encoder.features),
        "classes": counts,
        "categories": categories,
    }


def choose_rows(data: TrainData, classes: Sequence[str], fraction: float, seed: int) -> tuple[pl.Series, pl.Series]:
    """The target's code of each row, and whether the row validates, in the file's order."""
    groups = pl.concat(frame.to_series() for frame in data.frames([GROUP]))
    codes = pl.concat(frame.select(code_of(data.target, classes)).to_series() for frame in data.frames([data.target]))
    chosen = choose_groups(groups, codes, fraction, seed)
    return codes, groups.is_in(chosen.implode())


def with_sides(frames: Iterable[pl.DataFrame], validates: pl.Series) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Each frame with which of its rows validate."""
    offset = 0
    for frame in frames:
        yield frame, validates.slice(offset, frame.height)
        offset += frame.height


def _encode(encoder: Encoder, rows: pl.DataFrame, validates: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The target's code, then the features: of the rows that train, and of those that validate."""
    encoded = encoder.encode(rows, [code_of(encoder.target, encoder.classes)])
    return encoded.filter(~validates), encoded.filter(validates)


def code_of(target: str, classes: Sequence[str]) -> pl.Expr:
    """The position of the target's text in `classes`."""
    return pl.col(target).cast(pl.Enum(classes)).to_physical().cast(pl.UInt32)


def _classes(data: TrainData) -> list[str]:
    counts: Counter[str] = Counter()
    for frame in data.frames([data.target]):
        counts.update(dict(frame.to_series().value_counts().iter_rows()))
    if len(counts) < 2:
        raise BadInput(
            f"{data.label} has one class only: {data.target} is {next(iter(counts), 'missing')!r} in all rows",
            expected="two classes or more",
            do="take more days, or look at how the target is made",
        )
    if rare := sorted(name for name, rows in counts.items() if rows < 2):
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        raise BadInput(
            f"{data.label}: of {len(counts)} classes of {data.target}, one row only have {', '.join(rare[:5])}{more}",
            expected="two rows of each class, one to train and one to validate",
            do="take more days, merge rare classes, or remove their rows (a number without classes is no target here)",
        )
    return sort_classes(counts)


def sort_classes(names: Collection[str]) -> list[str]:
    """Sorted by number if all are numbers, else by text."""
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return sorted(names)
    return (
        sorted(names, key=lambda name: (numbers[name], name))
        if all(map(math.isfinite, numbers.values()))
        else sorted(names)
    )


def choose_groups(groups: pl.Series, codes: pl.Series, fraction: float, seed: int) -> pl.Series:
    """The groups that validate, so that they hold about `fraction` of the rows of each class.

    `groups` (32 bits) and `codes` have one value a row. A group is counted with the rarest class that it has.
    A group with more rows of that class than are wanted trains. The outcome depends on the rows, not on their order.
    """
    counts = pl.DataFrame({GROUP: groups, CODE: codes}).group_by(GROUP, CODE).agg(pl.len().alias(ROWS))
    totals = counts.group_by(CODE).agg(pl.col(ROWS).sum().alias("total")).sort("total", CODE)
    totals = totals.with_row_index("rank")
    counts = counts.join(totals, on=CODE).sort(_shuffled(pl.col(GROUP), seed), GROUP, "rank")
    rarest = counts.filter((pl.col(GROUP) != pl.col(GROUP).shift()).fill_null(True))
    chosen = pl.Series(GROUP, dtype=pl.UInt32)
    for code, total in totals.select(CODE, "total").iter_rows():
        candidates = rarest.filter(pl.col(CODE) == code)
        if not candidates.height:
            continue
        got = counts.filter(pl.col(CODE) == code, pl.col(GROUP).is_in(chosen.implode()))[ROWS].sum()
        alone = candidates[ROWS].sum() + got == total
        chosen.append(_nearest(candidates, fraction * total - got, none_yet=not got, leave_one=alone))
    return chosen


def _nearest(groups: pl.DataFrame, wanted: float, *, none_yet: bool, leave_one: bool) -> pl.Series:
    """The first of `groups` in their order whose rows come nearest to `wanted`."""
    fitting = groups.filter(pl.col(ROWS) <= max(wanted, groups[ROWS].min()))
    taken = pl.concat([pl.Series([0.0]), fitting[ROWS].cum_sum().cast(pl.Float64)])
    number = (taken - wanted).abs().arg_min()
    least, most = int(none_yet), groups.height - int(leave_one)
    return fitting[GROUP].head(min(max(number, least), most))


def _shuffled(group: pl.Expr, seed: int) -> pl.Expr:
    """Scramble 32 bits one to one (MurmurHash3's finaliser), for an order that the seed decides."""
    bits = 1 << 32
    x = (group.cast(pl.UInt64) + (seed * GOLDEN) % bits) % bits
    x = (x ^ (x // (1 << 16))) * 0x85EBCA6B % bits
    x = (x ^ (x // (1 << 13))) * 0xC2B2AE35 % bits
    return x ^ (x // (1 << 16))


def _require_all_classes(
    data: TrainData, classes: Sequence[str], codes: pl.Series, validates: pl.Series
) -> dict[str, dict[str, int]]:
    rows = pl.DataFrame({CODE: codes, "val": validates}).group_by(CODE).agg(pl.len(), pl.col("val").sum())
    counts = {classes[code]: {"train": total - val, "val": val} for code, total, val in rows.sort(CODE).iter_rows()}
    for name, sides in counts.items():
        if not all(sides.values()):
            where = ", ".join(data.schema.named("entity"))
            raise BadInput(
                f"{data.label}: the rows of class {name!r} cannot be on both sides: they belong to one {where}",
                expected=f"two or more values of {where} with rows of each class",
                do="take more days, merge rare classes, or choose another entity in schema.json",
            )
    return counts


def _frequent(data: TrainData, validates: pl.Series, most: int) -> dict[str, list[str]]:
    """For each text feature its most frequent values in the rows that train, at most `most`, sorted."""
    names = [field.name for field in data.schema.of(data.schema.named("feature")) if field.type == "string"]
    totals = {name: pl.DataFrame(schema={name: pl.String, ROWS: pl.UInt32}) for name in names}
    chunks = data.frames(names) if names else ()
    for chunk, side in with_sides(chunks, validates):
        train = chunk.filter(~side)
        for name in names:
            counts = train.select(pl.col(name).drop_nulls()).group_by(name).agg(pl.len().cast(pl.UInt32).alias(ROWS))
            totals[name] = pl.concat([totals[name], counts]).group_by(name).agg(pl.col(ROWS).sum())
    for name in names:
        if (seen := totals[name].height) > most:
            log.warning("%s: %d values, the %d most frequent are kept, the others count as unseen", name, seen, most)
    return {
        name: sorted(total.sort([ROWS, name], descending=[True, False])[name].head(most))
        for name, total in totals.items()
    }
