"""A Dag whose worker waits for its long work to the end, so that a test has time to end either of them.

In a file of its own, as each task's process reads the file of its Dag alone.
"""

from datetime import timedelta

from airflow.sdk import DAG

from ml import DS, dag_defaults, form, operator

operator.PATIENCE = timedelta(hours=1)
defaults = dag_defaults()
defaults["default_args"] |= {"retries": 1, "retry_delay": timedelta(seconds=1), "retry_exponential_backoff": 0}

with DAG("alert_held", schedule=None, params=form("ds"), **defaults):
    operator.StageOperator(task_id="probe", stage="generator", command=["--rows=100000000", DS.template])
