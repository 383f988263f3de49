"""A version is in shadow on a day whose labels come late, and a person is asked. Then two runs of train_model ask about
it: nobody answers the first in time; an operator answers the other.
"""

import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from airflow_ml import alerts
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import AirflowMlError

from .conftest import FEW_TREES, PORT, RUN_TIMEOUT_S, SMALL, Mlflow, Results, Stack, data

DAY = "2026-08-02"
# The day in shadow, and the day on which its labels come.
SHADOW_DAY, NEXT = "2026-08-03", "2026-08-04"
SOON_H = 0.002
REASON = "it finds more of the fraud abroad"
PROMOTE, KEEP = (
    {"chosen_options": [answer], "params_input": {"reason": REASON}} for answer in ("Promote", "Keep as challenger")
)
TRAIN, AFTER_SHADOW = "train_model", "ask_after_shadow"


@pytest.fixture(scope="module")
def mlflow(stack: Stack, day: Results) -> Iterator[Mlflow]:
    """The registry; at the end the model of the day is in production again, which other tests expect."""
    mlflow = Mlflow(f"http://localhost:{PORT + 1}")
    before = mlflow.champion()
    yield mlflow
    if mlflow.champion() != before:
        stack.run("roll_back_model", {"reason": "the end of the test of questions"})


@pytest.fixture(scope="module", autouse=True)
def _generated(stack: Stack, mlflow: Mlflow) -> None:
    """The labels of the second day come with the data of a day later."""
    days = ({"ds": DAY}, {"ds": SHADOW_DAY, "label_delay": 1})
    stack.run_together([("generate_data", {**day, **SMALL}) for day in days])


def question(dag: str, run: str) -> str:
    """The path of a run's question in Airflow's API."""
    return f"/dags/{dag}/dagRuns/{urllib.parse.quote(run)}/taskInstances/ask/-1/hitlDetails"


def ask(stack: Stack, **conf: object) -> str:
    return stack.airflow.trigger(TRAIN, {"ds": DAY, "promote": "ask", **FEW_TREES, **conf})


def wait_for_question(stack: Stack, dag: str, run: str) -> None:
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while time.monotonic() < deadline:
        states = {task["task_id"]: task["state"] for task in stack.airflow.tasks(dag, run)}
        if states.get("ask") == "awaiting_input":
            return
        assert "failed" not in states.values(), stack.explain(dag, run)
        time.sleep(0.5)
    raise AssertionError(f"nobody was asked: {states}")


def answer(stack: Stack, person: Airflow, dag: str, run: str, given: dict[str, Any]) -> None:
    """Answer, and once more if Airflow asks again: it loses an answer that comes in the second of the question."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while time.monotonic() < deadline:
        time.sleep(3)
        states = {task["task_id"]: task["state"] for task in stack.airflow.tasks(dag, run)}
        if states["ask"] == "success":
            return
        if states["ask"] == "awaiting_input" and not person.request("GET", question(dag, run))["response_received"]:
            person.request("PATCH", question(dag, run), given)
    raise AssertionError(f"the answer did not arrive: {states}")


def end(stack: Stack, dag: str, run: str) -> Results:
    """Wait for a run to end well; returns the results of its stages."""
    assert stack.airflow.wait(dag, run, RUN_TIMEOUT_S) == "success", stack.explain(dag, run)
    return stack.results(dag, run)


def test_version_in_shadow_is_judged_when_labels_come_late_and_a_person_is_asked(
    stack: Stack, people: dict[str, Airflow], mlflow: Mlflow
) -> None:
    before = mlflow.champion()
    with stack.shadow_days(1):
        decided = end(stack, TRAIN, ask(stack))["registry", "decide"]
        version = decided["version"]
        assert (decided["decision"], mlflow.alias("shadow")) == ("in shadow", version)

        stack.run("predict", {"ds": SHADOW_DAY})
        shadow = f"shadows/{SHADOW_DAY}-v{version}"
        scored = [len(data.rows(f"{at}/predictions.csv")) for at in (shadow, f"predictions/{SHADOW_DAY}")]
        assert scored[0] == scored[1] > 0
        first = stack.results("monitor", stack.run("monitor", {"ds": SHADOW_DAY}))
        assert first["prediction", "evaluate"]["metrics"] is None
        assert first["prediction", "compare-shadow"]["complete"] is False
        assert ("registry", "decide-shadow") not in first

        delivered = stack.run("generate_data", {"ds": NEXT, "label_delay": 1, **SMALL})
        made = stack.results("generate_data", delivered)["generator", "generate"]
        assert made["delivered"]["partition"] == f"raw/{SHADOW_DAY}"
        # Its run ends although a person is asked.
        late = stack.run("monitor_late_labels", {"ds": SHADOW_DAY})
        (found,) = stack.results("monitor_late_labels", late)["preprocessing", "late-labels"]["days"]
        assert found["ds"] == SHADOW_DAY
        again = f"labels__{SHADOW_DAY}__{found['labels']}"
        results = end(stack, "monitor", again)
        assert results["prediction", "evaluate"]["metrics"]["roc_auc"] > 0.5
        used = data.mark(f"reports/{SHADOW_DAY}")["steps"]["evaluate"]["inputs"][f"labels/{SHADOW_DAY}/labels.csv"]
        assert used == data.hash(f"labels/{SHADOW_DAY}/labels.csv")
        compared = results["prediction", "compare-shadow"]
        assert (compared["version"], compared["days"], compared["complete"]) == (version, [SHADOW_DAY], True)
        assert results["registry", "decide-shadow"]["decision"] == "a person is asked"
    assert (mlflow.alias("shadow"), mlflow.champion()) == (None, before)

    asked = AFTER_SHADOW, f"question__{again}"
    wait_for_question(stack, *asked)
    answer(stack, people["operator"], *asked, KEEP)
    done = end(stack, *asked)["registry", "answer"]
    assert (done["version"], done["decision"], done["by"]) == (version, "stays challenger", people["operator"].user)
    assert mlflow.champion() == before
    # Breaches of later days would look at it, and another test expects their bytes again.
    data.remove(f"reports/{SHADOW_DAY}")


def test_answer_of_an_operator_puts_the_version_into_production(
    stack: Stack, people: dict[str, Airflow], mlflow: Mlflow
) -> None:
    before, kept = mlflow.champion(), alerts.read_alerts()
    # At the same time: each step works for one of them after the other.
    late, run = ask(stack, answer_hours=SOON_H), ask(stack)
    done = end(stack, TRAIN, late)["registry", "answer"]
    assert (done["decision"], done["by"]) == ("stays challenger", "the Dag train_model")
    assert done["reason"] == f"nobody answered within {SOON_H} hours"
    assert mlflow.champion() == before

    wait_for_question(stack, TRAIN, run)
    viewer, operator = people["viewer"], people["operator"]
    assert viewer.request("GET", question(TRAIN, run))["response_received"] is False
    with pytest.raises(AirflowMlError, match="answered 403"):
        viewer.request("PATCH", question(TRAIN, run), PROMOTE)
    assert mlflow.champion() == before
    answer(stack, operator, TRAIN, run, PROMOTE)
    done = end(stack, TRAIN, run)["registry", "answer"]
    assert mlflow.champion() == done["version"] != before
    event = mlflow.events()[-1]
    assert (event["version"], event["kind"]) == (done["version"], "promote")
    assert (event["by"], event["reason"]) == (operator.user, REASON)
    sent = alerts.read_alerts().removeprefix(kept)
    assert sent.count("[question] train_model: Promote version") >= 2
    assert f"runs/{urllib.parse.quote(run)}/tasks/ask/required_actions" in sent
    assert "failed" not in sent
