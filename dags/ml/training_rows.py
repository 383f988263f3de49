"""The tasks that make training rows of raw days: the same in each Dag that trains."""

from ml.arguments import DS, Argument, flag, option
from ml.assets import PROCESSED, RAW
from ml.operator import StageOperator
from ml.tasks import stage


def prepare_days(*labels: Argument) -> StageOperator:
    """The task `prepare`. `labels` say which deliveries of labels count; the newest if there are none.

    The Dag's form needs the fields `ds`, `days`, `max_rejected` and `force`.
    """
    return stage(
        "preprocessing prepare",
        [DS, option("days"), *labels, option("max-rejected"), flag("force")],
        uses=[RAW],
        doc="Reads `raw/{ds}`. Writes `processed/{ds}`: `train_data.csv`, and `rejected.csv` with the reasons; the "
        "same for each of the `days`.",
    )


def split_days() -> StageOperator:
    """The task `split`.

    The Dag's form needs the fields `ds`, `days`, `min_days`, `val_fraction`, `seed` and `force`.
    """
    return stage(
        "preprocessing split",
        [DS, option("days"), option("min-days"), option("val-fraction"), option("seed"), flag("force")],
        uses=[RAW, PROCESSED],
        makes=[PROCESSED],
        doc="Reads `train_data.csv` of `processed/{ds}` and of the other `days`. Writes `train.csv`, `val.csv` and "
        "`encoder.json` beside it.",
    )
