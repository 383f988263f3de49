"""A login for each request: HTTP's basic authentication. services/mlflow and services/reports have the same copy."""

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # health checks load this file too
    from starlette.types import ASGIApp, Receive, Scope, Send

# The account of people, and the secret that is its password.
PEOPLE, PAGES = "ml", "pages_password"
SECRETS = Path("/run/secrets")
# What nobody finds by trying, so that nothing has to count the tries, which would shut out the stage too.
LEAST_CHARACTERS = 16
TEXT = (b"content-type", b"text/plain")
ASK = (b"www-authenticate", b'Basic realm="airflow-ml", charset="UTF-8"')


class Login:
    """Around an application: requests without the name and password of an account get 401, except `without` login.

    A browser sends the login with what a page of another service asks too, so such a request gets 403: a page of
    another port of this machine may be another user's.

    :param accounts: the password of each account
    :param without: paths that are answered to everybody
    """

    def __init__(self, app: "ASGIApp", accounts: Mapping[str, str], without: Collection[str] = ()) -> None:
        self._app, self._without = app, without
        self._known = [_digest(f"{name}:{password}".encode()) for name, password in accounts.items()]

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or open a web socket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif _is_of_another_page(scope):
            await _refuse(scope, send, 403, b"A page of another service may not ask this one.\n", TEXT)
        elif scope["path"] in self._without or self._is_known(scope):
            await self._app(scope, receive, send)
        else:
            await _refuse(scope, send, 401, b"Log in.\n", TEXT, ASK)

    def _is_known(self, scope: "Scope") -> bool:
        """Whether the request has the login of an account; how long this takes says nothing about a password."""
        scheme, _, word = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        try:
            given = _digest(base64.b64decode(word.strip(), validate=True) if scheme.lower() == b"basic" else b"")
        except ValueError:
            return False
        return any([hmac.compare_digest(given, known) for known in self._known])  # noqa: C419 - each is compared


async def _refuse(scope: "Scope", send: "Send", status: int, why: bytes, *headers: tuple[bytes, bytes]) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": why})
    else:
        await send({"type": "websocket.close", "code": 1008})


def _is_of_another_page(scope: "Scope") -> bool:
    """Whether a browser sends this for a page of another origin (header Origin; RFC 6454)."""
    origins = {value.lower().partition(b"://")[2] for name, value in scope["headers"] if name == b"origin"}
    hosts = {value.lower() for name, value in scope["headers"] if name == b"host"}
    return bool(origins) and origins != hosts


def _digest(login: bytes) -> bytes:
    """All have the same length, so that a comparison does not show a password's."""
    return hashlib.sha256(login).digest()


def passwords(**secrets: str) -> dict[str, str]:
    """The password of each account, from the secret that is named. Errors: ValueError, which names the file."""
    found = {account: secret(name) for account, name in secrets.items()}
    for account, name in secrets.items():
        if (length := len(found[account])) < LEAST_CHARACTERS:
            raise ValueError(
                f"{SECRETS / name} has {length} characters, expected a password of at least {LEAST_CHARACTERS}; "
                f"do: set ML_{name.upper()} in .env, then make up"
            )
    return found


def secret(name: str) -> str:
    """The text of a secret, which is a file; empty if there is none."""
    file = SECRETS / name
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def header(name: str, password: str) -> dict[str, str]:
    """The header with which an account logs in."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}
