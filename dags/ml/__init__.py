"""What the Dag files are made of: tasks that run stages, their arguments, the form's fields, the data's names."""

from ml.arguments import DS, MODEL_IN_PRODUCTION, option, option_json, resolved_model
from ml.assets import FEATURES, MODELS, PREDICTIONS, PROCESSED, RAW
from ml.form import form
from ml.tasks import at, dag_defaults, stage, wait_for

__all__ = [
    "DS",
    "FEATURES",
    "MODELS",
    "MODEL_IN_PRODUCTION",
    "PREDICTIONS",
    "PROCESSED",
    "RAW",
    "at",
    "dag_defaults",
    "form",
    "option",
    "option_json",
    "resolved_model",
    "stage",
    "wait_for",
]
