"""What the Dag files are made of: tasks that run stages, their arguments, the form's fields, the data's names."""

from ml.alerts import scored_by
from ml.arguments import (
    AS_OF,
    BY,
    DS,
    MODEL_PATH,
    OR_LAST,
    fixed,
    fixed_json,
    flag,
    from_result,
    given,
    option,
    option_json,
    page,
    resolved_model,
)
from ml.assets import (
    BACKTESTS,
    COMPARISONS,
    EXPLANATIONS,
    FEATURES,
    LABELS,
    MODELS,
    PLOTS,
    PREDICTIONS,
    PROCESSED,
    RAW,
    REGISTRY,
    REPORTS,
    TUNING,
)
from ml.form import form
from ml.images import image_sizes
from ml.results import deliver_predictions
from ml.rules import read_rules
from ml.shadow import decide_in_shadow, name_shadow, score_in_shadow, shadow_days
from ml.tasks import ask_person, at, dag_defaults, evaluate_again, stage, train_on_breach, wait_for
from ml.training_rows import prepare_days, split_days
from ml.versions import version_field

__all__ = [
    "AS_OF",
    "BACKTESTS",
    "BY",
    "COMPARISONS",
    "DS",
    "EXPLANATIONS",
    "FEATURES",
    "LABELS",
    "MODELS",
    "MODEL_PATH",
    "OR_LAST",
    "PLOTS",
    "PREDICTIONS",
    "PROCESSED",
    "RAW",
    "REGISTRY",
    "REPORTS",
    "TUNING",
    "ask_person",
    "at",
    "dag_defaults",
    "decide_in_shadow",
    "deliver_predictions",
    "evaluate_again",
    "fixed",
    "fixed_json",
    "flag",
    "form",
    "from_result",
    "given",
    "image_sizes",
    "name_shadow",
    "option",
    "option_json",
    "page",
    "prepare_days",
    "read_rules",
    "resolved_model",
    "score_in_shadow",
    "scored_by",
    "shadow_days",
    "split_days",
    "stage",
    "train_on_breach",
    "version_field",
    "wait_for",
]
