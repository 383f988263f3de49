"""Which rows of a raw file belong to a shard of its day, and of the labels that came for it."""

from collections.abc import Collection, Sequence

import polars as pl
from stagekit.shards import Shard

from checks import FieldChecks
from csv_input import LINE, OFFSET, TEXT, Batch, Block, CsvFile
from table_schema import Field

UNIT_SEPARATOR = "\x1f"


def hash_sample() -> int:
    """The hash of a text: shards with different ones do not have the same keys."""
    return int(_hash(pl.select(pl.lit("airflow-ml")), ["literal"]).item())


class OwnRows:
    """Chooses the rows of a shard: by a hash of their key, so that rows with equal keys meet, whichever file has them.

    polars' hash is the same in all containers of an image. A row whose key cannot be read, or that has another number
    of fields, belongs to the first shard.
    """

    def __init__(self, shard: Shard, fields: Sequence[Field], missing: Collection[str]) -> None:
        self._shard = shard
        self._key = [field.name for field in fields if field.role == "key"]
        self._values = FieldChecks([field for field in fields if field.role == "key"], missing, (), "schema.json")

    def parse(self, file: CsvFile, block: Block) -> tuple[Batch, int]:
        """The records of a block that belong to the shard, and how many records the block has.

        Only these are read as a whole, if the keys can be read without the rest.
        """
        records = file.look(block, self._key)
        if records is None:
            batch = file.parse(block)
            rejected = batch.rejected if self._shard.number == 1 else batch.rejected.clear()
            own = Batch(_copy(batch.rows.filter(self._own(batch.rows))), rejected, batch.lines)
            return own, batch.rows.height + batch.rejected.height
        own_records = records.filter(self._own(records)).select(LINE, OFFSET, TEXT)
        content = "".join(f"{text}\n" for text in own_records[TEXT].to_list()).encode()
        batch = file.parse(Block(0, content))
        rows = batch.rows.with_columns(own_records[name].gather(batch.rows[LINE]) for name in (LINE, OFFSET))
        rejected = batch.rejected.with_columns(own_records[LINE].gather(batch.rejected[LINE]))
        return Batch(rows, rejected, records.height), records.height

    def _own(self, records: pl.DataFrame) -> pl.Series:
        """Which records belong to the shard."""
        hashes = _hash(self._values.typed(Batch(records, records.clear())), self._key)
        return hashes % self._shard.of == self._shard.number - 1


def _hash(rows: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """A hash of the key of each row; 0, which is in the first shard, if it cannot be read."""
    text = pl.concat_str(pl.col(key).cast(pl.String), separator=UNIT_SEPARATOR)
    return rows.select(pl.when(text.is_null()).then(0).otherwise(text.hash())).to_series()


def _copy(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, without the texts of the others: polars' filter keeps these as long as one row is there."""
    return rows.with_columns(pl.col(pl.String) + "")
