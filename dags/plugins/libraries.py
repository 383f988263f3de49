"""A plugin of Airflow: scheduler, Dag processor and triggerer load the libraries of the Dags once, when they start.

A process for each task, and for each look at a Dag file, is a copy of one of these. Without the plugin each copy loads
the libraries again, which is a quarter of the processor time of a short task. Our own files are not kept: they may
change, and each process reads them. If it fails, Airflow logs that and goes on.
"""

import importlib
import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

OURS = "ml"


@hookimpl
def on_starting(component: Any) -> None:
    """A component starts; it has no copies yet."""
    before = set(sys.modules)
    importlib.import_module(OURS)
    for name in sys.modules.keys() - before:
        if name.partition(".")[0] == OURS:
            del sys.modules[name]


class Libraries(AirflowPlugin):
    """Registers the function above."""

    name = "airflow-ml libraries"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - Airflow's name
