"""Which prepared rows train and which validate; the encoder is fitted to the rows that train.

All rows of a group are on one side: a group is all rows of an entity, or, in a schema without entities, of a key. A
group is known by a 32-bit hash of its text; if two hashes are equal, their groups share a side, which does no harm.
Per class, the rarest first, groups are taken in an order shuffled by the seed until validation has its fraction of
the class's rows, to the nearest group. So each class has its fraction, and no group is on both sides.

With the rows of several days, only rows of the last day validate, and only earlier rows train: the model is measured
on a day that came after all that it learned from. The fraction bounds what this costs. Groups of the last day validate
until their rows, of all days, are that fraction of the window. Their earlier rows are on no side, as are the rows of
the last day that do not validate.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from stagekit import BadInput, Publication
from stagekit.contract import CATEGORY, Encoder, write_encoder

from checks import positive_class
from csv_input import TEXT, Block
from csv_output import CsvWriter, texts_of
from encoder import fit_encoder
from feature_numbers import code_of, encode
from free_text import is_free_text
from parallel import in_order
from prepared_table import GROUP, PreparedTable, TrainData

log = logging.getLogger(__name__)

CODE, ROWS, ALL = "\0code", "\0rows", "\0all"
# The side of a row.
TRAINS, VALIDATES, NO_SIDE = 0, 1, 2
SHOWN_CLASSES = 10
# A date of this or the last century, such as 2026-11-21 or T20261121-0042.
DATE = r"(?:^|\D)(?:19|20)\d\d([-./_]?)(?:0[1-9]|1[0-2])[-./_]?(?:0[1-9]|[12]\d|3[01])"
GOLDEN = 0x9E3779B9  # spreads small seeds over 32 bits


@dataclass(frozen=True)
class SplitRules:
    """Which fraction of the rows validates, the seed that decides which rows, and how many categories are kept."""

    fraction: float
    seed: int
    most_categories: int


def split_tables(tables: Mapping[str, PreparedTable], rules: SplitRules, publication: Publication) -> dict[str, Any]:
    """Write train.csv, val.csv, val_data.csv and encoder.json; returns what the result line says.

    `tables` are the prepared days, in order. Errors: BadInput if a class cannot be on both sides.
    """
    data = TrainData(list(tables.values()), publication.scratch / "rows")
    table = data.table
    classes = with_positive_last(_classes(data), table)
    codes, sides = _choose_rows(data, classes, rules)
    counts = _require_all_classes(data, classes, codes, sides)
    encoder = fit_encoder(table.schema, classes, _frequent(data, sides, rules.most_categories))
    if len(tables) > 1:
        encoder = replace(encoder, days=tuple(tables))
    write_encoder(publication.path("encoder.json"), encoder)
    publication.rows = _write_sides(data, sides, encoder, publication)
    rows = {name: sum(of_side.values()) for name, of_side in counts.items()}
    return {
        "train_rows": publication.rows["train.csv"],
        "val_rows": publication.rows["val.csv"],
        **({"no_side": int((sides == NO_SIDE).sum())} if data.earlier else {}),
        "features": len(encoder.features),
        "classes": counts,
        "categories": {f.name: len(f.values) for f in encoder.features if f.kind == CATEGORY},
        **({"warnings": warnings} if (warnings := [*on_positive_class(table, rows), *_on_keys(table)]) else {}),
    }


def on_positive_class(table: PreparedTable, rows: Mapping[str, int]) -> Iterator[str]:
    """The warning on a positive class that nobody has named, if it is the more frequent one of two.

    `rows` has the number of rows of each class, the positive class last.
    """
    field = table.schema.of([table.target])[0]
    if field.positive_class is not None or len(rows) != 2:
        return
    rare, positive = rows
    if rows[positive] <= rows[rare]:
        return
    shares = {name: f"{name!r} ({number / sum(rows.values()):.1%})" for name, number in rows.items()}
    as_json = {name: json.dumps(name, ensure_ascii=False) if field.type == "string" else name for name in rows}
    yield (
        f"the positive class of {field.name} is {shares[positive]}, because it comes after {shares[rare]} and "
        f"schema.json names none: all figures and the gate are about it. Add the one to be found to {field.name} in "
        f'schema.json: "positiveClass": {as_json[rare]}, or {as_json[positive]}'
    )


def _on_keys(table: PreparedTable) -> list[str]:
    """The warnings on keys with a time that nothing else has."""
    if table.schema.named("time"):
        return []
    keys = table.first_keys()
    fields = table.schema.of(keys.columns)
    timed = [f.name for f in fields if f.type in ("date", "datetime") or keys[f.name].str.contains(DATE).all()]
    return [
        f"each value of the key {name} has a date, and no field has the role time: what the time says is not used, and "
        "rows of one time both train and validate. Add the time as a field of its own with the role time"
        for name in timed
    ]


def _write_sides(data: TrainData, sides: pl.Series, encoder: Encoder, publication: Publication) -> dict[str, int]:
    """Write the encoded rows of both sides, and the raw values of those that validate; returns the rows by file."""
    first = [code_of(encoder.target, encoder.classes), *data.table.schema.named("weight")]

    def work(part: tuple[pl.DataFrame, Block, pl.Series]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        rows, block, side = part
        encoded, chosen = encode(encoder, rows, first), side == VALIDATES
        texts = data.table.texts(block).filter(chosen) if chosen.any() else pl.Series(TEXT, dtype=pl.String)
        return encoded.filter(side == TRAINS), encoded.filter(chosen), texts.to_frame()

    parts = _with_sides(zip(data.frames(), data.blocks(), strict=True), sides)
    train, val = CsvWriter(publication.path("train.csv")), CsvWriter(publication.path("val.csv"))
    with train, val, publication.path("val_data.csv").open("wb", buffering=0) as val_data:
        val_data.write(data.table.header_line)
        for in_train, in_val, texts in in_order(work, parts):
            train.write(in_train)
            val.write(in_val)
            texts.write_csv(val_data, include_header=False, quote_style="never")
    return {"train.csv": train.rows, "val.csv": val.rows, "val_data.csv": val.rows}


def _choose_rows(data: TrainData, classes: Sequence[str], rules: SplitRules) -> tuple[pl.Series, pl.Series]:
    """The target's code of each row, and its side, in the order of the rows."""
    target = data.table.target
    groups = pl.concat(frame.to_series() for frame in data.frames([GROUP]))
    codes = pl.concat(frame.select(code_of(target, classes)).to_series() for frame in data.frames([target]))
    if not data.earlier:
        chosen = choose_groups(groups, codes, rules.fraction, rules.seed)
        return codes, groups.is_in(chosen.implode()).cast(pl.UInt8)
    return codes, sides_in_time(groups, codes, data.earlier, rules)


def sides_in_time(groups: pl.Series, codes: pl.Series, earlier: int, rules: SplitRules) -> pl.Series:
    """The side of each row of several days; the first rows, `earlier` of them, are of the days before the last."""
    last = pl.select(pl.int_range(groups.len()) >= earlier).to_series()
    chosen = groups.is_in(groups.filter(last).implode())
    fraction = rules.fraction * groups.len() / chosen.sum()
    if fraction < 1:
        few = choose_groups(groups.filter(chosen), codes.filter(chosen), fraction, rules.seed)
        chosen = groups.is_in(few.implode())
    side = pl.when(last & chosen).then(VALIDATES).when(last | chosen).then(NO_SIDE).otherwise(TRAINS)
    return pl.select(side.cast(pl.UInt8)).to_series()


def _classes(data: TrainData) -> list[str]:
    counts: Counter[str] = Counter()
    label, target = data.label, data.table.target
    for frame in data.frames([target]):
        counts.update(dict(frame.to_series().value_counts().iter_rows()))
    if len(counts) < 2:
        raise BadInput(
            f"{label} has only one class: {target} is {next(iter(counts), 'missing')!r} in all rows",
            expected="two classes or more",
            do="take more days, or look at how the target is made",
        )
    if rare := sorted(name for name, rows in counts.items() if rows < 2):
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        raise BadInput(
            f"{label}: of {len(counts)} classes of {target}, these have only one row: {', '.join(rare[:5])}{more}",
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


def with_positive_last(classes: list[str], table: PreparedTable) -> list[str]:
    """The classes, of two the positive one second, if the schema names it.

    Errors: BadInput if the rows do not have that class, or have more than two classes.
    """
    field = table.schema.of([table.target])[0]
    if field.positive_class is None:
        return classes
    value = positive_class(field, f"schema.json, field {field.name!r}")
    positive = texts_of(value)[0]
    if positive not in classes or len(classes) > 2:
        shown = ", ".join(classes[:SHOWN_CLASSES]) + (
            f" and {len(classes) - SHOWN_CLASSES} more" if len(classes) > SHOWN_CLASSES else ""
        )
        raise BadInput(
            f"{table.label}: the classes of {field.name} are {shown}, and positiveClass is {positive!r}",
            expected="two classes, of which it is one",
            do="correct or remove positiveClass in schema.json",
        )
    return [name for name in classes if name != positive] + [positive]


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
    data: TrainData, classes: Sequence[str], codes: pl.Series, sides: pl.Series
) -> dict[str, dict[str, int]]:
    """The rows of each class on both sides. Errors: BadInput if a side has no row of a class."""
    on = {"train": (pl.col("side") == TRAINS).sum(), "val": (pl.col("side") == VALIDATES).sum()}
    rows = pl.DataFrame({CODE: codes, "side": sides}).group_by(CODE).agg(**on).sort(CODE)
    counts = {classes[code]: {"train": train, "val": val} for code, train, val in rows.iter_rows()}
    for name, of_class in counts.items():
        if not all(of_class.values()) and data.earlier:
            raise BadInput(
                f"{data.label}: class {name!r} has {of_class['train']:,} rows that train, "
                f"and {of_class['val']:,} of the last day that validate",
                expected="rows of each class on both sides",
                do="take another number of --days, or merge rare classes",
            )
        if not all(of_class.values()):
            where = ", ".join(data.table.schema.named("entity"))
            raise BadInput(
                f"{data.label}: the rows of class {name!r} cannot be on both sides: they belong to one {where}",
                expected=f"two or more values of {where} with rows of each class",
                do="take more days, merge rare classes, or choose another entity in schema.json",
            )
    return counts


def _frequent(data: TrainData, sides: pl.Series, most: int) -> dict[str, list[str]]:
    """For each text feature its most frequent values in the rows that train, at most `most`, sorted."""
    schema = data.table.schema
    names = [field.name for field in schema.of(schema.named("feature")) if field.type == "string"]
    # ROWS that train, and ALL rows.
    totals = {name: pl.DataFrame(schema={name: pl.String, ROWS: pl.UInt32, ALL: pl.UInt32}) for name in names}
    frames = data.frames(names) if names else iter(())
    for rows, side in _with_sides(((frame,) for frame in frames), sides):
        trains = (side == TRAINS).alias(ROWS).cast(pl.UInt32)
        for name in names:
            # A frame of its own, because a query on a frame looks at all of its columns.
            counted = pl.DataFrame([rows[name], trains]).with_columns(pl.lit(1, pl.UInt32).alias(ALL))
            counts = counted.drop_nulls(name).group_by(name).sum()
            totals[name] = pl.concat([totals[name], counts]).group_by(name).sum()
    for name in names:
        _require_categories(name, totals[name], data.label)
        totals[name] = totals[name].filter(pl.col(ROWS) > 0)
        if (seen := totals[name].height) > most:
            log.warning("%s: %d values, the %d most frequent are kept, the others count as unseen", name, seen, most)
    return {
        name: sorted(total.sort([ROWS, name], descending=[True, False])[name].head(most))
        for name, total in totals.items()
    }


def _require_categories(name: str, counts: pl.DataFrame, label: str) -> None:
    """Errors: BadInput if a text feature has free texts. `counts` has the number of rows (ALL) of each text."""
    rows, characters = counts[ALL].sum(), (counts[name].str.len_chars() * counts[ALL]).sum()
    if is_free_text(rows, counts.height, characters):
        raise BadInput(
            f"{label}: the feature {name!r} has {counts.height:,} different texts in {rows:,} rows, "
            f"of {characters / rows:.0f} characters on average",
            expected="a text with values that repeat, because the model knows each value or none of it",
            do=f"give {name} the role ignore in schema.json, or deliver categories made from it",
        )


def _with_sides(parts: Iterable[tuple[Any, ...]], sides: pl.Series) -> Iterator[tuple[Any, ...]]:
    """Each part, whose first item is a frame, with the sides of the frame's rows."""
    offset = 0
    for part in parts:
        yield *part, sides.slice(offset, part[0].height)
        offset += part[0].height
