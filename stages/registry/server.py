"""The tracking server: where it is, whether it answers; MLflow's client for it, set up to fail soon and be quiet."""

import json
import logging
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from stagekit import StageError, UsageError

ALIVE = 200
MISSING = 404
# A server that answers at all answers within this; an upload waits longer, for the server's disk.
ANSWER_SECONDS = 10
TRANSFER_SECONDS = 120
# What MLflow's client says of a server that may do better later; connections that fail have the first one.
LATER = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"}
# One retry, after half a second: Airflow's retries are for longer outages, and say in the log that they wait.
CLIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(ANSWER_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": str(TRANSFER_SECONDS),
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
START = "start it (`docker compose up -d mlflow`) and look at its log, then run this again"

log = logging.getLogger("registry")


class OutOfReach(StageError):
    """The server does not answer, or not as a tracking server does; a later try may succeed."""


@dataclass(frozen=True)
class Settings:
    """Where the server is, what the registered model and the experiment are called, and the pages to link to."""

    uri: str
    name: str
    mlflow_page: str
    reports_page: str
    airflow_page: str


def read_settings() -> Settings:
    """The settings, from the environment. Errors: UsageError for an address that is none."""
    uri = os.environ.get("ML_MLFLOW_URI", "http://mlflow:5000").rstrip("/")
    if urllib.parse.urlsplit(uri).scheme not in ("http", "https"):
        raise UsageError(f"ML_MLFLOW_URI is {uri!r}", expected="a server's address such as http://mlflow:5000")
    return Settings(
        uri,
        os.environ.get("ML_MODEL_NAME") or "airflow-ml",
        os.environ.get("ML_MLFLOW_PAGE", "").rstrip("/"),
        os.environ.get("ML_REPORTS_PAGE", "").rstrip("/"),
        os.environ.get("ML_AIRFLOW_PAGE", "").rstrip("/"),
    )


@dataclass(frozen=True)
class Server:
    """A server that has answered, and MLflow's client for it."""

    settings: Settings
    client: Any

    @property
    def name(self) -> str:
        """The registered model, and the experiment."""
        return self.settings.name


def connect() -> Server:
    """The server, asked once whether it answers. Errors: OutOfReach; StageError where it refuses."""
    settings = read_settings()
    ask(settings)
    os.environ.update({name: value for name, value in CLIENT.items() if name not in os.environ})
    # Some libraries of MLflow's look into the home folder, which in a read-only image is nobody's.
    os.environ["HOME"] = tempfile.gettempdir()
    # MLflow takes seconds to import: what can fail has failed by now.
    for noisy in ("mlflow", "urllib3", "alembic", "databricks"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    from mlflow import set_tracking_uri
    from mlflow.tracking import MlflowClient

    set_tracking_uri(settings.uri)
    return Server(settings, MlflowClient(settings.uri, settings.uri))


def ask(settings: Settings) -> None:
    """Ask for the experiment: it takes the address, the server's guard of host names, and its database."""
    query = urllib.parse.urlencode({"experiment_name": settings.name})
    address = f"{settings.uri}/api/2.0/mlflow/experiments/get-by-name?{query}"
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_SECONDS) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise OutOfReach(
            f"the MLflow server at {settings.uri} is out of reach ({reason})",
            expected=f"an answer within {ANSWER_SECONDS} s", do=START,
        ) from None  # fmt: skip
    if not _is_answer(status, body):
        raise _refused(settings.uri, status, body)


def _is_answer(status: int, body: bytes) -> bool:
    """Whether this is what MLflow says of an experiment, which may not be there yet."""
    try:
        content = json.loads(body)
    except ValueError:
        return False
    if not isinstance(content, dict):
        return False
    return (status == ALIVE and "experiment" in content) or (
        status == MISSING and content.get("error_code") == "RESOURCE_DOES_NOT_EXIST"
    )


def _refused(uri: str, status: int, body: bytes) -> StageError:
    said = " ".join(body[:300].decode(errors="replace").split())
    do = START
    if status in (401, 403):
        do = "let the server accept this host name (`mlflow server --allowed-hosts`), or correct ML_MLFLOW_URI"
    elif status < 500:
        do = "correct ML_MLFLOW_URI: something else than MLflow answers there"
    return OutOfReach(
        f"{uri} answers with HTTP status {status}: {said or 'nothing'}",
        expected="what an MLflow server says of an experiment", do=do,
    )  # fmt: skip


@contextmanager
def explained(server: Server, what: str) -> Iterator[None]:
    """Turn what MLflow's client raises into an error that names the server and what was being done."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        log.debug("the error behind the message", exc_info=error)
        said = " ".join(str(error).split())[:600]
        later = getattr(error, "error_code", "INTERNAL_ERROR") in LATER
        raise (OutOfReach if later else StageError)(
            f"the MLflow server at {server.settings.uri} failed while {what}: {said}",
            expected="an answer of the MLflow server",
            do="look at the server's log, then run this again: it completes what is there",
        ) from None


def is_missing(error: Any) -> bool:
    """Whether MLflow says with this exception that there is no such thing."""
    return getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"


def exists_already(error: Any) -> bool:
    """Whether MLflow says with this exception that someone else has made it meanwhile."""
    return getattr(error, "error_code", "") == "RESOURCE_ALREADY_EXISTS"
