"""Dags that fail in each way that causes an alert, or that find a breach. The tests bring the data."""

import json
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from ml import DS, at, dag_defaults, form, read_rules
from ml.alerts.deadline import missed
from ml.operator import StageOperator


def quick() -> dict[str, Any]:
    """What all Dags have in common, except the time between two tries, and their number."""
    defaults = dag_defaults()
    defaults["default_args"] |= {"retries": 1, "retry_delay": timedelta(seconds=1), "retry_exponential_backoff": 0}
    return {**defaults, "params": form("ds"), "max_active_runs": 8}


def probe(stage: str, *arguments: str) -> StageOperator:
    return StageOperator(task_id="probe", stage=stage, command=[*arguments, DS.template])


with DAG("alert_bad_data", schedule=None, **quick()):
    probe("preprocessing", "prepare")

with DAG("alert_memory", schedule=None, **quick()):
    probe("generator").mem_limit = "12m"

with DAG("alert_image", schedule=None, **quick()):
    probe("generator").image_id = "sha256:0"

with DAG("alert_long", schedule=None, **quick()):
    probe("generator", "--rows=100000000")

with DAG("alert_breach", schedule=None, **quick()):
    strict = {**read_rules()["monitoring"], "floors": {"roc_auc": 1}}
    probe("prediction", "confirm", f"--rules-json={json.dumps(strict)}")

LATE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
    interval=timedelta(seconds=1),
    callback=SyncCallback(missed, kwargs={"folder": "nowhere", "due": "00:00"}),
)

with DAG("alert_deadline", schedule=at("* * * * *"), deadline=LATE, **{**quick(), "is_paused_upon_creation": True}):
    probe("generator", "--rows=1000")
