"""TrainOnBreach: starts a training if a breach of a day is confirmed. It does no work on data."""

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException


class TrainOnBreach(TriggerDagRunOperator):
    """Starts `train_model` for a day, once; skipped if no breach is confirmed, or if the form does not ask for it.

    :param confirm: the task whose result has the `breaches`
    :param day: the day to train on (templated)
    """

    def __init__(self, *, confirm: str, day: str, **kwargs: Any) -> None:
        super().__init__(
            task_id="retrain",
            trigger_dag_id="train_model",
            trigger_run_id=f"breach__{day}",
            conf={"ds": day},
            logical_date=None,
            skip_when_already_exists=True,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.confirm = confirm

    def execute(self, context: Context) -> None:
        """Errors: AirflowSkipException if there is nothing to start."""
        breaches = (context["ti"].xcom_pull(self.confirm) or {}).get("breaches") or []
        if not breaches:
            raise AirflowSkipException("no breach is confirmed")
        texts = "; ".join(breaches)
        if not context["params"]["retrain"]:
            raise AirflowSkipException(f"`retrain` is not ticked, so no training starts; breaches: {texts}")
        self.log.info("Starting %s as %s: %s", self.trigger_dag_id, self.trigger_run_id, texts)
        super().execute(context)
