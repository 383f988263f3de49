"""A folder of connections in place of /run/connections, which nobody can mount inside of the test's container."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import connection

DS = "2026-11-21"
GOOD = {
    "conn_type": "postgres", "host": "db", "port": 5432, "login": "feed", "password": "se'cret\\", "schema": "shop",
}  # fmt: skip


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the connection `shop`; keys that are None are left out."""
    monkeypatch.setattr(connection, "FOLDER", tmp_path)

    def write(text: str | None = None, **change: Any) -> None:
        content = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
        (tmp_path / "shop.json").write_text(json.dumps(content) if text is None else text)

    return write
