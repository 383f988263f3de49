"""Exit codes reach the shell: wrong arguments are 2 before anything starts; without an engine the documented code."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_ml import __main__ as cli
from airflow_ml.common import ROOT

from tests.harness import PATIENCE_S

NOWHERE = "unix:///nonexistent/docker.sock"
# For each command arguments that are wrong, and what the message names.
WRONG = (
    ("run --ds=2026-13-01", "'2026-13-01' is no date"),
    ("run --rows=3", "unknown argument '--rows'"),
    ("own", "--data"),
    ("own --data=nothing.csv --target=x", "--data nothing.csv does not exist"),
    ("own --data=README.md", "nothing says what to predict"),
    ("own --data=README.md --target=x", "README.md has no column 'x'"),
    ("up now", "unknown argument 'now'"),
    ("down now", "unknown argument 'now'"),
    ("clean now", "unknown argument 'now'"),
    ("account ada --role=other", "'other'"),
    ("rotate other", "'other'"),
    ("tidy --older-than=37", "'37' is no whole number of days of 38 or more"),
    ("tidy --older-than=90 --kinds=raw,predictons", "did you mean predictions?; expected: backtests, comparisons"),
    ("tidy --older-than=90 --kinds=registry", "'registry' is no kind of partition whose files may go"),
    ("open now", "unknown argument 'now'"),
    ("status now", "unknown argument 'now'"),
    ("doctor now", "unknown argument 'now'"),
    ("models --event", "did you mean --events?"),
    ("logs", "SERVICE|DAG"),
    ("logs predict --tail=0", "'0' is no number from 1 on"),
    ("backfill 2026-10-02 2026-10-01", "2026-10-01 is before 2026-10-02"),
    ("backfill 2026-10-01 2026-10-02 --dag=other", "'other'"),
    ("backfill 2026-10-01 2026-10-02 --dag=predct", "; did you mean predict?"),
    ("backup docs", "docs is there already"),
    ("restore docs", "docs is no backup"),
    ("alerts --last=none", "'none' is no number from 1 on"),
    ("engine now", "unknown argument 'now'"),
    ("build --stage=other", "'other'"),
    ("build --platform=amd64", "'amd64' is no platform"),
    ("build --push=https://example.com", "is no image registry"),
    ("build --platform=linux/amd64,linux/arm64", "add --push ADDRESS, or name one platform"),
    ("new-stage Bad!", "do: make stage NAME=bad"),
    ("new-stage training", "has the name training already"),
    ("new-stage columns --library=a/b", "'a/b' is no package"),
    ("test-stage other", "'other'"),
    ("notebook --port=1", "unknown argument '--port'"),
    ("lineage", "FILE"),
    ("lineage raw/2026-11-21 --format=xml", "'xml'"),
    ("explain 2026-11-21", "KEY"),
    ("diff raw/2026-11-21", "B"),
    ("rerun raw/2026-11-21 --depth=other", "'other'"),
    ("mlflow-client --python", "unknown argument '--python'"),
    ("image-report --naive=other", "'other'"),
    ("pictures --ds=today", "'today' is no date"),
    ("reproduce now", "unknown argument 'now'"),
    ("lock numpy=1", "found the package 'numpy=1'"),
    ("lock no-such-package", "no lock holds no-such-package"),
    ("audit --service=other", "'other'"),
    ("sbom --all", "unknown argument '--all'"),
)
# What needs an engine, and the code that its help gives for work that cannot be done.
WITHOUT_ENGINE = (
    ("run", 1), ("up", 1), ("own --data=README.md --target=airflow-ml", 1), ("engine", 1), ("new-stage columns", 1),
    ("status", 1), ("doctor", 1), ("models", 1), ("logs predict", 1), ("alerts", 1), ("backup", 1),
    ("test-stage training", 1), ("notebook", 1), ("mlflow-client", 1), ("rotate registry_key", 1),
    ("lineage raw/2026-11-21", 3), ("explain 2026-11-21 T1", 3),
    ("diff raw/2026-11-21 raw/2026-11-22", 3), ("rerun raw/2026-11-21", 3),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def no_settings_left() -> Iterator[None]:
    """A command writes `.env` if there is none: one that names NOWHERE as the engine must not stay for `make run`."""
    was_there, path = (ROOT / ".env").exists(), ROOT / ".env"
    yield
    if not was_there and path.exists() and NOWHERE in path.read_text():
        path.unlink()


def tool(words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [ROOT / "airflow-ml", *words.split()]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_table_has_every_command() -> None:
    assert {words.split()[0] for words, _ in WRONG} == set(cli.COMMANDS)


@pytest.mark.parametrize(("words", "named"), WRONG)
def test_wrong_arguments_are_named_before_anything_starts(
    words: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process: that an exit code reaches the shell, the other tests show."""
    calls, docker = tmp_path / "calls", tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexit 1\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(ROOT)
    try:
        code = cli.main(words.split())
    except SystemExit as ended:
        code = ended.code
    printed = capfd.readouterr()
    assert (code, printed.out) == (2, ""), printed.err
    assert named in printed.err
    assert not calls.exists(), f"docker was called: {calls.read_text()}"
    assert "==>" not in printed.err


@pytest.mark.parametrize(("words", "code"), WITHOUT_ENGINE)
def test_without_an_engine_the_documented_code_comes_with_what_to_do(words: str, code: int) -> None:
    done = tool(words, DOCKER_HOST=NOWHERE)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"(?m)^(error: |wrong )", done.stderr + done.stdout)
    documented = cli.parser_of(cli.COMMANDS[words.split()[0]]).format_help().partition("Exit codes:")[2]
    assert re.search(rf"\b{code} ", documented), documented


@pytest.mark.parametrize(
    ("target", "code", "named"),
    [
        ("run DS=2026-13-01", 2, "'2026-13-01' is no date"),
        ("own DATA=nothing.csv TARGET=x", 2, "--data nothing.csv does not exist"),
        ("stage NAME=Bad!", 2, "cannot be a stage's name"),
        ("lineage", 2, "name one, such as FILE="),
        ("diff A=raw/2026-11-21", 2, "name one, such as B="),
        ("rerun FILE=raw/2026-11-21 DEPTH=other", 2, "'other'"),
        ("audit SERVICE=other", 2, "'other'"),
        ("lock PACKAGE=no-such-package", 2, "no lock holds no-such-package"),
        ("alerts", 1, "error: "),
        ("lineage FILE=raw/2026-11-21", 3, "error: "),
    ],
)
def test_make_fails_with_the_code_of_the_command_in_its_last_line(target: str, code: int, named: str) -> None:
    """make itself always ends with 2; it prints the command's own code."""
    command = ["make", *target.split()]
    environment = {**os.environ, "DOCKER_HOST": NOWHERE}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 2
    assert named in done.stderr
    assert re.search(rf"Error {code}$", done.stderr.rstrip()), done.stderr
