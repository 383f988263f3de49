"""The plugin around Airflow's API server: headers, what needs a log-in, how often an address may ask for a token."""

import runpy

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.dags.conftest import DAGS

GUARD = runpy.run_path(str(DAGS / "plugins" / "web_guard.py"))
WebGuard, MOST_BYTES = GUARD["WebGuard"], GUARD["MOST_BYTES"]
ALLOWED = 20


async def answer(request: Request) -> PlainTextResponse:
    await request.body()
    return PlainTextResponse("answered", headers={"x-frame-options": "ALLOWALL", "x-other": "kept"})


def client(address: str = "10.0.0.1", app: object = None) -> TestClient:
    """A browser at an address; of a guarded application of its own, unless one is given."""
    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    return TestClient(app or WebGuard(Starlette(routes=routes)), client=(address, 50000))


@pytest.mark.parametrize(
    ("path", "inline"), [("/", False), ("/dags/predict", False), ("/api/v2/dags", False), ("/auth/users/list/", True)]
)
def test_answer_has_the_headers_once(path: str, inline: bool) -> None:
    headers = client().get(path).headers
    assert headers.get_list("x-frame-options") == ["SAMEORIGIN"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-other"] == "kept"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert ("script-src 'self' 'unsafe-inline'" in headers["content-security-policy"]) is inline


@pytest.mark.parametrize("path", ["/auth/token", "/auth/token/cli", "/auth/token/"])
def test_address_that_asks_for_many_tokens_has_to_wait_and_others_do_not(path: str) -> None:
    stranger = client()
    assert [stranger.post(path).status_code for _ in range(ALLOWED + 1)] == [200] * ALLOWED + [429]
    refused = stranger.post("/auth/token/cli")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert refused.headers["x-frame-options"] == "SAMEORIGIN"
    assert stranger.get("/").status_code == 200
    assert client("10.0.0.2", stranger.app).post(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/openapi.json", "/docs", "/redoc", "/auth/openapi.json", "/auth/docs", "/execution/docs", "/api/v2/version"],
)
def test_description_of_the_api_needs_a_log_in(path: str) -> None:
    assert client().get(path).status_code == 401


@pytest.mark.parametrize("path", ["/api/v2/monitor/health", "/documents", "/api/v2/versions", "/openapi.jsonl"])
def test_other_paths_are_airflows_own_matter(path: str) -> None:
    assert client().get(path).text == "answered"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200), ("http://testserver", 200), ("https://TESTSERVER", 200), ("http://airflow.example:8080", 200),
        ("http://testserver:5000", 403), ("https://evil.example", 403), ("null", 403), ("", 403), ("file://", 403),
        ("http://testserver.evil.example", 403), ("http://testserver@evil.example", 403),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_page_of_another_service_is_refused(
    origin: str | None, status: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the login of the browser, a page of another port made 50 connections by a POST without a body."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.example:8080")
    headers = {"Origin": origin} if origin is not None else {}
    assert client().request(method, "/api/v2/connections/defaults", headers=headers).status_code == status


def test_refusal_says_what_a_proxy_must_pass_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy that replaced Host, as nginx does by default, nobody could log in, and nothing said why."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")
    headers = {"Origin": "https://ml.example", "Host": "airflow:8080"}
    said = client().post("/auth/token", headers=headers).json()["detail"]
    assert "a page of 'https://ml.example' may not use this service" in said
    assert "expected one of airflow:8080 or localhost:8080; do: " in said
    assert "have the proxy pass on Host" in said
    headers["Host"] = "ml.example"
    assert client().post("/auth/token", headers=headers).status_code == 200


def test_body_that_is_too_large_is_refused_and_not_kept() -> None:
    """Airflow kept it in memory before it asked for a login."""
    assert client().post("/", content=b"x" * MOST_BYTES).status_code == 200
    assert client().post("/", content=b"x" * (MOST_BYTES + 1)).status_code == 413
    with pytest.raises(ClientDisconnect):  # in chunks it announces no length
        client().post("/", content=(b"x" * (1 << 20) for _ in range(17)))
