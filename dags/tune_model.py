"""Searches parameters of the model on the data of one day or several.

It has no schedule: trigger it, with a number of trials. `prepare` and `split` are those of `train_model`, and are not
done again if it has done them. `tune` looks at the rows that train and at none that validate, so the figures of a
model stay honest. Reads `raw/{ds}`; writes `processed/{ds}` and `tuning/{ds}`. `train_model` takes the parameters if
its form says how old a tuning may be. A search that is killed continues with the next try.
"""

from airflow.sdk import DAG

from ml import DS, PROCESSED, RAW, TUNING, dag_defaults, flag, form, option, prepare_days, split_days, stage, wait_for

with DAG(
    "tune_model",
    description="Searches parameters of the model",
    doc_md=__doc__,
    schedule=None,
    params=form(
        *("ds", "days", "min_days", "as_of", "trials", "minutes", "search_seed"),
        *("wait_hours", "max_rejected", "val_fraction", "seed", "force"),
        seed="split_seed",
        as_of="labels_as_of",
    ),
    max_active_runs=1,
    tags=["ml", "training"],
    **dag_defaults(),
):
    wait_for_raw = wait_for(RAW)
    prepare = prepare_days(option("as-of"))
    split = split_days(option("as-of"))
    tune = stage(
        "tuning",
        [DS, option("trials"), option("minutes"), option("seed", "search_seed"), option("as-of"), flag("force")],
        task_id="tune",
        uses=[PROCESSED],
        makes=[TUNING],
        hours=6,
        doc="Reads `train.csv` of `processed/{ds}`. Writes `tuning/{ds}`: every trial, and the best parameters.",
    )

    wait_for_raw >> prepare >> split >> tune
