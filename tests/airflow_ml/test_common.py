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
    env_line,
    image_lock,
    locked_image,
    read_env,
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


# Lines of an `.env`, and what they set.
LINES = (
    ("X=s3cret#1", "s3cret#1"),
    ("X='s3cret#1'", "s3cret#1"),
    ('X="5001"', "5001"),
    ("X=/srv/ml   # our disk", "/srv/ml"),
    ("X='a' # why", "a"),
    ('X="a # b"#why', "a # b"),
    ("X= # no value", "# no value"),
    ("X=a\t# b", "a\t# b"),
    ("X=", ""),
    ("X=''", ""),
    ('X=""', ""),
    ("X=  a b  ", "a b"),
    ("X = a", "a"),
    ("  X=a", "a"),
    ("X='", None),
    ("export X=a", "a"),
    ("export\tX='a'", "a"),
    ("X: a", "a"),
    ("X=a:b=c", "a:b=c"),
    ("#X=a", ""),
    ("X", ""),
    ("1X=a", ""),
    ("X=it's", "it's"),
    ("X=a'b'", "a'b'"),
    ("X='it\\'s'", "it's"),
    (r"X='a\nb\\'", r"a\nb\\"),
    (r"X=a\nb\"", r"a\nb\""),
    (r'X="a\"b\\c\nd\te"', 'a"b\\c\nd\te'),
    (r"""X="a\q\'\x" """, r"a\q\'\x"),
    ('X="a', None),
    (r'X="a\"', None),
    ("X=a$$b", "a$b"),
    ("X='a$b$$c'", "a$b$$c"),
    (r'X="a$$b\$c"', "a$b$c"),
    ("X=a$", "a$"),
    ("X=$1", "$1"),
    ("X=a$ b", "a$ b"),
    ("Y=1\nX=$Y-${Y}", "1-1"),
    ('Y=1\nX="\\\\$Y"', "\\1"),
    ("X=$Y.", "."),
    ("X=${Y:-a}b # c", "ab"),
    ("Y=\nX=${Y-a}${Y:-b}", "b"),
    ("X=$OURS", "of the environment"),
    ("OURS=no\nX=$OURS", "of the environment"),
    ("X=${Y", None),
    ("X=${Y:?no}", None),
    ("X=1\nX=2", "2"),
    ("X=a\r\nY=2", "a"),
    ("\ufeffX=a", "a"),
    ("X=\u00e9\u00a0#", "\u00e9\u00a0#"),
)


def of_compose(file: Path) -> "str | None":
    """What compose reads from an environment file as X; None if it refuses the file."""
    probe = '{"services": {"x": {"image": "x", "environment": {"X": "${X-}"}}}}'
    config = ["--project-name=x", f"--env-file={file}", "--file=-", "config", "--format=json"]
    done = try_docker("compose", *config, stdin=probe)
    return None if done.returncode else json.loads(done.stdout)["services"]["x"]["environment"]["X"].replace("$$", "$")


@pytest.mark.parametrize(("text", "value"), LINES)
def test_line_of_the_settings_is_read_as_compose_reads_it(
    text: str, value: "str | None", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "of the environment")
    file = tmp_path / ".env"
    file.write_text(f"{text}\n", newline="")
    assert of_compose(file) == value
    if value is None:
        with pytest.raises(AirflowMlError, match=r"line 1: the value of X cannot be read"):
            read_env(file)
    else:
        assert read_env(file).get("X", "") == value


@pytest.mark.parametrize("text", ["X='a'b", "X='a' b", "X='a\nb'", "X=${Y:+a}", r'X="\a"'])
def test_line_that_only_compose_can_read_is_refused_without_its_value(text: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"Y=1\n{text}\n")
    with pytest.raises(AirflowMlError, match=r"\.env, line 2: the value of X cannot be read\n") as refused:
        read_env(tmp_path / ".env")
    assert text.partition("=")[2] not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        " a",
        "/srv/our disk",
        "a #b",
        " a ",
        "'a'",
        '"',
        "it's",
        "a$b",
        "$$",
        "${Y",
        "a\\",
        '\\"$#\n',
        "#",
        "\\n #",
    ],
)
def test_value_is_written_as_compose_and_the_tool_read_it(value: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{env_line('X', value)}\n")
    assert (of_compose(file), read_env(file)) == (value, {"X": value})


def test_settings_in_quotes_and_with_comments(root: Path) -> None:
    (root / ".env").write_text(
        "export ML_DATA='/srv/our days' # disk\nML_MLFLOW_PORT=\"5001\"\nML_DEADLINE='' # none\n"
    )
    found = settings(root)
    assert (found["ML_DATA"], found["ML_MLFLOW_PORT"], found["ML_DEADLINE"]) == ("/srv/our days", "5001", "06:00")


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
