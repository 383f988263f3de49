"""Evaluates a scored day: how good the predictions were, how far the data has moved, and a report for people.

Runs daily at 04:00 UTC and waits for the day's predictions. Reads `predictions/{ds}`, `features/{ds}`, `raw/{ds}` and
the model; writes `labels/{ds}` and `reports/{ds}`: `evaluation.json` and the report, `index.html`. Without
`target.csv` it measures only the drift; `monitor_late_labels` runs it again when labels have come. A threshold of
`rules.json` that the day crossed by more than chance explains, alone or together with the days before, sends an alert,
and starts `train_model` for the day if `retrain` is ticked.

A day that `predict` scored in shards is evaluated in as many, if `shards` of the form says so: `label_shards` and
`evaluate_shards` work on the shards, `label` and `evaluate` make the day of them, with the same bytes as without.

With `shadow_days` of `rules.json` above 0, `compare_shadow` compares the version in shadow with the champion on the
labelled days that both have scored. Once they are enough, `decide_shadow` promotes it or keeps it as challenger; if
the form of `train_model` said `ask`, the task `ask` starts `ask_after_shadow`, which asks a person.
"""

from airflow.sdk import DAG

from ml import (
    COMPARISONS,
    DS,
    EXPLANATIONS,
    FEATURES,
    LABELS,
    MODELS,
    PREDICTIONS,
    RAW,
    REGISTRY,
    REPORTS,
    SHADOWS,
    SHARDS,
    at,
    dag_defaults,
    decide_in_shadow,
    fixed_json,
    flag,
    form,
    image_sizes,
    option,
    read_rules,
    setting_of,
    stage,
    stage_of_shards,
    train_on_breach,
    wait_for,
)

with DAG(
    "monitor",
    description="Evaluates a scored day and reports on it",
    doc_md=__doc__,
    schedule=at("0 4 * * *"),
    params=form(
        "ds", "wait_hours", "as_of", "shards", "retrain", "force", as_of="labels_as_of", shards="shards_of_predict"
    ),
    max_active_runs=3,
    tags=["ml", "monitoring"],
    **dag_defaults(),
):
    wait_for_predictions = wait_for(PREDICTIONS, lists_shards=True)
    label_shards = stage_of_shards(
        wait_for_predictions,
        "preprocessing label",
        [DS, option("as-of"), flag("force")],
        uses=[PREDICTIONS, RAW, MODELS],
        doc="Reads what `label` reads. Writes `shards/{ds}-labels-KofN`: the shard's rows of `labels/{ds}`. Skipped if "
        "the form's `shards` is 1.",
    )
    label = stage(
        "preprocessing label",
        [DS, option("as-of"), SHARDS, flag("force")],
        uses=[PREDICTIONS, RAW, MODELS],
        after_shards=True,
        doc="Reads the labels in `raw/{ds}`, and the encoder of the model that `predictions/{ds}` names. Writes "
        "`labels/{ds}`: `labels.csv`, `rejected.csv`; nothing if there is no `target.csv` yet.",
    )
    rules = fixed_json("rules-json", read_rules()["monitoring"])
    evaluate_shards = stage_of_shards(
        wait_for_predictions,
        "prediction evaluate",
        [DS, rules, flag("force")],
        uses=[MODELS],
        doc="Reads the shard's predictions, features and labels in `shards`, and the model. Writes "
        "`shards/{ds}-reports-KofN`: what it counted, and the rows with labels. Skipped if the form's `shards` is 1.",
    )
    evaluate = stage(
        "prediction evaluate",
        [DS, rules, SHARDS, flag("force")],
        uses=[PREDICTIONS, FEATURES, LABELS, MODELS],
        after_shards=True,
        doc="Reads `predictions/{ds}`, `features/{ds}`, `labels/{ds}` and the model. Writes `evaluation.json` of "
        "`reports/{ds}`; its result names the thresholds that were crossed.",
    )
    confirm = stage(
        "prediction confirm",
        [DS, rules, flag("force")],
        uses=[REPORTS],
        doc="Reads `evaluation.json` of `reports/{ds}`, and of days before if the day has too few rows to decide. "
        "Writes `breaches.json` beside it: the thresholds that were crossed by more than chance explains.",
    )
    page_of_day = stage(
        "report page",
        [
            DS,
            fixed_json("images-json", image_sizes()),
            setting_of("airflow-page", "ML_AIRFLOW_PAGE", "URL"),
            setting_of("mlflow-page", "ML_MLFLOW_PAGE", "URL"),
            setting_of("model-name", "ML_MODEL_NAME", "NAME"),
            flag("force"),
        ],
        task_id="page",
        uses=[PREDICTIONS, FEATURES, MODELS, EXPLANATIONS, COMPARISONS, REPORTS, SHADOWS],
        makes=[REPORTS],
        doc="Reads `reports/{ds}` and what led to it. Writes `index.html` beside it, a page that needs no network.",
    )
    log_evaluation = stage(
        "registry log-evaluation",
        [DS],
        uses=[REPORTS],
        makes=[REGISTRY],
        read_only=True,
        doc="Reads `reports/{ds}`. Writes the day's figures and the report to the model's run in MLflow.",
    )
    retrain = train_on_breach(confirm)

    wait_for_predictions >> label_shards >> [label, evaluate_shards] >> evaluate
    evaluate >> confirm >> [page_of_day, retrain]
    page_of_day >> log_evaluation
    decide_in_shadow(evaluate, page_of_day)
