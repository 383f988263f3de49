"""A stage by hand: files of the host in the container, and what the stage says in the words of the host."""

import csv
import importlib
import json
import os
import sys
from pathlib import Path

import pytest
from airflow_ml import by_hand
from airflow_ml.common import ROOT
from airflow_ml.data import Data

TIME = "2026-11-21T21:34:26Z"
FILES = {"data": Path("in/my.csv"), "target": Path("my.csv")}


@pytest.mark.parametrize("name", ["plain.csv", "two words, a comma.csv", 'a "quote".csv', "a:colon=x.csv", "größe.csv"])
def test_file_of_any_name_is_mounted(name: str, tmp_path: Path) -> None:
    """Docker reads a mount as one line of CSV."""
    path = tmp_path / name
    (option,) = by_hand.file_mounts({"data": path})
    fields = next(csv.reader([option.removeprefix("--mount=")]))
    assert fields == ["type=bind", f"source={path}", f"target=/own/data/{name}", "readonly"]


def test_files_of_one_name_are_two_files() -> None:
    assert [by_hand.in_container(option, path) for option, path in FILES.items()] == [
        "/own/data/my.csv",
        "/own/target/my.csv",
    ]


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (f"{TIME} WARNING preprocessing infer-schema: a: 3 values", "WARNING", "a: 3 values"),
        (f"{TIME} ERROR preprocessing import: found; do: x", "ERROR", "found; do: x"),
        ("airflow-ml-preprocessing: error: unrecognized arguments: --x", "ERROR", "unrecognized arguments: --x"),
        ("docker: no space left", "", "docker: no space left"),
    ],
)
def test_line_of_a_stage_is_its_level_and_text(line: str, level: str, text: str) -> None:
    assert by_hand.level_and_text(line) == (level, text)


def test_lines_are_read_as_the_dags_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "dags" / "ml"))
    container_log = importlib.import_module("container_log")
    monkeypatch.delitem(sys.modules, "container_log")
    assert container_log.LOGGED == by_hand.LOGGED
    assert container_log.REFUSED == by_hand.REFUSED


def test_message_names_the_file_as_the_user_wrote_it() -> None:
    said = "/own/data/my.csv line 3 has no partner in /own/target/my.csv"
    assert by_hand.with_host_names(said, FILES) == "in/my.csv line 3 has no partner in my.csv"


@pytest.mark.parametrize(("code", "exit_code"), [(1, 1), (2, 2), (3, 3), (4, 4), (125, 1), (137, 1)])
def test_sentence_of_a_stage_is_the_error_with_its_exit_code(code: int, exit_code: int) -> None:
    error = by_hand.failure("preprocessing", code, "two; of them; expected: one; do: remove one")
    assert str(error) == "two; of them\n       expected: one\n       do: remove one"
    assert error.exit_code == exit_code


def test_stage_that_says_nothing_is_named() -> None:
    assert str(by_hand.failure("preprocessing", 137, "")) == "preprocessing ended with exit code 137"


def test_result_line_that_is_longer_than_a_pipe_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the place of Docker's client: its log ends after the line, as that of `docker run` does."""
    events = [{"reason": "x" * 300, "number": number} for number in range(2000)]
    (tmp_path / "line").write_text(json.dumps({"events": events}))
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\ncat {tmp_path}/line\necho '{TIME} INFO registry list: done' >&2\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(by_hand, "locked_image", "airflow-ml-{}:1".format)
    assert by_hand.run_stage(Data("data", "1:1", "1g"), "registry", ["list"]) == {"events": events}
