"""Puts the previous model back into production.

It has no schedule: trigger it with the reason. The next run of `predict` uses the previous model; score days again
with `predict` if the withdrawn model scored them. MLflow keeps who, when and why. Reads the registry, writes the
registry.
"""

from airflow.sdk import DAG

from ml import BY, REGISTRY, dag_defaults, form, given, stage

with DAG(
    "roll_back_model",
    description="Puts the previous model back into production",
    doc_md=__doc__,
    schedule=None,
    params=form("reason"),
    max_active_runs=1,
    tags=["ml", "registry"],
    **dag_defaults(),
):
    stage(
        "registry roll-back",
        [BY, given("reason", "--reason TEXT")],
        uses=[REGISTRY],
        makes=[REGISTRY],
        read_only=True,
        doc="Reads who was in production before. Writes the alias `champion`, and who and why.",
    )
