"""What `make up` says: what to do when the stack does not start, and the address of MLflow's table of runs."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from airflow_ml.stack import Service, advice, runs_page

# As Docker says it: of a container's port, of another program's, and of either from version 28 on.
ALLOCATED = (
    "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:{} failed: "
    "port is already allocated"
)
IN_USE = "Error starting userland proxy: listen tcp4 127.0.0.1:{}: bind: address already in use"
NEWER = "failed to bind host port 127.0.0.1:{}/tcp: address already in use"
PORTS = {"ML_AIRFLOW_PORT": "8080", "ML_MLFLOW_PORT": "5000", "ML_REPORTS_PORT": "8081", "ML_PARALLELISM": "4"}


@pytest.mark.parametrize("words", [ALLOCATED, IN_USE, NEWER])
@pytest.mark.parametrize(
    ("port", "variable"), [(8080, "ML_AIRFLOW_PORT"), (5000, "ML_MLFLOW_PORT"), (8081, "ML_REPORTS_PORT")]
)
def test_taken_port_is_named_with_its_setting(words: str, port: int, variable: str) -> None:
    said = advice(f"Container x  Starting\nError response from daemon: {words.format(port)}\n", PORTS)
    assert said == f"another program has port {port}; set {variable} in .env to one that is free"


def test_password_of_another_file_is_named_for_airflow_alone() -> None:
    """MLflow's password is taken over at each start, so its database is never in the way."""
    said = 'FATAL:  password authentication failed for user "{}"'
    assert "the password of another .env" in advice(said.format("airflow"), PORTS)
    assert "the password of another .env" not in advice(said.format("mlflow"), PORTS)


@pytest.mark.parametrize(
    ("service", "hangs"),
    [
        (Service("scheduler", "running", 0, "unhealthy"), True),
        (Service("scheduler", "paused", 0, ""), True),
        (Service("scheduler", "running", 0, "healthy"), False),
        (Service("scheduler", "running", 0, "starting"), False),
        (Service("scheduler", "exited", 1, ""), False),
        (Service("init", "exited", 0, ""), False),
    ],
)
def test_service_hangs_whose_process_is_there_and_does_not_answer(service: Service, hangs: bool) -> None:
    assert service.hangs is hangs


@pytest.mark.parametrize(
    ("answer", "place", "view"),
    [
        ({"experiment": {"experiment_id": "7"}}, "/7/runs", ""),
        (
            {"experiment": {"experiment_id": "7", "tags": [{"key": "mlflow.sharedViewState.columns", "value": "{}"}]}},
            "/7/runs",
            "&viewStateShareKey=columns",
        ),
        ({"error_code": "RESOURCE_DOES_NOT_EXIST"}, "", ""),
        (["no object"], "", ""),
        (None, "", ""),
    ],
)
def test_address_of_mlflow_opens_the_table_of_runs(answer: object, place: str, view: str) -> None:
    """Its other workflow, of generative AI, shows a page without runs. An experiment that is not known is no error."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = answer is not None and self.path.endswith("/get-by-name?experiment_name=my+model")
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        mlflow = f"http://127.0.0.1:{server.server_port}"
        assert runs_page(mlflow, "my model") == f"{mlflow}/#/experiments{place}?workflowType=machine_learning{view}"


@pytest.mark.parametrize(
    ("made", "here", "words"),
    [
        ("15", "17", ["Postgres 17 cannot read a database of Postgres 15;", "./airflow-ml restore --databases FOLDER"]),
        ("17", "15", ["the database is of Postgres 17: put an image of 17 back into docker-compose.yml"]),
    ],
)
def test_database_of_another_major_version_of_postgres_is_named(made: str, here: str, words: list[str]) -> None:
    """The advice was to read the lines above."""
    said = f"version {made}, which is not compatible with this version {here}.12 (Debian {here}.12-0+deb13u1)."
    found = advice(
        f"postgres: restarting 0 starting\n  DETAIL:  The data directory was initialized by PostgreSQL {said}", PORTS
    )
    assert [text for text in words if text not in found] == []


def test_database_of_a_newer_version_is_named() -> None:
    """The last line of Airflow's migration and of MLflow's server, on a database whose `alembic_version` is unknown."""
    said = "init: exited 1\n  alembic.util.exc.CommandError: Can't locate revision identified by 'ffffffffffff'"
    assert "a newer version has changed the database" in advice(said, PORTS)
