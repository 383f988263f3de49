"""Writes prepared days as numbers, so that nothing in a row follows from a later day.

A file of a day has the columns `known` (days since 1970-01-01), `group` (a 32-bit hash of the row's entity), the code
of the target, the weight if there is one, and the features. A category has its code from the first day that has it, so
values that only later days have move no code. Days are read one at a time, block by block, twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import polars as pl
from stagekit import Publication
from stagekit.contract import Encoder, write_document, write_encoder

from checks import FieldChecks, convert
from csv_input import CsvFile
from csv_output import CsvWriter
from delivered_day import Delivered
from encoder import fit_encoder
from feature_numbers import code_of, encode
from prepared_table import GROUP, PreparedTable, hashes
from splitting import on_positive_class, sort_classes, with_positive_last
from table_schema import MOST_CATEGORIES, Schema
from window import PreparedDay

LEFT_OUT, KNOWN, CLASS, EPOCH = "left_out.json", "known", "\0class", date(1970, 1, 1)


def encode_each_day(
    days: Mapping[str, Delivered], left_out: Mapping[str, str], publication: Publication
) -> tuple[dict[str, int], list[str]]:
    """Write a file for each day, encoder.json, and left_out.json; returns the rows of each class, and warnings."""
    tables = {ds: _table(one.day) for ds, one in days.items()}
    counts, encoder = _fit(tables)
    write_encoder(publication.path("encoder.json"), encoder)
    write_document(publication.path(LEFT_OUT), left_out)
    for ds, table in tables.items():
        known = _Known(days[ds], table.schema)
        with CsvWriter(publication.path(f"{ds}.csv")) as file:
            for block in table.blocks():
                rows = table.typed(block)
                first = [
                    known.of(table.keys(block)),
                    hashes(rows[GROUP]).alias("group"),
                    code_of(encoder.target, encoder.classes).alias(encoder.target),
                    *(pl.col(name).cast(pl.Float64) for name in table.schema.named("weight")),
                ]
                file.write(encode(encoder, rows, first))
        publication.rows[f"{ds}.csv"] = file.rows
    return counts, list(on_positive_class(table, counts))


def in_order_of_appearance(counts: Sequence[Mapping[str, int]], most: int) -> tuple[str, ...]:
    """The texts of a field by day, in the order of the first day that has each; of one day, the most frequent first.

    `counts` has the rows of each text, for each day. At most `most` are kept: the first.
    """
    found: dict[str, None] = {}
    for of_day in counts:
        found |= dict.fromkeys(sorted(of_day, key=lambda name: (-of_day[name], name)))
    return tuple(found)[:most]


def _table(day: PreparedDay) -> PreparedTable:
    return PreparedTable(day.processed / "train_data.csv", f"{day.processed.name}/train_data.csv", day.schema)


def _fit(tables: Mapping[str, PreparedTable]) -> tuple[dict[str, int], Encoder]:
    """The rows of each class, and an encoder that knows the values of all days."""
    last = list(tables.values())[-1]
    texts = [field.name for field in last.schema.of(last.schema.named("feature")) if field.type == "string"]
    classes: Counter[str] = Counter()
    values: dict[str, list[Counter[str]]] = {name: [] for name in texts}
    for table in tables.values():
        for name in texts:
            values[name].append(Counter())
        for block in table.blocks():
            rows = table.typed(block)
            classes.update(dict(rows[table.target].value_counts().iter_rows()))
            for name in texts:
                values[name][-1].update(dict(rows[name].drop_nulls().value_counts().iter_rows()))
    names = with_positive_last(sort_classes(classes), last)
    kept = {name: in_order_of_appearance(values[name], MOST_CATEGORIES) for name in texts}
    encoder = replace(fit_encoder(last.schema, names, kept), days=tuple(tables))
    return {name: classes[name] for name in names}, encoder


class _Known:
    """The day on which the label of a row was known, in days since 1970-01-01."""

    def __init__(self, delivered: Delivered, schema: Schema) -> None:
        self._fields = [field.as_written() for field in schema.of(schema.named("key"))]
        days = {file: (day - EPOCH).days for file, day in delivered.known.items()}
        self._latest = max(days.values())
        self._by_key: pl.DataFrame | None = None
        if len(set(days.values())) > 1:
            names = [field.name for field in self._fields]
            since, is_same = pl.col(KNOWN), pl.col(CLASS).first() == pl.col(CLASS).last()
            kept = [pl.col(CLASS).last(), pl.when(is_same).then(since.first()).otherwise(since.last())]
            known: pl.DataFrame | None = None
            for file, day in days.items():
                found = _labels(delivered, file, schema).with_columns(pl.lit(day, pl.Int32).alias(KNOWN))
                known = found if known is None else pl.concat([known, found]).group_by(names).agg(kept)
            self._by_key = known.drop(CLASS) if known is not None else None

    def of(self, keys: pl.DataFrame) -> pl.Series:
        """The column `known` of rows with these keys, as texts.

        A label is known from the first delivery after which each one with a usable row of the key has the same class.
        If none is found, the newest delivery of the day counts: no label is used before it was known.
        """
        if self._by_key is None:
            return pl.Series(KNOWN, [self._latest], dtype=pl.Int32).new_from_index(0, keys.height)
        typed = keys.select(convert(field, pl.col(field.name)).alias(field.name) for field in self._fields)
        joined = typed.join(self._by_key, on=typed.columns, how="left", maintain_order="left")
        return joined[KNOWN].fill_null(self._latest)


def _labels(delivered: Delivered, file: str, schema: Schema) -> pl.DataFrame:
    """The keys of a delivery and the class (CLASS) of each, from the rows that `prepare` can use.

    The class is null where labels contradict each other: this delivery has none for the key.
    """
    keys, names = schema.named("key"), schema.target_columns
    checks = FieldChecks(schema.of(names), schema.missing, names, "schema.json")
    label = f"{delivered.labels.name}/{file}"
    labels = CsvFile(delivered.labels / file, label, may_be_empty=True, shows_text=not schema.hides_values)
    columns = [*keys, pl.col(schema.named("target")[0]).alias(CLASS)]
    # Without the texts of the rows, which memory may not hold.
    good = pl.concat(checks.apply(batch).good.select(columns) for batch in labels.batches())
    first = pl.col(CLASS).first()
    return good.group_by(keys, maintain_order=True).agg(pl.when((pl.col(CLASS) == first).all()).then(first))
