"""Scores the day's data with the model in production.

Runs daily at 03:00 UTC, after the data and, on Sundays, the new model; waits for data that is late. Reads `raw/{ds}`
and the model; writes `features/{ds}` and `predictions/{ds}`. The model is the one that the Variable `model_path`
names, such as `models/2026-11-15`; unset, it is the newest validated one. `resolve` settles it once for the whole
run: a change of the Variable counts from the next run on.
"""

from airflow.sdk import DAG

from ml import (
    DS,
    FEATURES,
    MODEL_IN_PRODUCTION,
    MODELS,
    PREDICTIONS,
    RAW,
    at,
    dag_defaults,
    form,
    option,
    resolved_model,
    stage,
    wait_for,
)

with DAG(
    "predict",
    description="Scores the day's data with the model in production",
    doc_md=__doc__,
    schedule=at("0 3 * * *"),
    params=form("ds", "wait_hours", "max_rejected"),
    max_active_runs=3,
    tags=["ml", "prediction"],
    **dag_defaults(),
):
    wait_for_raw = wait_for(RAW)
    resolve = stage(
        "prediction resolve",
        [MODEL_IN_PRODUCTION],
        uses=[MODELS],
        read_only=True,
        doc="Reads `models`. Writes nothing; its result names the model of this run.",
    )
    model = resolved_model(resolve)
    prepare = stage(
        "preprocessing prepare",
        [DS, model, option("max-rejected")],
        uses=[RAW],
        makes=[FEATURES],
        doc="Reads `raw/{ds}` and the model's encoder. Writes `features/{ds}`: `features.csv`, `rejected.csv`.",
    )
    predict = stage(
        "prediction predict",
        [DS, model],
        uses=[FEATURES, MODELS],
        makes=[PREDICTIONS],
        doc="Reads `features/{ds}` and the model. Writes `predictions/{ds}`: `predictions.csv`.",
    )

    wait_for_raw >> resolve >> prepare >> predict
