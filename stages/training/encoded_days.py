"""The rows of the days of a backtest, as `preprocessing encode-days` writes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from stagekit import BadInput, Partition
from stagekit.contract import CATEGORY, Encoder

from lightgbm_tables import read_rows


@dataclass(frozen=True)
class DayRows:
    """The rows of a day, one entry each.

    `known`: when the label was known, in days since 1970-01-01; `group`: a 32-bit hash of the entity; `codes`: of the
    classes; `weights`: of doubles, None if rows count alike; `features`: doubles of shape (rows, features), NaN if
    missing.
    """

    known: Any
    group: Any
    codes: Any
    weights: Any
    features: Any


class EncodedDays:
    """The days of a partition. One day is read at a time."""

    def __init__(self, partition: Partition, encoder: Encoder) -> None:
        self._partition, self._encoder, self.days = partition, encoder, encoder.days
        self.classes = len(encoder.classes)
        self.categories = [place for place, feature in enumerate(encoder.features) if feature.kind == CATEGORY]

    def read(self, day: str) -> DayRows:
        """The rows of a day. Errors: BadInput if the file is not what the encoder describes."""
        file = f"{day}.csv"
        weighted = self._encoder.weight is not None
        columns = 3 + weighted + len(self._encoder.features)
        count = self._partition.rows(file) or 0
        try:
            table = read_rows(self._partition / file, count, columns) if count else np.empty((0, columns))
            codes = table[:, 2].astype(np.int32)
            if table.shape != (count, columns) or not np.isin(table[:, 2], np.arange(self.classes)).all():
                raise ValueError(f"a table of shape {table.shape}")
        except (ValueError, IndexError) as error:
            raise BadInput(
                f"{self._partition.name}/{file} is not what encoder.json describes ({error})",
                expected=f"{count} rows of {columns} numbers, with the target 0 to {self.classes - 1}",
                do="run `preprocessing encode-days` again with --force",
            ) from None
        return DayRows(
            known=table[:, 0].astype(np.int32),
            group=table[:, 1].astype(np.uint64),
            codes=codes,
            weights=table[:, 3] if weighted else None,
            features=table[:, 3 + weighted :],
        )
