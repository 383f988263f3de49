"""EvaluateAgain: starts `monitor` for the days whose labels came late, one after the other. It does no work on data."""

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.utils.state import DagRunState


class EvaluateAgain(TriggerDagRunOperator):
    """Starts `monitor` for the first day that has no run for its labels yet, waits, and looks for the next one.

    A run is named after the day and its labels, so the same labels start one run, however often this task runs: a day
    that cannot be evaluated sends one alert, that of its own run. The task waits without a worker.

    :param late: the task whose result has the `days`, each with `ds` and `labels`, the oldest first
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
                self.trigger_run_id, self.conf = run_id, {"ds": day["ds"], **retrain}
                super().execute(context)
        self.log.info("Each of %d days has its run", len(days))

    def execute_complete(self, context: Context, event: tuple[str, Mapping[str, Any]]) -> None:  # noqa: ARG002
        """The run has ended; on with the next day."""
        self.execute(context)
