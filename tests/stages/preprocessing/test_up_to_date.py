"""A step that was done already is not done again, and does not even load polars; a step with changes is done again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import DS, SCHEMA, Day, flock

MODEL = "models/2026-11-01"
COMMANDS = (
    ("prepare",),
    ("split",),
    ("features", "--model", MODEL),
    ("encode-validation", "--model", MODEL),
)


@pytest.fixture
def done(day: Day) -> Day:
    """A day on which every command was run once."""
    day.publish(*flock(300))
    for command in COMMANDS:
        run = day.run(*command)
        assert run.code == 0, run.log
        if command == ("split",):
            day.publish_model()
    return day


def put(folder: Path, rows: int, schema: dict[str, Any] = SCHEMA) -> list[str]:
    folder.mkdir(exist_ok=True, parents=True)
    data, target = flock(rows)
    for name, text in (("data.csv", data), ("target.csv", target), ("schema.json", json.dumps(schema))):
        (folder / name).write_text(text)
    return [text for name in ("data", "target") for text in (f"--{name}", f"{folder}/{name}.csv")] + [
        "--schema", f"{folder}/schema.json"
    ]  # fmt: skip


def published(day: Day) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in day.root.rglob("*") if path.is_file() and path.name != ".lock"}


def end_without_polars(day: Day, *command: str) -> dict[str, Any]:
    """Run a command in a process of its own; returns its result, which comes without polars."""
    code = "import atexit, sys, preprocessing; atexit.register(lambda: print('polars' in sys.modules)); "
    code += f"sys.exit(preprocessing.main({[*command, '--ds', DS, '--data-dir', str(day.root)]}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result, loaded = ended.stdout.splitlines()
    assert loaded == "False"
    return dict(json.loads(result))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_step_that_is_done_ends_without_polars_and_says_what_it_said(done: Day, command: tuple[str, ...]) -> None:
    first = done.run(*command).result
    before = published(done)
    again = end_without_polars(done, *command)
    assert again.pop("cached") is True
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    assert published(done) == before


@pytest.mark.parametrize("named", [True, False], ids=["named", "lying there"])
def test_import_that_is_done_ends_without_polars(day: Day, tmp_path: Path, named: bool) -> None:
    options = put(tmp_path / "mine" if named else day.file(f"raw/{DS}"), 60)
    command = ["import", *(options if named else [])]
    assert day.run(*command).result["rows"] == {"data.csv": 60, "target.csv": 60}
    again = end_without_polars(day, *command)
    assert (again["cached"], again["rows"]) == (True, {"data.csv": 60, "target.csv": 60})


@pytest.mark.parametrize("named", [True, False], ids=["named", "lying there"])
def test_changed_file_is_imported_again(day: Day, tmp_path: Path, named: bool) -> None:
    folder = tmp_path / "mine" if named else day.file(f"raw/{DS}")
    for rows in (60, 61):
        options = put(folder, rows)
        run = day.run("import", *(options if named else []), reuse=True)
        assert "cached" not in run.result
        assert run.result["rows"]["data.csv"] == rows
        assert len(day.rows(f"raw/{DS}/data.csv")) == rows


def test_target_that_comes_later_is_imported(day: Day) -> None:
    folder = day.file(f"raw/{DS}")
    put(folder, 60)
    target = (folder / "target.csv").read_bytes()
    (folder / "target.csv").unlink()
    assert day.run("import", reuse=True).result["rows"] == {"data.csv": 60}
    (folder / "target.csv").write_bytes(target)
    assert day.run("import", reuse=True).result["rows"] == {"data.csv": 60, "target.csv": 60}


def test_rows_are_encoded_again_for_another_champion_or_split(done: Day) -> None:
    done.publish_model("models/2026-11-08")
    run = done.run("encode-validation", "--model", "models/2026-11-08", reuse=True)
    assert ("cached" in run.result, run.result["champion"]) == (False, "models/2026-11-08")
    assert done.run("split", "--seed", "1", reuse=True).code == 0
    run = done.run("encode-validation", "--model", "models/2026-11-08", reuse=True)
    assert (run.code, "cached" in run.result) == (0, False)
    assert done.file(f"comparisons/{DS}/val.csv").read_bytes() == done.file(f"processed/{DS}/val.csv").read_bytes()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_explain_does_nothing(done: Day, command: tuple[str, ...]) -> None:
    done.publish(*flock(200))
    before = published(done)
    command_line = [sys.executable, "/opt/stage/preprocessing.py", *command, "--ds", DS, "--data-dir", str(done.root)]
    ended = subprocess.run([*command_line, "--explain"], capture_output=True, text=True, check=True)
    explained = json.loads(ended.stdout)["explain"]
    # What only reads what `prepare` wrote is still up to date: it was not prepared again.
    assert explained["hit"] is (command[0] == "encode-validation" or command == ("split",))
    assert published(done) == before
