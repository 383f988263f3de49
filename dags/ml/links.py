"""Links from a task's page to what the task made: the day's report, and the run or version in MLflow.

Reads: ML_REPORTS_PAGE and ML_MLFLOW_PAGE where the task runs, and its result line. Writes nothing. Airflow keeps the
links in the database when the task ends, so that its page needs neither this code nor a plugin.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs
from airflow.sdk import BaseOperator, BaseOperatorLink

from ml.outcome import Outcome


def report_page(result: Mapping[str, Any], page: str) -> str:
    """The page of the day; '' where the result names none."""
    day = result.get("ds")
    return f"{page}/{quote(str(day), safe='')}/" if day and result.get("command") == "page" else ""


def mlflow_page(result: Mapping[str, Any], page: str) -> str:
    """The page of the model's version, or else of the run; '' where the result names neither."""
    if version := result.get("version"):
        name = result.get("name") or os.environ.get("ML_MODEL_NAME") or "airflow-ml"
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
        """The address; '' where the page's own is not set, or the task did not make what it would show."""
        _, variable, page_of = PAGES[self.stage]
        page = os.environ.get(variable, "").rstrip("/")
        outcome: Outcome = getattr(operator, "outcome")  # noqa: B009 - of a StageOperator, which imports this module
        return page_of(outcome.result, page) if page else ""


def links_of(stage: str) -> tuple[StageLink, ...]:
    """The links of a stage's tasks; most stages have none."""
    return (StageLink(stage),) if stage in PAGES else ()
