"""The secrets of `.env` as files: what is in them, who may read them, when they change."""

import configparser
import re
import urllib.parse
from pathlib import Path

import pytest
import yaml
from airflow_ml import secret_files
from airflow_ml.common import ROOT, AirflowMlError

VALUES = {name: f"of {name}" for name in secret_files.SECRETS}


def test_files_are_those_that_compose_mounts(tmp_path: Path) -> None:
    secret_files.write(tmp_path / ".secrets" / "one", VALUES)
    mounted = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["secrets"]
    assert {path.name for path in (tmp_path / ".secrets" / "one").iterdir()} == set(mounted)


def test_secrets_are_those_of_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    random = set(re.findall(r"^(\w+)=<(?:password|fernet key|registry key)>$", example, re.MULTILINE))
    assert {secret_files.setting(name) for name in secret_files.SECRETS} == {
        *random, *map(secret_files.setting, secret_files.MAY_BE_EMPTY)
    }  # fmt: skip


def test_variable_of_compose_has_no_secret() -> None:
    for file in ROOT.glob("docker-compose*.yml"):
        assert not [name for name in secret_files.SECRETS if secret_files.setting(name) in file.read_text()]


def test_user_of_a_service_may_read_a_file_and_another_account_may_not_enter_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".secrets" / "one"
    secret_files.write(folder, VALUES)
    assert {path.stat().st_mode & 0o777 for path in (folder.parent, folder)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}


def test_file_whose_secret_stays_is_not_touched(tmp_path: Path) -> None:
    """Its time says which services have the old value."""
    folder = tmp_path / ".secrets" / "one"
    secret_files.write(folder, VALUES)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    secret_files.write(folder, {**VALUES, "pages_password": "another"})
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name for name in before if after[name] != before[name]} == {"pages_password"}


def test_airflow_reads_what_was_written() -> None:
    odd = "a%b/c@d:e$f #g"
    settings = configparser.ConfigParser()
    settings.read_string(secret_files.airflow_settings({**VALUES, "postgres_password": odd, "jwt_secret": odd}))
    address = urllib.parse.urlsplit(settings["database"]["sql_alchemy_conn"])
    assert (address.hostname, address.path, urllib.parse.unquote(address.password or "")) == (
        "postgres",
        "/airflow",
        odd,
    )
    assert settings["api_auth"]["jwt_secret"] == odd
    assert settings["core"]["fernet_key"] == VALUES["fernet_key"]
    assert settings["api"]["secret_key"] == VALUES["api_secret_key"]


def test_setting_without_a_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(AirflowMlError, match="no ML_JWT_SECRET\n"):
        secret_files.write(tmp_path / "one" / "two", {**VALUES, "jwt_secret": "", "alert_urls": ""})
    assert list(tmp_path.iterdir()) == []


def test_values_are_read_as_compose_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes and `$` of an older `.env` mean what they meant when compose itself handed the values over."""
    monkeypatch.delenv("ML_ALERT_URLS", raising=False)
    monkeypatch.setenv("ML_JWT_SECRET", "$of-the-environment")
    (tmp_path / ".env").write_text("ML_ADMIN_PASSWORD='a$b'\nML_PAGES_PASSWORD=\"c d\"\nML_JWT_SECRET=x\n")
    found = secret_files.secret_values(tmp_path)
    assert (found["admin_password"], found["pages_password"]) == ("a$b", "c d")
    assert (found["jwt_secret"], found["alert_urls"]) == ("$of-the-environment", "")
