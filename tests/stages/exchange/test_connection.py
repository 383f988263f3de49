"""Connections: what is read, what is refused, and that no message shows a secret."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stagekit import BadInput, UsageError

from connection import read_connection
from database import _conninfo, explain


def test_a_connection_of_airflow_is_read(connect: Callable[..., None]) -> None:
    connect(extra={"sslmode": "require"})
    found = read_connection("shop")
    assert (found.kind, found.host, found.port, found.database) == ("postgres", "db", 5432, "shop")
    assert "cret" not in repr(found)


def test_what_is_not_given_is_empty(connect: Callable[..., None]) -> None:
    connect(host=None, port=None, login=None, password=None, schema=None)
    found = read_connection("shop")
    assert (found.host, found.port, found.login, found.password, found.database, found.extra) == (
        "",
        None,
        "",
        "",
        "",
        {},
    )


BAD = {
    "no JSON": "password = geheim",
    "no object": '["geheim"]',
    "a key twice": '{"conn_type": "geheim", "conn_type": "geheim"}',
    "a number as password": '{"conn_type": "postgres", "password": {"geheim": "geheim"}}',
    "no type": '{"password": "geheim"}',
    "nested": "[" * 100_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_file_that_is_no_connection_is_refused_without_its_content(connect: Callable[..., None], text: str) -> None:
    connect(text)
    with pytest.raises(BadInput, match="shop") as error:
        read_connection("shop")
    assert "geheim" not in str(error.value)


def test_a_missing_connection_says_how_to_mount_it(connect: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--volume .*{tmp_path}/other.json:ro"):
        read_connection("other")


def test_libpq_reads_the_password_as_it_is(connect: Callable[..., None]) -> None:
    connect()
    assert r"password='se\'cret\\'" in _conninfo(read_connection("shop"))


def test_a_server_that_repeats_the_secret_does_not_show_it(connect: Callable[..., None]) -> None:
    connect()
    error = explain(read_connection("shop"), OSError("IO: cannot use se'cret\\ here"))
    assert "cret" not in str(error)
    assert "***" in str(error)


@pytest.mark.parametrize("value", [5, ["http://store"], "http://store\0"])
def test_an_extra_that_is_no_text_is_refused(connect: Callable[..., None], value: object) -> None:
    connect(extra={"endpoint_url": value})
    with pytest.raises(UsageError, match="endpoint_url in the extra of the connection shop is no text"):
        read_connection("shop").require_extra(("endpoint_url",))
