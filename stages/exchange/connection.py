"""A connection: the address of a server, and the user's name and secret, from a file that only this stage gets.

Reads /run/connections/NAME.json, in the form of Airflow's connections. A secret is in no argument, variable or message.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagekit import BadInput, UsageError
from stagekit.shapes import Maybe, Passes, ShapeError, check, read_object

# Under Airflow a task has a folder of its own below this one.
FOLDER = Path(os.environ.get("ML_CONNECTIONS") or "/run/connections")
# What a C library reads whole.
TEXT = Passes(str, lambda text: "\0" not in text, "a text without the character of code 0")
PORT = Passes(int, lambda port: 0 <= port < 1 << 16, "a number up to 65535")
# The keys that Airflow writes; `schema` is the database.
SHAPE = {
    "conn_type": TEXT,
    "host": Maybe(TEXT),
    "port": Maybe(PORT),
    "login": Maybe(TEXT),
    "password": Maybe(TEXT),
    "schema": Maybe(TEXT),
    "extra": Maybe(dict),
}
EXAMPLE = '{"conn_type": "postgres", "host": "db", "login": "me", "password": "...", "schema": "shop"}'
# The keys of `extra` that hold a secret.
SECRETS = ("aws_session_token",)
HIDDEN = "***"


@dataclass(frozen=True)
class Connection:
    """An Airflow connection. Its secrets are not in its representation."""

    name: str
    kind: str
    host: str
    port: int | None
    login: str
    password: str = field(repr=False)
    database: str
    extra: Mapping[str, Any] = field(repr=False)

    def hide(self, text: str) -> str:
        """A text of a server or a library on one line, without this connection's secrets."""
        for secret in (self.password, *(str(self.extra[key]) for key in SECRETS if self.extra.get(key))):
            text = text.replace(secret, HIDDEN) if secret else text
        return " ".join(text.split())

    def require_kind(self, kinds: tuple[str, ...], purpose: str) -> None:
        """Errors: UsageError for a connection to something else."""
        if self.kind not in kinds:
            raise UsageError(
                f"the connection {self.name} has the type {self.kind!r}",
                expected=f"{' or '.join(kinds)}, for {purpose}",
                do="name another connection, or correct its type",
            )

    def require_extra(self, known: tuple[str, ...]) -> None:
        """Errors: UsageError for what is in `extra` and not known, which would be ignored."""
        if unknown := sorted(self.extra.keys() - set(known)):
            raise UsageError(
                f"the connection {self.name} has {', '.join(unknown)} in its extra",
                expected=f"of {', '.join(known)}",
                do="remove it: it would change nothing",
            )
        texts = {key: self.extra[key] for key in known if self.extra.get(key) is not None}
        for key, value in texts.items():
            if not isinstance(value, str) or not TEXT.test(value):
                raise UsageError(f"{key} in the extra of the connection {self.name} is no text", expected="a text")


def read_connection(name: str) -> Connection:
    """A connection by its name. Errors: UsageError if there is no such file; BadInput if it is no connection."""
    path = FOLDER / f"{name}.json"
    label = f"the connection {name} ({path})"
    try:
        content = read_object(path)
        check(content, SHAPE)
    except FileNotFoundError:
        raise UsageError(
            f"{label} is not there",
            expected=f"a file such as {EXAMPLE}",
            do=f"mount it: `docker run --volume $PWD/{name}.json:{path}:ro`; in Airflow, add a connection {name}",
        ) from None
    except PermissionError:
        raise UsageError(f"{label} cannot be read by user {os.getuid()}", do="let this user read the file") from None
    except ShapeError as error:  # what it found could be the secret
        raise BadInput(f"{label} is no connection", expected=error.expected, do=f"write it as {EXAMPLE}") from None
    texts = {key: content.get(key) or "" for key in ("host", "login", "password", "schema")}
    return Connection(
        name,
        content["conn_type"],
        texts["host"],
        content.get("port"),
        texts["login"],
        texts["password"],
        texts["schema"],
        content.get("extra") or {},
    )
