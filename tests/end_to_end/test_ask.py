"""Two runs of train_model ask about one version: nobody answers the first in time; an operator answers the other."""

import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from airflow_ml import alerts
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import AirflowMlError

from .conftest import FEW_TREES, PORT, RUN_TIMEOUT_S, SMALL, Mlflow, Results, Stack

DAY = "2026-08-02"
SOON_H = 0.002
REASON = "it finds more of the fraud abroad"
PROMOTE = {"chosen_options": ["Promote"], "params_input": {"reason": REASON}}


@pytest.fixture(scope="module")
def mlflow(stack: Stack, day: Results) -> Iterator[Mlflow]:
    """The registry; at the end the model of the day is in production again, which other tests expect."""
    mlflow = Mlflow(f"http://localhost:{PORT + 1}")
    before = mlflow.champion()
    yield mlflow
    if mlflow.champion() != before:
        stack.run("roll_back_model", {"reason": "the end of the test of questions"})


def question(run: str) -> str:
    """The path of a run's question in Airflow's API."""
    return f"/dags/train_model/dagRuns/{urllib.parse.quote(run)}/taskInstances/ask/-1/hitlDetails"


def ask(stack: Stack, **conf: object) -> str:
    return stack.airflow.trigger("train_model", {"ds": DAY, "promote": "ask", **FEW_TREES, **conf})


def wait_for_question(stack: Stack, run: str) -> None:
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while time.monotonic() < deadline:
        states = {task["task_id"]: task["state"] for task in stack.airflow.tasks("train_model", run)}
        if states.get("ask") == "awaiting_input":
            return
        assert "failed" not in states.values(), stack.explain("train_model", run)
        time.sleep(0.5)
    raise AssertionError(f"nobody was asked: {states}")


def answer(stack: Stack, person: Airflow, run: str) -> None:
    """Answer, and once more if Airflow asks again: it loses an answer that comes in the second of the question."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while time.monotonic() < deadline:
        time.sleep(3)
        states = {task["task_id"]: task["state"] for task in stack.airflow.tasks("train_model", run)}
        if states["ask"] == "success":
            return
        if states["ask"] == "awaiting_input" and not person.request("GET", question(run))["response_received"]:
            person.request("PATCH", question(run), PROMOTE)
    raise AssertionError(f"the answer did not arrive: {states}")


def end(stack: Stack, run: str) -> dict[str, Any]:
    """Wait for a run to end well; returns what became of the version."""
    assert stack.airflow.wait("train_model", run, RUN_TIMEOUT_S) == "success", stack.explain("train_model", run)
    return stack.results("train_model", run)["registry", "answer"]


def test_answer_of_an_operator_puts_the_version_into_production(
    stack: Stack, people: dict[str, Airflow], mlflow: Mlflow
) -> None:
    stack.run("generate_data", {"ds": DAY, **SMALL})
    before, kept = mlflow.champion(), alerts.read_alerts()
    # At the same time: each step works for one of them after the other.
    late, run = ask(stack, answer_hours=SOON_H), ask(stack)
    done = end(stack, late)
    assert (done["decision"], done["by"]) == ("stays challenger", "the Dag train_model")
    assert done["reason"] == f"nobody answered within {SOON_H} hours"
    assert mlflow.champion() == before

    wait_for_question(stack, run)
    viewer, operator = people["viewer"], people["operator"]
    assert viewer.request("GET", question(run))["response_received"] is False
    with pytest.raises(AirflowMlError, match="answered 403"):
        viewer.request("PATCH", question(run), PROMOTE)
    assert mlflow.champion() == before
    answer(stack, operator, run)
    done = end(stack, run)
    assert mlflow.champion() == done["version"] != before
    event = mlflow.events()[-1]
    assert (event["version"], event["kind"]) == (done["version"], "promote")
    assert (event["by"], event["reason"]) == (operator.user, REASON)
    sent = alerts.read_alerts().removeprefix(kept)
    assert sent.count("[question] train_model: Promote version") >= 2
    assert f"runs/{urllib.parse.quote(run)}/tasks/ask/required_actions" in sent
    assert "failed" not in sent
