"""Addresses of pages: a run in Airflow; and what a task made: the day's report, the run or version in MLflow.

Reads: ML_REPORTS_PAGE and ML_MLFLOW_PAGE where the task runs, and its result line. Writes nothing. Airflow keeps the
links in the database when the task ends, so that its page needs neither this code nor a plugin.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import attrs
from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.configuration import conf

from ml.outcome import Outcome
from ml.settings import setting


def run_page(dag_id: str, run_id: str) -> str:
    """The page of a run in Airflow."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{quote(run_id)}"


def mlflow_page(page: str, *place: object) -> str:
    """A page of MLflow. Without the query MLflow shows it among those of generative AI.

    An address that MLflow leads on to another, such as `#/runs/ID`, loses the query on the way.
    """
    return f"{page}/#/{'/'.join(quote(str(part), safe='') for part in place)}?workflowType=machine_learning"


def model_page(name: str) -> str:
    """The page of the registered model, with its versions; '' if MLflow's page is not known."""
    page = os.environ.get("ML_MLFLOW_PAGE", "").rstrip("/")
    return mlflow_page(page, "models", name) if page else ""


def report_page(result: Mapping[str, Any], page: str) -> str:
    """The page of the day; '' if the result names no partition of reports."""
    folder, _, day = str(result.get("partition") or "").partition("/")
    return f"{page}/{quote(day, safe='')}/" if folder == "reports" and day else ""


def version_page(result: Mapping[str, Any], page: str) -> str:
    """The page of the model's version in MLflow; '' if the result names none."""
    if not (version := result.get("version")):
        return ""
    name = result.get("name") or setting("ML_MODEL_NAME")
    return mlflow_page(page, "models", name, "versions", version)


def run_in_mlflow(result: Mapping[str, Any], page: str) -> str:
    """The page of the model's run in MLflow; '' if the result does not name it and its experiment."""
    experiment, run = result.get("experiment_id"), result.get("run_id")
    return mlflow_page(page, "experiments", experiment, "runs", run) if experiment and run else ""


class Target(NamedTuple):
    """Where a link leads: its name on the button, the variable with the page's address, the address of a result."""

    name: str
    variable: str
    page_of: Callable[[Mapping[str, Any], str], str]


TARGETS: Mapping[str, Sequence[Target]] = {
    "report": [Target("Report", "ML_REPORTS_PAGE", report_page)],
    "registry": [
        Target("MLflow version", "ML_MLFLOW_PAGE", version_page),
        Target("MLflow run", "ML_MLFLOW_PAGE", run_in_mlflow),
    ],
}


@attrs.define()
class StageLink(BaseOperatorLink):
    """One button of a stage's tasks; greyed out until the task has made what it leads to."""

    target: Target

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def xcom_key(self) -> str:
        return f"_link_{self.name}"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - the parent's
        """The address; '' if the page's own address is not set, or the task did not make what the page shows."""
        page = os.environ.get(self.target.variable, "").rstrip("/")
        outcome: Outcome = getattr(operator, "outcome")  # noqa: B009 - of a StageOperator, which imports this module
        return self.target.page_of(outcome.result, page) if page else ""


def links_of(stage: str) -> tuple[StageLink, ...]:
    """The buttons of a stage's tasks; most stages have none."""
    return tuple(map(StageLink, TARGETS.get(stage, ())))
