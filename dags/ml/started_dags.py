"""Tasks that start another Dag: a training after a breach, `monitor` after late labels. They do no work on data."""

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException
from airflow.utils.state import DagRunState


class TrainOnBreach(TriggerDagRunOperator):
    """Starts `train_model` for a day, once; skipped if there is no breach, or if the form does not ask for it.

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
            raise AirflowSkipException("there is no breach")
        texts = "; ".join(breaches)
        if not context["params"]["retrain"]:
            raise AirflowSkipException(f"`retrain` is not ticked, so no training starts; breaches: {texts}")
        self.log.info("Starting %s as %s: %s", self.trigger_dag_id, self.trigger_run_id, texts)
        super().execute(context)


class EvaluateAgain(TriggerDagRunOperator):
    """Starts `monitor` for the first day that has no run for its labels yet, waits, and looks for the next one.

    A run is named after the day and its labels, so the same labels start one run, however often this task runs: a day
    that cannot be evaluated sends one alert, that of its own run. The task waits without a worker.

    :param late: the task whose result has the `days`, the oldest first, each with `ds` and `labels`, and `shards` if
        it has some
    """

    def __init__(self, *, late: str, **kwargs: Any) -> None:
        super().__init__(
            task_id="evaluate_again",
            trigger_dag_id="monitor",
            logical_date=None,
            wait_for_completion=True,
            deferrable=True,
            poke_interval=5,
            # What failed has sent its own alert, and the other days need their turn.
            allowed_states=[DagRunState.SUCCESS, DagRunState.FAILED],
            failed_states=[],
            skip_when_already_exists=True,
            fail_when_dag_is_paused=True,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.late = late

    def execute(self, context: Context) -> None:
        """Errors: DagIsPaused if `monitor` is paused; DagRunTriggerException, with which Airflow starts the run."""
        days = context["ti"].xcom_pull(self.late)["days"]
        for day in days:
            run_id = f"labels__{day['ds']}__{day['labels']}"
            if not context["ti"].get_dr_count(self.trigger_dag_id, run_ids=[run_id]):
                # A breach of the newest day may start a training; those of older days would start one each.
                retrain = {} if day is days[-1] else {"retrain": False}
                shards = {"shards": day["shards"]} if "shards" in day else {}
                self.trigger_run_id, self.conf = run_id, {"ds": day["ds"], **shards, **retrain}
                super().execute(context)
        self.log.info("Each of %d days has its run", len(days))

    def execute_complete(self, context: Context, event: tuple[str, Mapping[str, Any]]) -> None:  # noqa: ARG002
        """The run has ended; on with the next day."""
        self.execute(context)
