"""Alerts: one message for each failure, breach and missed deadline; what every Dag needs of them."""

from ml.alerts.callbacks import run_failed, task_done, task_failed
from ml.alerts.deadline import scored_by

__all__ = ["run_failed", "scored_by", "task_done", "task_failed"]
