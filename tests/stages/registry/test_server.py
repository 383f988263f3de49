"""A server that is down, silent, or not MLflow's."""

import json
import socket
import urllib.error
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Answering, World

import server
from rest import with_login

PAUSES_S = server.PAUSES_S


@pytest.fixture(autouse=True)
def _login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_CONNECTIONS", str(tmp_path))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"Log in.", "mount a mlflow.json at /run/connections"),
        (403, b"Invalid Host header", "--allowed-hosts"),
        (500, b"boom", "HTTP status 500: boom"),
        (503, b"", "HTTP status 503: nothing"),
        (404, b"<html>no such page</html>", "something else than MLflow"),
        (200, b'{"hello": 1}', "something else than MLflow"),
        (200, b"[]", "something else than MLflow"),
    ],
)
def test_answer_that_is_not_mlflows_is_shown(
    world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, said: str
) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    answering.status, answering.body = status, body
    result = world.run("resolve")
    assert result.code == 1
    assert said in result.log
    assert answering.address in result.log


def test_login_is_sent_to_the_server_and_to_no_other_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "mlflow.json").write_text(json.dumps({"login": "registry", "password": "pä:ss", "key": "x"}))
    login = server.login_header(server.read_login())
    assert login == {"Authorization": "Basic cmVnaXN0cnk6cMOkOnNz"}
    request = with_login("http://mlflow:5000/", login)
    assert (request.unredirected_hdrs, request.headers) == (login, {})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"login": "x"}',
        '{"login": "x", "password": 1, "key": "x"}',
        '{"password": "shown"',
        '{"login": "x", "password": "shown"}',
        '{"login": "x", "password": "shown", "key": ""}',
        '{"login": "x", "password": "shown", "key": null}',
    ],
)
def test_file_that_is_no_login_is_wrong_usage_and_is_not_shown(world: World, tmp_path: Path, content: str) -> None:
    (tmp_path / "mlflow.json").write_text(content)
    result = world.run("resolve")
    assert result.code == 2
    assert f"{tmp_path}/mlflow.json is no login" in result.log
    assert "shown" not in result.log


def test_server_that_takes_the_call_and_is_silent_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ML_MLFLOW_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        result = world.run("list")
    assert result.code == 1
    assert "out of reach (timed out)" in result.log


@pytest.mark.parametrize(("after", "said"), [(4, "something else than MLflow"), (5, "Connection refused")])
def test_server_that_refuses_the_connection_at_first_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch, after: int, said: str
) -> None:
    """As of a new pod, until the network knows its address."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    waited: list[float] = []
    with ExitStack() as stack:

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == after:
                stack.enter_context(Answering(port))

        monkeypatch.setattr(server.time, "sleep", sleep)
        monkeypatch.setattr(server, "PAUSES_S", PAUSES_S)
        monkeypatch.setenv("ML_MLFLOW_URI", f"http://127.0.0.1:{port}")
        result = world.run("list")
    assert (result.code, waited) == (1, [1, 2, 4, 8])
    assert said in result.log


def test_address_that_is_none_is_wrong_usage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", "mlflow:5000")
    assert world.run("resolve").code == 2


LOOPBACK, ETHERNET = (1, "lo"), (2, "eth0")


@pytest.mark.parametrize(
    ("networks", "reason", "advice"),
    [
        (
            [LOOPBACK],
            socket.gaierror(-3, "no name"),
            "this container has no network: add `--network airflow-ml_mlflow`",
        ),
        ([LOOPBACK, ETHERNET], socket.gaierror(-2, "no name"), "add `--network airflow-ml_mlflow` to `docker run`"),
        ([LOOPBACK, ETHERNET], ConnectionRefusedError(), "start it (`docker compose up -d mlflow`)"),
    ],
)
def test_missing_network_is_named(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    networks: list[tuple[int, str]],
    reason: OSError,
    advice: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError(reason)

    monkeypatch.setattr(socket, "if_nameindex", lambda: networks)
    monkeypatch.setattr(server.urllib.request, "urlopen", fail)
    monkeypatch.setenv("ML_MLFLOW_URI", "http://mlflow:5000")
    result = world.run("list")
    assert result.code == 1
    assert f"do: {advice}" in result.log
