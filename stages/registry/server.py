"""The MLflow server: where it is, whether it answers, and what its refusals mean.

Reads the environment (ML_MLFLOW_URI, ML_MODEL_NAME, the pages), the login in /run/connections/mlflow.json, and the
server. Writes nothing.
"""

import base64
import json
import logging
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from stagekit import BadInput, StageError, UsageError
from stagekit.shapes import ShapeError, check, parse_object

from rest import ANSWER_S, Refused, Rest, with_login

OK, NO_LOGIN, FORBIDDEN, MISSING, SERVER_ERROR = 200, 401, 403, 404, 500
LOGIN_FILE = "mlflow.json"
START = "start it (`docker compose up -d mlflow`) and look at its log, then run this again"
# The name that compose gives the network, unless the project has another name.
ADD_NETWORK = "add `--network airflow-ml_mlflow` to `docker run`, before the image's name"
# Seconds before each further try of the first request, while the connection is refused: a network plug-in of Kubernetes
# may let a new pod reach MLflow only some seconds after its start, and every try of a task is a new pod.
PAUSES_S = (1, 2, 4, 8)
# A message shows so many characters of an answer.
LONGEST_ANSWER, LONGEST_ERROR = 300, 600

log = logging.getLogger("registry")


class OutOfReach(StageError):
    """The server does not answer, or not as an MLflow server does; a later try may succeed."""


@dataclass(frozen=True)
class Settings:
    """Where the server is, what the registered model and the experiment are called, and the pages to link to."""

    uri: str
    name: str
    reports_page: str
    airflow_page: str


def read_settings() -> Settings:
    """The settings, from the environment. Errors: UsageError for an address that is not one."""
    uri = os.environ.get("ML_MLFLOW_URI", "http://mlflow:5000").rstrip("/")
    if urllib.parse.urlsplit(uri).scheme not in ("http", "https"):
        raise UsageError(f"ML_MLFLOW_URI is {uri!r}", expected="a server's address such as http://mlflow:5000")
    return Settings(
        uri,
        os.environ.get("ML_MODEL_NAME") or "airflow-ml",
        os.environ.get("ML_REPORTS_PAGE", "").rstrip("/"),
        os.environ.get("ML_AIRFLOW_PAGE", "").rstrip("/"),
    )


@dataclass(frozen=True)
class Server:
    """A server that has answered."""

    settings: Settings
    rest: Rest
    # Signs what the stage writes; empty for a server without a login: nothing is signed, no signature is asked for.
    key: str = ""

    @property
    def name(self) -> str:
        """The registered model, and the experiment."""
        return self.settings.name


def connect() -> Server:
    """The server. Errors: OutOfReach where it does not answer, or not as MLflow does."""
    settings, login = read_settings(), read_login()
    header = login_header(login)
    require_answer(settings, header)
    return Server(settings, Rest(settings.uri, header), str(login.get("key") or ""))


def read_login() -> dict[str, Any]:
    """The stage's `login`, `password` and `key`; empty if there is no file.

    Errors: UsageError for a file that is no login.
    """
    file = Path(os.environ.get("ML_CONNECTIONS") or "/run/connections") / LOGIN_FILE
    try:
        found = parse_object(file.read_bytes())
        check(found, {"login": str, "password": str, "key": str})
        if not found["key"]:
            raise ShapeError("an empty key", "the key of .env")
    except FileNotFoundError:
        return {}
    except (OSError, ShapeError) as error:  # its text may be secret
        expected = '{"login": "registry", "password": "...", "key": "..."}, with the key of .env, ML_REGISTRY_KEY'
        raise UsageError(f"{file} is no login ({type(error).__name__})", expected=expected) from None
    return found


def login_header(login: Mapping[str, Any]) -> dict[str, str]:
    """The header that logs in; none without a login."""
    if not login:
        return {}
    word = base64.b64encode(f"{login['login']}:{login['password']}".encode()).decode()
    return {"Authorization": f"Basic {word}"}


def require_answer(settings: Settings, login: Mapping[str, str]) -> None:
    """Ask for the experiment: the answer needs the address, the server's check of host names, and its database."""
    query = urllib.parse.urlencode({"experiment_name": settings.name})
    request = with_login(f"{settings.uri}/api/2.0/mlflow/experiments/get-by-name?{query}", login)
    for pause in (*PAUSES_S, None):
        try:
            status, body = _ask(request)
            break
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
        if pause is None or not isinstance(reason, ConnectionRefusedError):
            raise OutOfReach(
                f"the MLflow server at {settings.uri} is out of reach ({reason})",
                expected=f"an answer within {ANSWER_S} s", do=_advise(settings.uri, reason),
            )  # fmt: skip
        log.info("the MLflow server at %s refuses the connection; asked again in %d s", settings.uri, pause)
        time.sleep(pause)
    if not _is_answer(status, body):
        raise _refusal(settings.uri, status, body)


def _ask(request: urllib.request.Request) -> tuple[int, bytes]:
    """The status and the body of the answer."""
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _advise(uri: str, reason: object) -> str:
    """What to do: a container without MLflow's network cannot know the server's name, whether or not it runs."""
    if all(name == "lo" for _, name in socket.if_nameindex()) and not _is_loopback(uri):
        return f"this container has no network: {ADD_NETWORK}"
    if isinstance(reason, socket.gaierror):
        return f"{ADD_NETWORK}, if it is not there; else {START}"
    return START


def _is_loopback(uri: str) -> bool:
    host = urllib.parse.urlsplit(uri).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _is_answer(status: int, body: bytes) -> bool:
    """Whether this is MLflow's answer about an experiment, which may not exist yet."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict):
        return False
    return (status == OK and "experiment" in content) or (
        status == MISSING and content.get("error_code") == "RESOURCE_DOES_NOT_EXIST"
    )


def _refusal(uri: str, status: int, body: bytes) -> StageError:
    answer = " ".join(body[:LONGEST_ANSWER].decode(errors="replace").split())
    do = START
    if status == NO_LOGIN:
        do = f"mount a {LOGIN_FILE} at /run/connections with the password of .env, as the stage's README.md shows"
    elif status == FORBIDDEN:
        do = "let the server accept this host name (`mlflow server --allowed-hosts`), or correct ML_MLFLOW_URI"
    elif status < SERVER_ERROR:
        do = "correct ML_MLFLOW_URI: something else than MLflow answers there"
    return OutOfReach(
        f"{uri} answers with HTTP status {status}: {answer or 'nothing'}",
        expected="an MLflow server's answer about an experiment", do=do,
    )  # fmt: skip


@contextmanager
def explained(server: Server, what: str) -> Iterator[None]:
    """Turn a refusal into an error that names the server and the action.

    The block asks the server and reads its answers, nothing else. Errors: OutOfReach where a later try may succeed;
    BadInput for an answer that is not MLflow's; StageError.
    """
    failed = f"the MLflow server at {server.settings.uri} failed while {what}"
    try:
        yield
    except StageError:
        raise
    except Refused as error:
        raise (OutOfReach if error.temporary else StageError)(
            f"{failed}: {_shorten(error)}", expected="an answer of the MLflow server",
            do="look at the server's log, then run this again: it completes what exists",
        ) from None  # fmt: skip
    except Exception as error:  # whatever reading an answer raises that is not MLflow's
        log.debug("the error behind the message", exc_info=error)
        raise BadInput(
            f"{failed}: its answer is not understood ({type(error).__name__}: {_shorten(error)})",
            expected="an answer of the MLflow server", do="see what answers there, and its log",
        ) from None  # fmt: skip


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:LONGEST_ERROR]
