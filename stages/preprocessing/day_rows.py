"""The rows of a raw day: checked by themselves and against each other, then written."""

import polars as pl
from stagekit import Partition, Publication, StageError
from stagekit.contract import Encoder
from stagekit.shards import Shard

from checked_table import CheckedTable, Counts, RawTable, write_rows
from checks import DTYPES
from csv_input import LINE
from deliveries import DATA, delivery, whole_target
from feature_numbers import encode
from keys import BATCH, NO_TARGET, PLACE, compare_keys, join_targets
from spill import Spill
from table_schema import Schema, columns_kept


def new_counts(schema: Schema) -> Counts:
    """The counts of `write_joined`, before any row."""
    missing = [f"{name}: missing" for name in schema.named("target")]
    return Counts(unlabelled_kinds=[NO_TARGET, *missing], labels_are_partial=schema.labels_are_partial)


def write_joined(
    raw: Partition, schema: Schema, publication: Publication, counts: Counts, shard: Shard | None = None
) -> None:
    """Write train_data.csv, the good rows of data.csv with their targets, and rejected.csv; those of a shard alone."""
    data = _data(raw, schema, schema.named("key", "entity", "weight"), shard)
    target = _target(raw, schema, publication, shard)
    checked = CheckedTable(data, publication.scratch / "data", data.parts)
    of_target = CheckedTable(target, publication.scratch / "target", data.parts)
    names = schema.named("target")
    dtypes = {field.name: DTYPES[field.type] for field in schema.of(names)}
    matches = Spill(publication.scratch / "matches", BATCH, {**PLACE, **dtypes})
    join_targets(checked.keys, of_target.keys, matches)

    def joined(rows: pl.DataFrame, batch: int) -> pl.DataFrame:
        targets = matches.read(batch).sort(LINE)
        if targets.height > rows.height:  # some rows were rejected because a value is not unique
            targets = targets.join(rows, on=LINE, how="semi", maintain_order="left")
        if not targets[LINE].equals(rows[LINE]):
            raise StageError(
                f"{raw.name}: batch {batch} has {rows.height} rows, and {targets.height} of them have a target"
            )
        return rows.hstack(targets.select(names)).select(columns_kept(schema))

    write_rows([checked, of_target], "train_data.csv", publication, joined, counts)


def write_features(
    raw: Partition,
    schema: Schema,
    encoder: Encoder,
    publication: Publication,
    counts: Counts,
    shard: Shard | None = None,
) -> None:
    """Write features.csv, the key, the model's weight and the features of the good rows of data.csv, and rejected.csv.

    Of a shard only its rows are written. Entity and weight of a row may be missing here: they are no features. The
    weight is empty if the day has none.
    """
    data = _data(raw, schema, schema.named("key"), shard)
    checked = CheckedTable(data, publication.scratch / "data", data.parts)
    compare_keys(checked.keys)
    first = [*map(pl.col, encoder.key), *_weight(schema, encoder)]
    write_rows([checked], "features.csv", publication, lambda rows, _: encode(encoder, rows, first), counts)


def _weight(schema: Schema, encoder: Encoder) -> list[pl.Expr]:
    """The weight of the model as a column of the day; none if the model has none."""
    name = encoder.weight
    if name is None:
        return []
    return [pl.col(name) if name == schema.weight else pl.lit(None, pl.Float64).alias(name)]


def _data(raw: Partition, schema: Schema, required: list[str], shard: Shard | None) -> RawTable:
    label, delivered = f"{raw.name}/{DATA}", [delivery(raw, DATA)]
    return RawTable(raw / DATA, label, schema, schema.data_columns, required, delivered, shard=shard)


def _target(raw: Partition, schema: Schema, publication: Publication, shard: Shard | None) -> RawTable:
    names = schema.target_columns
    path, delivered = whole_target(raw, names, publication.scratch)
    return RawTable(path, f"{raw.name}/target.csv", schema, names, names, delivered, shard=shard)
