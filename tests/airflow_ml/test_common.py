"""What all commands share: docker's errors, the settings, atomic writing, the image lock."""

import argparse
import json
import stat
from pathlib import Path

import pytest
from airflow_ml.common import (
    ROOT,
    AirflowMlError,
    day,
    docker,
    image_lock,
    locked_image,
    settings,
    try_docker,
    write_atomic,
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with an example of the settings only."""
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    (tmp_path / "dags").mkdir()
    for name in settings(tmp_path):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_settings_have_the_defaults_of_the_example(root: Path) -> None:
    found = settings(root)
    assert (found["ML_DATA"], found["ML_UID"], found["ML_STAGE_MEMORY"]) == ("data", "10001", "4g")
    assert "ML_ADMIN_PASSWORD" not in found


def test_settings_of_the_file_win_and_of_the_environment_more(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".env").write_text("# ML_UID=7\nML_DATA=/srv/data\nML_STAGE_MEMORY=\nML_UID=1000\nML_ADMIN_PASSWORD=a=b\n")
    monkeypatch.setenv("ML_UID", "1001")
    found = settings(root)
    assert (found["ML_DATA"], found["ML_UID"], found["ML_STAGE_MEMORY"]) == ("/srv/data", "1001", "4g")
    assert found["ML_ADMIN_PASSWORD"] == "a=b"


def test_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "one\n", mode=0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"one\n", 0o600)
    inode = path.stat().st_ino
    write_atomic(path, "one\n")
    assert path.stat().st_ino == inode, "a file with the same text is not touched"
    write_atomic(path, "two\n")
    assert path.read_text() == "two\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 0, "images": {"base": {"image": "a", "id": "b"}}}', '{"version": 1, "images": [1]}'],
)
def test_lock_that_cannot_be_read_names_no_image(root: Path, text: str) -> None:
    (root / "dags" / "images.lock.json").write_text(text)
    assert image_lock(root) == {}


def test_image_of_the_lock(root: Path) -> None:
    entries = {"base": {"image": "airflow-ml-base:1", "id": "sha256:1"}}
    (root / "dags" / "images.lock.json").write_text(json.dumps({"version": 1, "images": entries}))
    assert image_lock(root) == entries
    assert locked_image("base", root) == "airflow-ml-base:1"
    with pytest.raises(AirflowMlError, match="no image training"):
        locked_image("training", root)


def test_missing_docker_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AirflowMlError, match=r"docker is not installed\n       do: \./airflow-ml engine"):
        docker("version")


def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_engine_that_does_not_answer_is_an_error_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_docker(tmp_path, monkeypatch, "echo 'Cannot connect to the Docker daemon at unix:///x.' >&2; exit 1")
    with pytest.raises(AirflowMlError, match="Cannot connect"):
        try_docker("ps")


def test_failed_docker_command_is_shown_with_what_it_wrote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_docker(tmp_path, monkeypatch, "echo 'no such thing' >&2; exit 1")
    assert try_docker("image", "rm", "x").returncode == 1
    with pytest.raises(AirflowMlError, match="docker image rm x failed: no such thing"):
        docker("image", "rm", "x")


@pytest.mark.parametrize("text", ["2026-02-30", "today", "", "2026-1-1"])
def test_day_is_a_date(text: str) -> None:
    assert day("2026-11-21") == "2026-11-21"
    with pytest.raises(argparse.ArgumentTypeError, match="no date"):
        day(text)
