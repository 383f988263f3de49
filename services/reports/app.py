"""The web application: the dashboard, the page of a day, a health check, and an error page for everything else."""

import hashlib
import logging
import re
import time
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import dashboard
import pages
from days import BACKTEST, PAGE, Days, NotFound, NotPublished, is_day
from login import Login
from style import STYLE_HASH

MOST_LOGGED = 200
HEALTH = "/healthz"
MADE_BY = {PAGE: "monitor", BACKTEST: "backtest"}
# A page names its own style by hash in a policy of its own. A browser obeys both policies.
PAGE_STYLE, OWN_STYLE = "'unsafe-inline'", f"'sha256-{STYLE_HASH}'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Connection": "close",
}

log = logging.getLogger("reports")


def make_app(days: Days, hosts: frozenset[str], accounts: Mapping[str, str]) -> ASGIApp:
    """The application, which answers requests for these host names only, and shows days to these accounts only."""

    def index(_: Request) -> Response:
        return _page(200, dashboard.index(days.summaries(), days.backtests()))

    def day(request: Request) -> Response:
        return _day(days, request.path_params["ds"], PAGE, request.headers.get("if-none-match", ""))

    def backtest(request: Request) -> Response:
        return _day(days, request.path_params["ds"], BACKTEST, request.headers.get("if-none-match", ""))

    routes = [
        Route("/", index),
        Route(HEALTH, _health),
        Route("/{ds}/", day),
        Route("/{ds}/index.html", day),
        Route(f"/{{ds}}/{BACKTEST}", backtest),
        Route("/{ds}", _add_slash),
    ]
    handlers = {HTTPException: _error, Exception: _failure}
    return Guard(Login(Starlette(routes=routes, exception_handlers=handlers), accounts, [HEALTH]), hosts)


class Guard:
    """Refuses foreign host names, adds the security headers to each response, and logs one line for each request.

    It lies around the whole application, so that the responses to errors have the headers too.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        sent = {"status": 0, "bytes": 0}

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Content-Security-Policy", policy("'none'"))
            elif scope["method"] != "HEAD":
                sent["bytes"] += len(message.get("body", b""))
            await send(message)

        app = self._app if self._is_ours(Headers(scope=scope).get("host", "")) else self._misdirected
        try:
            await app(scope, receive, send_safely)
        finally:
            _log(scope, sent["status"], sent["bytes"], time.monotonic() - started)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header, with or without a port, names this service.

        A foreign page could let its own name lead to this machine, and read the response (DNS rebinding).
        """
        return re.sub(r":[0-9]*$", "", host.strip().lower()) in self._hosts

    async def _misdirected(self, scope: Scope, receive: Receive, send: Send) -> None:
        expected = f"This service has other names. Expected: {', '.join(sorted(self._hosts))}."
        await _page(421, pages.message("Wrong host name", expected))(scope, receive, send)


def policy(style: str) -> str:
    """A Content-Security-Policy: this style, and nothing else from anywhere."""
    return f"default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _page(status: int, content: bytes, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTMLResponse(content, status, {"Content-Security-Policy": policy(OWN_STYLE), **named})


def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _add_slash(request: Request) -> Response:
    """The address of a day ends in a slash."""
    if not is_day(request.path_params["ds"]):
        raise HTTPException(404)
    return RedirectResponse(f"/{request.path_params['ds']}/", 308)


def _day(days: Days, ds: str, name: str, known: str) -> Response:
    """A page of a day, by its file name; 304 without content if the browser knows it (the header If-None-Match)."""
    if not is_day(ds):
        raise HTTPException(404)
    neighbours = days.neighbours(ds)
    try:
        content = pages.with_days(days.page(ds, name), *neighbours)
    except NotFound:
        return _page(
            404, pages.message("No report", f"{ds} has no report. The Dag {MADE_BY[name]} makes it.", *neighbours)
        )
    except NotPublished as error:
        why = f"{error}. It is being published, or somebody edited it. Try again in a few seconds."
        return _page(503, pages.message("Not published", why, *neighbours), Retry_After="5")
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Content-Security-Policy": policy(PAGE_STYLE)}
    if known == headers["ETag"]:
        return Response(None, 304, headers)
    return HTMLResponse(content, 200, headers)


def _error(_: Request, error: Exception) -> Response:
    """The page of an error that the router raised."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    title, text = pages.ERRORS.get(status, ("Error", f"The service answers with status {status}."))
    headers = {"Allow": "GET, HEAD"} if status == 405 else {}
    return _page(status, pages.message(title, text), **headers)


def _failure(_request: Request, _error: Exception) -> Response:
    """The page of a fault of this service. The server logs the traceback."""
    return _page(500, pages.message("Failure", "The service failed. Its log holds the reason."))


def _log(scope: Scope, status: int, content: int, seconds: float) -> None:
    """Log a request. The path is logged as it was sent, so that it cannot forge a line."""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    request = f"{scope['method']} {target.decode('latin-1')[:MOST_LOGGED]}"
    client = (scope.get("client") or ["?"])[0]
    level = logging.DEBUG if request == "GET /healthz" and status == 200 else logging.INFO
    log.log(level, "%d %s from=%s bytes=%d seconds=%.3f", status, request, client, content, seconds)
