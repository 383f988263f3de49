"""A run whose form names a parameter that LightGBM does not know is refused when it is triggered."""

from typing import Any

import pytest
from airflow.exceptions import ParamValidationError
from airflow.plugins_manager import _get_plugins

from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, day

NIGHT = day("2026-11-16", 23)


@pytest.fixture(scope="module")
def airflow() -> Airflow:
    plugins, errors = _get_plugins()
    assert errors == {}
    assert "airflow-ml names of LightGBM's parameters" in [plugin.name for plugin in plugins]
    return Airflow(DAGS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_leafs": 3}, "LightGBM has no parameter 'num_leafs'; expected: perhaps num_leaves"),
        ({"seed": 1, "lerning_rate": 0.1}, "LightGBM has no parameter 'lerning_rate'; expected: perhaps learning_rate"),
        ({"": 1}, "LightGBM has no parameter ''; expected: a name from LightGBM's documentation"),
        ({"öäü": 1}, "LightGBM has no parameter 'öäü'; expected: a name from LightGBM's documentation"),
        ([], "[] is not of type 'null', 'object'"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest_one(airflow: Airflow, given: Any, message: str) -> None:
    with pytest.raises(ParamValidationError) as refused:
        airflow.manual("train_model", NIGHT, {"lightgbm": given})
    # What the page and the API show: the sentence comes first, and it is no list of all names.
    assert str(refused.value).startswith(f"Invalid input for param lightgbm: {message}")
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("given", [None, {}, {"num_leaves": 63}, {"eta": 0.1, "verbose": 1}])
def test_names_and_aliases_of_lightgbm_are_taken(airflow: Airflow, given: Any) -> None:
    assert airflow.manual("train_model", NIGHT, {"lightgbm": given}).conf == {"lightgbm": given}
