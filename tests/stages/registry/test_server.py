"""A server that is down, silent, or not MLflow's."""

import socket
import time

import pytest
from conftest import Answering, World


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
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


def test_server_that_takes_the_call_and_is_silent_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ML_MLFLOW_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        result = world.run("list")
        assert time.monotonic() - started < 20
    assert result.code == 1
    assert "out of reach (timed out)" in result.log


def test_address_that_is_none_is_wrong_usage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", "mlflow:5000")
    assert world.run("resolve").code == 2
