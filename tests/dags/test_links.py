"""Links from a task's page to what the task made."""

from typing import Any

import pytest
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization

from ml.links import links_of
from ml.outcome import Outcome
from tests.dags.runs import Dags

DAY = "2026-11-21"
# Without it, MLflow shows the page among those of generative AI.
ML = "?workflowType=machine_learning"


@pytest.mark.parametrize(
    ("stage", "result", "links"),
    [
        ("report", {"ds": DAY, "partition": f"reports/{DAY}"}, [f"http://reports/{DAY}/"]),
        ("report", {"ds": DAY, "partition": f"plots/{DAY}"}, [""]),
        ("report", {}, [""]),
        (
            "registry",
            {"version": "3", "run_id": "abc", "experiment_id": "7"},
            [f"http://mlflow/#/models/airflow-ml/versions/3{ML}", f"http://mlflow/#/experiments/7/runs/abc{ML}"],
        ),
        (
            "registry",
            {"version": None, "run_id": "abc", "experiment_id": "7"},
            ["", f"http://mlflow/#/experiments/7/runs/abc{ML}"],
        ),
        ("registry", {"version": "3", "run_id": "abc"}, [f"http://mlflow/#/models/airflow-ml/versions/3{ML}", ""]),
        ("registry", {"version": None, "run_id": None}, ["", ""]),
        ("training", {"version": "3"}, []),
    ],
)
def test_links_lead_to_what_the_task_made(
    monkeypatch: pytest.MonkeyPatch, stage: str, result: dict[str, Any], links: list[str]
) -> None:
    monkeypatch.setenv("ML_REPORTS_PAGE", "http://reports/")
    monkeypatch.setenv("ML_MLFLOW_PAGE", "http://mlflow")

    class Task:
        outcome = Outcome("image", result=result)

    task: Any = Task()
    assert [link.get_link(task, ti_key=None) for link in links_of(stage)] == links
    monkeypatch.delenv("ML_REPORTS_PAGE")
    monkeypatch.delenv("ML_MLFLOW_PAGE")
    assert [link.get_link(task, ti_key=None) for link in links_of(stage)] == [""] * len(links)


def test_links_reach_airflows_page_without_a_plugin(dags: Dags) -> None:
    stored: SerializedDAG = DagSerialization.from_dict(DagSerialization.to_dict(dags["monitor"]))
    found = {task.task_id: list(task.extra_links) for task in stored.tasks if task.extra_links}
    assert found["page"] == ["Report"]
    assert sorted(found["log_evaluation"]) == ["MLflow run", "MLflow version"]
