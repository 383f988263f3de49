"""Alerts: one message for each failure, breach, missed deadline and question; what every Dag needs of them."""

from ml.alerts.callbacks import person_asked, run_failed, task_done, task_failed
from ml.alerts.deadline import scored_by

__all__ = ["person_asked", "run_failed", "scored_by", "task_done", "task_failed"]
