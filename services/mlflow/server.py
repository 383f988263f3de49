"""MLflow's tracking server and model registry in one process, with its database made ready before it listens.

Usage: server.py serve|healthcheck. Reads MLFLOW_BACKEND_STORE_URI (the Postgres database, without its password),
MLFLOW_SERVER_ALLOWED_HOSTS, and in /run/secrets mlflow_postgres_password, pages_password (of the account `ml`, for
people) and registry_password (of the account `registry`, for the stage). Writes artifacts below /opt/mlflow/artifacts.
Exit codes: 0 healthy; 1 failed, or not healthy; 2 wrong usage; 143 ended by SIGTERM, after the requests that it had.

`mlflow server` does the same with two processes, each of which loads all of MLflow: twice the memory, and twice the
time until it answers.
"""

import json
import logging
import logging.config
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import login

PORT = 5000
HOME = Path("/opt/mlflow")
# An upload stays here until it is complete: on the artifacts' own volume, because it can be larger than the memory.
UPLOADS = HOME / "tmp"
# MLflow itself answers this, and needs its database for it; /health does not.
PROBE = f"http://127.0.0.1:{PORT}/api/2.0/mlflow/experiments/search?max_results=1"
PROBE_S = 8
# The database is made while the server loads: see services/airflow/init.py.
DATABASE_WAIT_S = 180
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)sZ %(levelname)s %(name)s: %(message)s", "datefmt": "%Y-%m-%dT%H:%M:%S"}
    },
    "filters": {"no probes": {"()": "server.NoProbes"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        "server": {"level": "INFO"},
        "mlflow": {"level": "INFO"},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"level": "INFO", "filters": ["no probes"]},
    },
}

STAGE = "registry"
ACCOUNTS = {login.PEOPLE: login.PAGES, STAGE: "registry_password"}
OF_DATABASE = "mlflow_postgres_password"
ADDRESS = "MLFLOW_BACKEND_STORE_URI"

log = logging.getLogger("server")


class NoProbes(logging.Filter):
    """Keeps health checks that pass, one every few seconds, out of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        client, _, _, _, status = record.args if isinstance(record.args, tuple) else ("", "", "", "", 0)
        return not (str(client).startswith("127.0.0.1:") and status == 200)


def main() -> int:
    actions = {"serve": serve, "healthcheck": healthcheck}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    return actions[sys.argv[1]]()


def serve() -> int:
    """Load MLflow, wait for its database, update the tables, serve until a signal ends the process."""
    if not os.environ.get(ADDRESS):
        print(f"error: {ADDRESS} is not set; expected: postgresql+psycopg2://USER@HOST/NAME", file=sys.stderr)
        return 2
    try:
        accounts = login.passwords(**ACCOUNTS)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    address = database()
    logging.Formatter.converter = time.gmtime
    logging.config.dictConfig(LOGGING)
    clear(UPLOADS)
    started = time.monotonic()
    app = load(address)
    loaded = time.monotonic()
    if problem := wait_for(address):
        log.error("the database does not accept a connection: %s; do: see the log of the service init", problem)
        return 1
    waited = time.monotonic()
    prepare(address)
    log.info(
        "loaded in %.1f s, waited %.1f s for the database, made it ready in %.1f s",
        loaded - started, waited - loaded, time.monotonic() - waited,
    )  # fmt: skip
    listen(login.Login(app, accounts))
    return 0


def database() -> str:
    """The address of the database, with its password."""
    password = urllib.parse.quote(login.secret(OF_DATABASE), safe="")
    return os.environ[ADDRESS].replace("@", f":{password}@", 1)


def clear(folder: Path) -> None:
    """Remove the uploads that a killed server left behind.

    Docker copies the image's folders into a new volume. Kubernetes mounts a new claim empty, so this makes the folder.
    MLflow makes `artifacts` itself, with the first upload.
    """
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def load(database: str) -> Any:
    """MLflow's application. It reads its settings when it is imported."""
    # MLflow's own choice, which its next versions will change.
    warnings.filterwarnings("ignore", message="starlette.middleware.wsgi is deprecated")
    from mlflow.server import constants

    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: database,
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: str(HOME / "artifacts"),
    }
    from mlflow.server.fastapi_app import app

    return app


def wait_for(database: str) -> str | None:
    """Wait until the database accepts a connection; returns the problem that remains after that time, or None."""
    import psycopg2

    end, logged = time.monotonic() + DATABASE_WAIT_S, ""
    while True:
        try:
            psycopg2.connect(database.replace("+psycopg2", "")).close()
            return None
        except psycopg2.OperationalError as error:
            problem = " ".join(str(error).split())
        if problem != logged:
            log.warning("waiting for the database: %s", problem)
            logged = problem
        if time.monotonic() > end:
            return problem
        time.sleep(0.5)


def prepare(database: str) -> None:
    """Make the tables, or bring them to this version, as `mlflow db upgrade` does by hand."""
    import mlflow.db
    from mlflow.server.handlers import initialize_backend_stores

    mlflow.db.commands.main(["upgrade", database], standalone_mode=False)
    initialize_backend_stores()


def listen(app: Any) -> None:
    """Serve until a signal. No proxy is in front of the server, so no header names the client."""
    import uvicorn

    uvicorn.run(
        app, host="0.0.0.0", port=PORT, log_config=LOGGING, proxy_headers=False, server_header=False,
        timeout_graceful_shutdown=5,
    )  # fmt: skip


def healthcheck() -> int:
    """Exit code 0 if MLflow answers, and its database answers MLflow."""
    problem = ask()
    if problem:
        print(f"mlflow: {problem}", file=sys.stderr)
    return 1 if problem else 0


def ask() -> str | None:
    """The problem with the server, or None."""
    try:
        headers = login.header(STAGE, login.passwords(**ACCOUNTS)[STAGE])
        with urllib.request.urlopen(urllib.request.Request(PROBE, headers=headers), timeout=PROBE_S) as response:
            json.load(response)
            return None
    except urllib.error.HTTPError as error:
        return f"answers {error.code}: {' '.join(error.read(2000).decode(errors='replace').split())[:300]}"
    except (OSError, ValueError) as error:
        return f"does not answer: {error}"


if __name__ == "__main__":
    sys.exit(main())
