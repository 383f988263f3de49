"""Emulates the day's delivery: card payments, and whether each was a fraud.

Runs daily at 01:00 UTC, before everything that reads the data. Writes `raw/{ds}`: `data.csv`, `target.csv` and
`schema.json`, which describes both; with the form's `label_delay`, the labels come so many days later. The same day
and seed give the same bytes, however often it runs.

A feed of your own takes this Dag's place: publish its three files with `preprocessing import`, and pause this Dag.
"""

from airflow.sdk import DAG

from ml import DS, RAW, at, dag_defaults, flag, form, option, stage

with DAG(
    "generate_data",
    description="Emulates the day's delivery of raw data",
    doc_md=__doc__,
    schedule=at("0 1 * * *"),
    params=form("ds", "rows", "seed", "label_delay", "force"),
    max_active_runs=3,
    tags=["ml", "data"],
    **dag_defaults(),
):
    stage(
        "generator",
        [DS, option("rows"), option("seed"), option("label-delay"), flag("force")],
        task_id="generate",
        makes=[RAW],
        doc="Reads nothing. Writes `raw/{ds}`: `data.csv`, `target.csv`, `schema.json`; with a label delay, the "
        "`target.csv` of the day so many days before.",
    )
