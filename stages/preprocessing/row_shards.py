"""Which rows of a raw file belong to a shard of its day."""

from collections.abc import Collection, Sequence
from zlib import crc32

import polars as pl
from stagekit.shards import Shard

from checks import FieldChecks
from csv_input import Batch
from table_schema import Field

UNIT_SEPARATOR = "\x1f"


class OwnRows:
    """Chooses the rows of a shard: by a hash of their key, so that rows with equal keys meet, whichever file has them.

    The hash is the same on every machine. A row whose key cannot be read belongs to the first shard.
    """

    def __init__(self, shard: Shard, fields: Sequence[Field], missing: Collection[str]) -> None:
        self._shard = shard
        self._key = [field.name for field in fields if field.role == "key"]
        self._values = FieldChecks([field for field in fields if field.role == "key"], missing, (), "schema.json")

    def of(self, batch: Batch) -> Batch:
        """The batch with the rows of the shard alone."""
        texts = pl.concat_str(pl.col(self._key).cast(pl.String), separator=UNIT_SEPARATOR)
        keys = self._values.typed(batch).select(texts.cast(pl.Binary)).to_series().to_list()
        own = pl.Series([self._number(key) == self._shard.number for key in keys], dtype=pl.Boolean)
        rejected = batch.rejected if self._shard.number == 1 else batch.rejected.clear()
        return Batch(batch.rows.filter(own), rejected, batch.lines)

    def _number(self, key: bytes | None) -> int:
        return 1 if key is None else 1 + crc32(key) % self._shard.of
