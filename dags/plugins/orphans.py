"""A plugin of Airflow: whenever a run starts or ends, the containers whose task has ended are removed.

A task removes its own container. This is for one that could not: its worker was killed in its last try, or a person
marked it before the triggerer had begun to wait. The scheduler calls it. If it fails, the scheduler logs that and goes
on.
"""

import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from sqlalchemy.orm import object_session


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """A run has started."""
    _remove_orphans(dag_run)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """A run has ended well."""
    _remove_orphans(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """A run has failed."""
    _remove_orphans(dag_run)


def _remove_orphans(dag_run: Any) -> None:
    # Here, because every process of Airflow loads this file, and the package loads the operators.
    from ml.orphans import remove_orphans

    if session := object_session(dag_run):
        remove_orphans(session)


class Orphans(AirflowPlugin):
    """Registers the functions above."""

    name = "airflow-ml orphans"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - Airflow's name
