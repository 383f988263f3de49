"""Accounts: what a name may be, and the password of `admin` in `.env`."""

import stat
from pathlib import Path

import pytest
from airflow_ml.account import write_password
from airflow_ml.common import AirflowMlError

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


def test_new_password_changes_one_line_of_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("# ML_ADMIN_PASSWORD=no\nML_ADMIN_PASSWORD=old\nML_OTHER_PASSWORD=kept=\n")
    write_password(env, "new")
    assert env.read_text() == "# ML_ADMIN_PASSWORD=no\nML_ADMIN_PASSWORD=new\nML_OTHER_PASSWORD=kept=\n"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "ML_ADMIN_PASSWORD=\n", "# ML_ADMIN_PASSWORD=old\n"])
def test_file_without_a_password_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text(text)
    with pytest.raises(AirflowMlError, match="make up, which adds it"):
        write_password(tmp_path / ".env", "new")
