"""Puts a version of the model into production: a person's decision.

It has no schedule: trigger it with the reason, and with the number of the version unless it is the challenger. The
form shows the newest versions with their metrics. The next run of `predict` uses this version; while the
Variable `model_path` is set, it has priority. MLflow keeps who, when and why. The Dag `roll_back_model` takes the
promotion back. Reads the registry, writes the registry.
"""

from airflow.sdk import DAG

from ml import BY, REGISTRY, dag_defaults, form, given, option, stage, version_field

with DAG(
    "promote_model",
    description="Puts a version of the model into production",
    doc_md=__doc__,
    schedule=None,
    params={"version": version_field(), **form("reason")},
    max_active_runs=1,
    tags=["ml", "registry"],
    **dag_defaults(),
):
    stage(
        "registry promote",
        [option("version"), BY, given("reason", "--reason TEXT")],
        uses=[REGISTRY],
        makes=[REGISTRY],
        read_only=True,
        doc="Reads the version in MLflow, the challenger if none is named, and checks that it is complete. Writes the "
        "alias `champion`, and who and why.",
    )
