"""The tasks of a version in shadow; none unless `shadow_days` of `rules.json` is above 0.

A version that may replace the champion first scores days beside it, and the gate decides on these.
"""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TriggerRule, chain

from ml.arguments import BY, DS, Argument, fixed, fixed_json, flag, from_result, option
from ml.assets import LABELS, MODELS, PREDICTIONS, RAW, REGISTRY, SHADOWS
from ml.operator import StageOperator
from ml.rules import read_rules
from ml.tasks import stage, start_question


def shadow_days() -> list[Argument]:
    """The argument of `decide`: how many days a version is in shadow; none if it is not."""
    days = read_rules()["shadow_days"]
    return [fixed("shadow-days", str(days))] if days else []


def name_shadow() -> list[Argument]:
    """The argument of `resolve` with which it also names the version in shadow; none without shadow days."""
    return [fixed("shadow")] if read_rules()["shadow_days"] else []


def score_in_shadow(resolve: StageOperator) -> list[StageOperator]:
    """The tasks after `predict`, one after the other: the version that `resolve` names scores the day too."""
    if not read_rules()["shadow_days"]:
        return []
    model = from_result(resolve, "model", "shadow_model")
    version = from_result(resolve, "shadow", "shadow_version")
    is_there = (resolve.task_id, "shadow_version")
    features = stage(
        "preprocessing features",
        [DS, model, version, option("max-rejected"), flag("force")],
        task_id="shadow_features",
        uses=[RAW, MODELS],
        only_with=is_there,
        doc="Reads `raw/{ds}` and the encoder of the version in shadow. Writes `shadows/{ds}-v{version}`: "
        "`features.csv`, `rejected.csv`. Skipped if no version is in shadow.",
    )
    predict = stage(
        "prediction predict",
        [
            DS,
            model,
            version,
            from_result(resolve, "model-run-id", "shadow_run_id"),
            from_result(resolve, "model-sha256", "shadow_model_sha256"),
            flag("force"),
        ],
        task_id="shadow_predict",
        uses=[SHADOWS, MODELS],
        makes=[SHADOWS],
        only_with=is_there,
        doc="Reads `shadows/{ds}-v{version}` and the version in shadow. Writes `predictions.csv` beside the features.",
    )
    return [features, predict]


def decide_in_shadow(evaluate: StageOperator, page: StageOperator) -> None:
    """The tasks after `evaluate`: compare on days with labels; if they are enough, decide, or have a person asked.

    The page shows the comparison, and is made without it if the comparison fails.
    """
    rules = read_rules()
    if not rules["shadow_days"]:
        return
    compare = stage(
        "prediction compare-shadow",
        [DS, fixed("days", str(rules["shadow_days"])), fixed_json("rules-json", rules["gate"]), flag("force")],
        uses=[SHADOWS, PREDICTIONS, LABELS, MODELS],
        doc="Reads what the version in shadow and the champion have scored, and the labels. Writes `comparison.json` "
        "of `shadows/{ds}-v{version}`; nothing if no version is in shadow.",
    )
    decide = stage(
        "registry decide-shadow",
        [DS, from_result(compare, "version", "version"), BY],
        uses=[SHADOWS],
        makes=[REGISTRY],
        read_only=True,
        only_with=(compare.task_id, "complete"),
        doc="Reads `comparison.json` of `shadows/{ds}-v{version}`. Writes to MLflow what was decided and why; promotes "
        "what passed. Skipped until enough days have labels.",
    )
    chain(evaluate, compare, decide, start_question(decide))
    shadow_compared = EmptyOperator(
        task_id="shadow_compared",
        trigger_rule=TriggerRule.ALL_DONE,
        doc_md="Waits for `compare_shadow`, whatever becomes of it. Writes nothing.",
    )
    chain(compare, shadow_compared, page)
