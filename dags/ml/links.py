"""Addresses of pages: a run in Airflow; and what a task made: the day's report, the run or version in MLflow.

Reads: ML_REPORTS_PAGE and ML_MLFLOW_PAGE where the task runs, and its result line. Writes nothing. Airflow keeps the
links in the database when the task ends, so that its page needs neither this code nor a plugin.
"""

import os
from collections.abc import Mapping
from typing import Any
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


def report_page(result: Mapping[str, Any], page: str) -> str:
    """The page of the day; '' if the result names no partition of reports."""
    folder, _, day = str(result.get("partition") or "").partition("/")
    return f"{page}/{quote(day, safe='')}/" if folder == "reports" and day else ""


def mlflow_page(result: Mapping[str, Any], page: str) -> str:
    """The page of the model's version, or else of the run; '' if the result names neither."""
    if version := result.get("version"):
        name = result.get("name") or setting("ML_MODEL_NAME")
        return f"{page}/#/models/{quote(str(name), safe='')}/versions/{quote(str(version), safe='')}"
    run = result.get("run_id")
    return f"{page}/#/runs/{quote(str(run), safe='')}" if run else ""


PAGES = {"report": ("Report", "ML_REPORTS_PAGE", report_page), "registry": ("MLflow", "ML_MLFLOW_PAGE", mlflow_page)}


@attrs.define()
class StageLink(BaseOperatorLink):
    """One link of a stage's tasks; greyed out until the task has made what it leads to."""

    stage: str

    @property
    def name(self) -> str:
        return PAGES[self.stage][0]

    @property
    def xcom_key(self) -> str:
        return f"_link_{self.name}"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - the parent's
        """The address; '' if the page's own address is not set, or the task did not make what the page shows."""
        _, variable, page_of = PAGES[self.stage]
        page = os.environ.get(variable, "").rstrip("/")
        outcome: Outcome = getattr(operator, "outcome")  # noqa: B009 - of a StageOperator, which imports this module
        return page_of(outcome.result, page) if page else ""


def links_of(stage: str) -> tuple[StageLink, ...]:
    """The links of a stage's tasks; most stages have none."""
    return (StageLink(stage),) if stage in PAGES else ()
