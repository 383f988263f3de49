"""Hostile values in the forms: Airflow refuses them, or each is one argument of a stage, word for word."""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError

from ml.operator import StageOperator
from tests.attacks.forms import EVALUATED, VALUES
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, Dags, day

NIGHT = day("2026-11-16", 23)
# Each field is in one of the first three, or like one that is.
RENDERED = ("train_model", "predict", "promote_model")
MOST_RUNS = 2
DAG_IDS = (
    "generate_data",
    "train_model",
    "tune_model",
    "backtest",
    "predict",
    "monitor",
    "monitor_late_labels",
    "ask_after_shadow",
    "promote_model",
    "roll_back_model",
)


@pytest.fixture(scope="module")
def airflow() -> Airflow:
    return Airflow(DAGS)


def accepted(dag: DAG, field: str) -> list[Any]:
    """The values that a field takes; another error than a refusal fails the test."""
    found = []
    # A copy each time: a field keeps the last value, and other tests look at the same Dags.
    for value in VALUES:
        try:
            found.append(deepcopy(dag.params.get_param(field)).resolve(value))
        except ParamValidationError:
            continue
    return found


def forms(dag: DAG) -> list[Mapping[str, Any]]:
    """Filled-in forms, so few that the first values which a field takes are each in one of them."""
    by_field = {field: [value for value in accepted(dag, field) if _is_json(value)] for field in dag.params}
    rounds = min(MOST_RUNS, max(map(len, by_field.values())))
    needed = {field: "because" for field in dag.params if field == "reason"}
    return [
        {**needed, **{field: values[number] for field, values in by_field.items() if number < len(values)}}
        for number in range(rounds)
    ]


def _is_json(value: Any) -> bool:
    """Whether the database can keep it: Postgres takes neither NaN nor NUL nor half characters in JSON."""
    return not (value != value or (isinstance(value, str) and re.search("[\0\ud800-\udfff]", value)))


@pytest.mark.parametrize("dag_id", RENDERED)
def test_value_is_refused_or_is_one_argument(airflow: Airflow, dags: Dags, dag_id: str) -> None:
    # What an earlier task's result decides is no value of the form.
    tasks = [
        task
        for task in dags[dag_id].tasks
        if isinstance(task, StageOperator) and "params." in str(task.command) and "xcom_pull" not in str(task.command)
    ]
    assert tasks
    for form in forms(dags[dag_id]):
        run = airflow.manual(dag_id, NIGHT, form)
        for task in tasks:
            rendered = airflow.rendered(run, task.task_id)["command"]
            assert len(rendered) == len(task.command), form
            for argument, template in zip(rendered, task.command, strict=True):
                option = re.search(r"--[a-z-]+", template)
                assert not argument or argument.startswith(option[0] if option else template), (form, argument)
                assert EVALUATED not in argument, "a template within a value was rendered"
        if "reason" in form:
            (promoting,) = tasks
            assert f"--reason={form['reason'].strip()}" in [
                one.strip() for one in airflow.arguments(run, promoting.task_id)
            ]


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_field_refuses_what_it_does_not_mean(dags: Dags, dag_id: str) -> None:
    for field in dags[dag_id].params:
        taken = accepted(dags[dag_id], field)
        if field != "reason":
            assert not [value for value in taken if isinstance(value, str) and not re.fullmatch("[0-9]+", value)], field
        assert not [value for value in taken if isinstance(value, list)], field
        assert field == "lightgbm" or not [value for value in taken if isinstance(value, dict)], field
