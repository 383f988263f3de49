"""Airflow with a Dag that fails, a sink of each test's own, a real web hook and a real mail server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dags.runs import Airflow
from tests.receivers import http_server, serve, smtp_server

SECRET = "hunter2hunter2"
PAGE = "http://localhost:8080/dags/any/runs/one"
FAILING = """
from airflow.sdk import DAG
from ml import DS, dag_defaults
from ml.alerts import scored_by
from ml.operator import StageOperator
from ml.tasks import at

with DAG("failing", schedule=at("0 3 * * *"), deadline=scored_by("0 3 * * *"), **dag_defaults()):
    StageOperator(task_id="score", stage="generator", command=[DS.template, "--rows=7"])
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with a Dag whose one task fails, as there is no engine."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "failing.py").write_text(FAILING)
    return Airflow(folder)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sink's text; each test has its own."""
    monkeypatch.setenv("ML_ALERTS_FOLDER", str(tmp_path / "alerts"))
    monkeypatch.setenv("ML_ALERT_URLS_FILE", str(tmp_path / "alert_urls"))
    return tmp_path / "alerts" / "alerts.log"


@pytest.fixture
def received(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """What a web hook and a mail server get."""
    got: list[dict[str, Any]] = []
    web, mail = http_server(got.append), smtp_server(got.append)
    serve(web)
    serve(mail)
    urls = [
        f"json://:{SECRET}@127.0.0.1:{web.server_address[1]}/hook",
        f"mailto://127.0.0.1:{mail.server_address[1]}/?from=airflow@example.com&to=a@example.com,b@example.com",
    ]
    (tmp_path / "alert_urls").write_text("# the web hook\n" + ", ".join(urls) + "\n")
    yield got
    web.shutdown()
    mail.shutdown()
