"""Trains a model on the day's data, checks it in the image that will serve it, and offers it for production.

Runs on Sundays at 02:00 UTC, on that day's data, and waits for it where it is late. Each step is a container of an
image of its own: no step can use another's libraries, and nothing but files below `/data` passes between them. Reads
`raw/{ds}`; writes `processed/{ds}` and `models/{ds}`. A model whose scores differ where it will serve fails `validate`
and is never offered.

The newest validated model is the one in production while the Variable `model_path` is unset. To roll out, or go
back to, a certain one, set it to a path such as `models/2026-11-15`.
"""

from airflow.sdk import DAG

from ml import DS, MODELS, PROCESSED, RAW, at, dag_defaults, form, option, option_json, stage, wait_for

with DAG(
    "train_model",
    description="Trains, validates and offers a model",
    doc_md=__doc__,
    schedule=at("0 2 * * 0"),
    params=form("ds", "wait_hours", "max_rejected", "val_fraction", "seed", "lightgbm"),
    max_active_runs=1,
    tags=["ml", "training"],
    **dag_defaults(),
):
    wait_for_raw = wait_for(RAW)
    prepare = stage(
        "preprocessing prepare",
        [DS, option("max-rejected")],
        uses=[RAW],
        doc="Reads `raw/{ds}`. Writes `processed/{ds}`: `train_data.csv`, and `rejected.csv` with the reasons.",
    )
    split = stage(
        "preprocessing split",
        [DS, option("val-fraction"), option("seed")],
        makes=[PROCESSED],
        doc="Reads `train_data.csv` of `processed/{ds}`. Writes `train.csv`, `val.csv`, `encoder.json` beside it.",
    )
    train = stage(
        "training",
        [DS, option_json("params-json", "lightgbm")],
        task_id="train",
        uses=[PROCESSED],
        hours=6,
        doc="Reads `processed/{ds}`. Writes `models/{ds}`: the model as text, and its own scores of some rows.",
    )
    validate = stage(
        "prediction validate",
        [DS],
        uses=[PROCESSED],
        makes=[MODELS],
        doc="Reads `models/{ds}`, and `val.csv` of `processed/{ds}`. Writes `metrics.json`: the model is validated.",
    )
    offer = stage(
        "prediction offer",
        [DS],
        uses=[MODELS],
        read_only=True,
        doc="Reads `models/{ds}` and the model before it. Writes nothing; its log compares the two.",
    )

    wait_for_raw >> prepare >> split >> train >> validate >> offer
