"""The tasks that make training rows of raw days: the same in each Dag that trains."""

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.mappedoperator import MappedOperator

from ml.arguments import DS, SHARDS, Argument, flag, option
from ml.assets import PROCESSED, RAW
from ml.operator import StageOperator
from ml.sensor import PartitionSensor
from ml.tasks import stage, stage_of_shards


def prepare_in_shards(shards: PartitionSensor, *labels: Argument) -> list[BaseOperator | MappedOperator]:
    """The tasks `prepare_shards`, one for each shard of the days, and `prepare`, which makes the days of these.

    `labels` say which deliveries of labels count. The Dag's form needs the field `shards`, and those of `prepare_days`.
    """
    parts = stage_of_shards(
        shards,
        "preprocessing prepare",
        [DS, option("days"), *labels, flag("force")],
        uses=[RAW],
        doc="Reads `raw/{ds}`. Writes `shards/{ds}-processed-KofN`: the shard's rows of `processed/{ds}`; the same for "
        "each of the `days`. Skipped if the form's `shards` is 1.",
    )
    return [parts, prepare_days(*labels, SHARDS, after_shards=True)]


def prepare_days(*arguments: Argument, after_shards: bool = False) -> StageOperator:
    """The task `prepare`. `arguments` say which deliveries of labels count; the newest if there are none.

    The Dag's form needs the fields `ds`, `days`, `max_rejected` and `force`.
    """
    return stage(
        "preprocessing prepare",
        [DS, option("days"), *arguments, option("max-rejected"), flag("force")],
        uses=[RAW],
        after_shards=after_shards,
        doc="Reads `raw/{ds}`. Writes `processed/{ds}`: `train_data.csv`, and `rejected.csv` with the reasons; the "
        "same for each of the `days`.",
    )


def split_days(*labels: Argument) -> StageOperator:
    """The task `split`. `labels` are those of `prepare`: another run may have prepared a day with others since.

    The Dag's form needs the fields `ds`, `days`, `min_days`, `val_fraction`, `seed` and `force`.
    """
    return stage(
        "preprocessing split",
        [DS, option("days"), *labels, option("min-days"), option("val-fraction"), option("seed"), flag("force")],
        uses=[RAW, PROCESSED],
        makes=[PROCESSED],
        doc="Reads `train_data.csv` of `processed/{ds}` and of the other `days`. Writes `train.csv`, `val.csv` and "
        "`encoder.json` beside it.",
    )
