"""Accounts: what a name may be."""

import pytest

from tests.airflow_ml.test_main import tool


@pytest.mark.parametrize("name", ["Ada", "ada@example.com", "-ada", "a b", "", "ä", "a" * 64])
def test_name_that_is_none_is_refused(name: str) -> None:
    done = tool("account", "--role=viewer", "--", name)
    assert done.returncode == 2
    assert "is no name of small letters" in done.stderr


def test_admin_keeps_its_role() -> None:
    done = tool("account", "admin", "--role=viewer")
    assert done.returncode == 2
    assert "admin cannot be a viewer" in done.stderr
