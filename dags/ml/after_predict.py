"""What becomes of a day's predictions beside predictions.csv: a Parquet file, a table, an object; nothing by default.

Reads ML_EXPORT and ML_PREDICTIONS_FORMAT while the Dag is parsed, so that a Dag shows what it does.
"""

from ml.arguments import DS, fixed
from ml.assets import PREDICTIONS
from ml.operator import StageOperator
from ml.settings import SettingError, setting
from ml.tasks import stage

NO_EXPORT = "none"
OBJECT = "s3://"
CSV, PARQUET = "csv", "parquet"


def deliver_predictions() -> list[StageOperator]:
    """The tasks that come after `predict`: `parquet` and `export`, as the settings say. Errors: SettingError."""
    return [*_parquet(), *_export()]


def _parquet() -> list[StageOperator]:
    wanted = setting("ML_PREDICTIONS_FORMAT")
    if wanted not in (CSV, PARQUET):
        raise SettingError("ML_PREDICTIONS_FORMAT", f"is {wanted!r}")
    if wanted == CSV:
        return []
    doc = "Reads `predictions/{ds}`. Writes `predictions.parquet` beside `predictions.csv`."
    return [stage("exchange parquet", [DS], uses=[PREDICTIONS], doc=doc)]


def _export() -> list[StageOperator]:
    text = setting("ML_EXPORT")
    if text == NO_EXPORT:
        return []
    connection, *place = text.split()
    if len(place) != 1:
        raise SettingError("ML_EXPORT", f"is {text!r}")
    kind = "object" if place[0].startswith(OBJECT) else "table"
    doc = f"Reads `predictions/{{ds}}`. Writes the {kind} `{place[0]}`, in place of what is there of the day."
    where = fixed(kind, place[0])
    return [stage("exchange export", [DS, where], uses=[PREDICTIONS], read_only=True, connection=connection, doc=doc)]
