"""A plugin of Airflow: what its web server adds for strangers: headers, a login, limits, no pages of other origins.

The API server puts it around every answer. It writes headers for browsers; answers 401 where Airflow itself would show
its version or the description of its API to anybody; 403 to what a page of another service asks; 413 to a body that is
too large; and 429 to an address that asks for tokens too often. Airflow itself limits its login form
(`[fab] auth_rate_limit`). Counts are in memory: the API server is one process.
"""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Attempts, right ones too: a right one in between must not allow more wrong ones. The host tool makes one a command.
TOKENS, ATTEMPTS = re.compile(r"/auth/token(/cli)?/?"), "20 per minute"
# Airflow answers these without a login.
OF_A_USER = re.compile(r"/api/v2/version/?|(/auth|/execution)?/(openapi\.json|docs|docs/oauth2-redirect|redoc)/?")
COOKIE = "_token"
# Airflow keeps a whole body in memory before it asks who sends it. Its own are far smaller.
MOST_BYTES = 16 << 20

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Airflow shows its pages of accounts in a frame of its own.
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
}
# Airflow's editor starts its workers from blobs; its components write styles into their elements.
POLICY = {
    "default-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self'",
}
# The pages of logins and accounts have scripts in their source.
ACCOUNTS, INLINE = "/auth/", {"script-src": "'self' 'unsafe-inline'"}


class WebGuard:
    """Around Airflow's application: judges a request, then adds headers to the answer."""

    def __init__(self, app: "ASGIApp") -> None:
        # Here, because every process of Airflow loads this file.
        from airflow.configuration import conf
        from limits import parse
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        self._app = app
        # A proxy in front may pass on another name than the browser's.
        self._page = urlsplit(conf.get("api", "base_url", fallback="")).netloc.lower().encode()
        self._attempts, self._limiter = parse(ATTEMPTS), MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name.lower().encode(), value.encode()) for name, value in headers_of(scope["path"]).items()]

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in headers}
                message["headers"] = [*(one for one in message["headers"] if one[0].lower() not in names), *headers]
            await send(message)

        answer = await self._refusal(scope) or self._app
        await answer(scope, with_limit(receive), send_with_headers)

    async def _refusal(self, scope: "Scope") -> "ASGIApp | None":
        from starlette.responses import JSONResponse

        path, headers = scope["path"], scope["headers"]
        if said := another_page(headers, self._page):
            return JSONResponse({"detail": said}, 403)
        if any(name == b"content-length" and int(value) > MOST_BYTES for name, value in headers):
            return JSONResponse({"detail": f"more than {MOST_BYTES:,} bytes"}, 413, headers={"Connection": "close"})
        if scope["method"] == "POST" and TOKENS.fullmatch(path):
            address = (scope.get("client") or ("unknown",))[0]
            if not self._limiter.hit(self._attempts, address):
                again = {"Retry-After": str(self._attempts.get_expiry())}
                return JSONResponse({"detail": f"more than {ATTEMPTS}; wait a minute"}, 429, headers=again)
        elif OF_A_USER.fullmatch(path) and not await is_user(scope):
            return JSONResponse({"detail": "Not authenticated"}, 401)
        return None


def another_page(headers: "Iterable[tuple[bytes, bytes]]", page: bytes) -> str:
    """What to say if a browser sends this for a page of another origin (header Origin; RFC 6454); otherwise empty.

    Airflow's cookie says SameSite=Lax, and for that a page of another port of this machine is the same site.

    :param page: the host name and port that the settings give Airflow
    """
    found = [(name, value.lower()) for name, value in headers]
    origins = [value for name, value in found if name == b"origin"]
    ours = {page, *(value for name, value in found if name == b"host")} - {b""}
    if all(origin.partition(b"://")[2] in ours for origin in origins):
        return ""
    return (
        f"a page of {b', '.join(origins).decode('latin-1')!r} may not use this service; expected one of "
        f"{b' or '.join(sorted(ours)).decode('latin-1')}; do: if it is this service's page behind a proxy, have the "
        "proxy pass on Host"
    )


def with_limit(receive: "Receive") -> "Receive":
    """The same messages, until a body that did not announce its length is too large: then the client is gone."""
    left = MOST_BYTES

    async def receive_some() -> "Message":
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    return receive_some


def headers_of(path: str) -> dict[str, str]:
    """The headers of an answer."""
    policy = POLICY | (INLINE if path.startswith(ACCOUNTS) else {})
    return HEADERS | {"Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items())}


async def is_user(scope: "Scope") -> bool:
    """Whether a request has the token of a user, as Airflow judges it."""
    from airflow.api_fastapi.app import get_auth_manager
    from jwt.exceptions import InvalidTokenError
    from starlette.requests import Request

    request = Request(scope)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    token = bearer if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
    if not token:
        return False
    try:
        return bool(await get_auth_manager().get_user_from_token(token))
    except InvalidTokenError:
        return False


MIDDLEWARE: dict[str, Any] = {"name": "web guard", "middleware": WebGuard}


class WebGuardPlugin(AirflowPlugin):
    """Registers the class above."""

    name = "airflow-ml web guard"
    fastapi_root_middlewares = [MIDDLEWARE]  # noqa: RUF012 - Airflow's name
