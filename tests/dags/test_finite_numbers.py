"""A run whose form has NaN or Infinity as a number is refused when it is triggered."""

import json
from typing import Any

import pytest
from airflow.exceptions import ParamValidationError
from airflow.plugins_manager import _get_plugins

from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, Dags, day

NIGHT = day("2026-11-16", 23)


@pytest.fixture(scope="module")
def airflow() -> Airflow:
    plugins, errors = _get_plugins()
    assert errors == {}
    assert "airflow-ml finite numbers" in [plugin.name for plugin in plugins]
    return Airflow(DAGS)


@pytest.mark.parametrize(
    ("dag_id", "body"),
    [
        # As the API reads a body of JSON.
        ("train_model", '{"val_fraction": NaN}'),
        ("train_model", '{"lightgbm": {"learning_rate": NaN}}'),
        ("train_model", '{"lightgbm": {"learning_rate": -1e999}}'),
        ("train_model", '{"lightgbm": {"label_gain": [1, Infinity]}}'),
        ("predict", '{"wait_hours": -Infinity}'),
        ("tune_model", '{"minutes": NaN}'),
    ],
)
def test_number_that_is_none_is_refused(airflow: Airflow, dag_id: str, body: str) -> None:
    given: dict[str, Any] = json.loads(body)
    with pytest.raises(ParamValidationError, match=r"is no finite number|less than the minimum") as refused:
        airflow.manual(dag_id, NIGHT, given)
    assert str(refused.value).startswith(f"Invalid input for param {next(iter(given))}: ")


def test_every_field_refuses_them(dags: Dags) -> None:
    for dag in dags.values():
        for name in dag.params:
            for value in (float("nan"), float("inf"), float("-inf")):
                with pytest.raises(ParamValidationError):
                    dag.params.get_param(name).resolve(value)
