"""A connection of Airflow's, through the real scheduler and engine proxy, to a database and back."""

from collections.abc import Iterator

import pytest

from tests.harness import docker, images
from tests.images.exchange_lab import PUBLISH, SCORES

from .conftest import PROJECT, Stack, compose_stack, data

DS = "2026-03-01"


@pytest.fixture
def password(stack: Stack) -> Iterator[str]:
    """The connection `warehouse`: the stack's own Postgres."""
    secret = compose_stack.settings()["ML_POSTGRES_PASSWORD"]
    address = {"conn_type": "postgres", "host": "postgres", "login": "airflow", "schema": "airflow"}
    stack.airflow.request("POST", "/connections", {"connection_id": "warehouse", "password": secret, **address})
    yield secret
    stack.airflow.request("DELETE", "/connections/warehouse")


def test_predictions_go_to_a_database_and_come_back(stack: Stack, password: str) -> None:
    publish = ["run", "--rm", data.mount, "--entrypoint=python", images()["base"], "-c", PUBLISH, DS, SCORES, "3"]
    docker(*publish)
    # A second round replaces what the first has left.
    for replaced in (0, 3):
        run = stack.run("exchange_round", {"ds": DS})
        results = stack.results("exchange_round", run)
        assert results["exchange", "export"]["replaced"] == replaced
        assert results["exchange", "ingest"]["rows"] == {"data": 3}
    assert data.mark(f"predictions/{DS}")["outputs"].keys() == {"predictions.csv", "predictions.parquet"}
    shown = str(results) + "".join(
        stack.airflow.log_of("exchange_round", run, task) for task in stack.airflow.tasks("exchange_round", run)
    )
    assert "/run/connections/warehouse.json" in shown
    assert password not in shown
    listed = docker(
        "exec", f"{PROJECT}-scheduler-1", "python", "-c", "import os; print(os.listdir('/run/connections'))"
    )
    assert listed.stdout == "[]\n"
