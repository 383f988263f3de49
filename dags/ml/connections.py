"""Airflow's connections as files, which a container sees for as long as its task runs.

They are in a volume in memory that the scheduler and the triggerer mount, and of all stages only `exchange` and
`registry`. So nothing secret is in the container's variables or arguments, which `docker inspect` shows. Reads:
ML_CONNECTIONS_VOLUME, the engine's name of the volume, and the connection; for `registry` the password of its account
at MLflow, /run/secrets/registry_password, and the key with which it signs, /run/secrets/registry_key. Writes: a folder
of the task's own in the volume.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from ml import container_labels

# Where the volume is, for the scheduler and for the container.
FOLDER = Path("/run/connections")
TARGET = "/run/connections"
# The login of the stage registry at MLflow: a secret of the installation, no connection of Airflow's.
MLFLOW, ACCOUNT, PASSWORD = "mlflow", "registry", Path("/run/secrets/registry_password")
# The key with which the stage signs what it writes there.
KEY = Path("/run/secrets/registry_key")
# A container starts some seconds after its folder was written; a busy engine takes minutes.
START_S = 600
FIELDS = ("conn_type", "host", "port", "login", "password", "schema")


class NoConnection(Exception):
    """A connection cannot be given to a container; the message says what was found, expected and what to do."""


def volume() -> str | None:
    """The engine's name of the volume; None if the environment does not give it."""
    return os.environ.get("ML_CONNECTIONS_VOLUME") or None


def write(name: str, task: Mapping[str, str], *, login: bool = False) -> str:
    """Write a connection as NAME.json to the folder of a task; returns the container's name of the folder.

    A later try of the task has the same folder, until a person clears the task: what an earlier one left there is
    removed first. A trigger that is stopped late, after a clear, removes only what is of the tries before.

    :param task: what no other task has, the same for each try (`container_labels.of_try`)
    :param login: the file is the login at MLflow instead; Airflow may have another connection of that name
    """
    if volume() is None:
        raise NoConnection(
            "ML_CONNECTIONS_VOLUME is unset or empty where this task runs, expected the engine's name of the volume "
            "of the connections; do: set it in the scheduler's environment, as docker-compose.yml does"
        )
    content = json.dumps(_login() if login else _content(name))
    if not FOLDER.is_dir():
        raise NoConnection(
            f"there is no {FOLDER} where this task runs, expected the volume of the connections; "
            "do: let the scheduler mount it, as docker-compose.yml does"
        )
    remove(task)
    folder = _folder(task)
    folder.mkdir()
    file = folder / f"{name}.json"
    file.write_text(content, encoding="utf-8")
    # The stage may run as another user than Airflow: the mount of the volume decides who reads it, not the modes.
    file.chmod(0o644)
    folder.chmod(0o755)
    return f"{TARGET}/{folder.name}"


def remove(task: Mapping[str, str]) -> None:
    """Remove the folder of a task, if it has one."""
    for folder in _folders(task):
        shutil.rmtree(folder, ignore_errors=True)


def remove_all_but(tasks: Iterable[Mapping[str, str]]) -> None:
    """Remove the folders of other tasks than these, which have a container; one that is new may still get its own.

    A worker that is killed before it starts the container leaves a folder that no container names.
    """
    kept = {folder for task in tasks for folder in _folders(task)}
    for folder in set(FOLDER.glob("*")) - kept:
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > START_S:
                shutil.rmtree(folder)


def _folder(task: Mapping[str, str]) -> Path:
    return FOLDER / hashlib.sha256(json.dumps(dict(task), sort_keys=True).encode()).hexdigest()[:16]


def _folders(task: Mapping[str, str]) -> set[Path]:
    """The folder of a task, and the one that the version before gave to all tries of it."""
    return {_folder(task), _folder({name: value for name, value in task.items() if name != container_labels.LAST_TRY})}


def _login() -> dict[str, Any]:
    return {
        "login": ACCOUNT,
        "password": _secret(PASSWORD, "the password of the stage's account at MLflow"),
        "key": _secret(KEY, "the key with which the stage signs, ML_REGISTRY_KEY"),
    }


def _secret(file: Path, what: str) -> str:
    try:
        found = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NoConnection(
            f"{file} cannot be read where this task runs ({error.strerror}), expected {what}; "
            "do: let the scheduler have the secret, as docker-compose.yml does"
        ) from None
    if not found:
        raise NoConnection(f"{file} is empty, expected {what}; do: `make up`, which gives .env what it lacks")
    return found


def _content(name: str) -> dict[str, Any]:
    try:
        connection = Connection.get(name)
    except AirflowNotFoundException:
        raise NoConnection(
            f"Airflow has no connection {name!r}, expected one with the server's address and the credentials; "
            f"do: add it in Admin > Connections, or with `airflow connections add {name}`"
        ) from None
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:  # its text may be secret
        raise NoConnection(f"the extra of the connection {name!r} is not JSON; do: correct it") from None
    return {**{field: getattr(connection, field) for field in FIELDS}, "extra": extra}
