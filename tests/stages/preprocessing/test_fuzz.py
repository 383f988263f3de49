"""Files that somebody has damaged or made up: a command takes them, or ends with exit code 3 and leaves nothing."""

import json
import shutil
from pathlib import Path

from conftest import SCHEMA, Day, flock
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import BAD_INPUT, DONE, RUNS, documents, tables

DATA, TARGET = flock(12)


def check(day: Day, command: str, *options: str) -> bool:
    """Run a command, which is done or says what is wrong with its input; returns whether it is done."""
    run = day.run(command, *options)
    assert run.code in (DONE, BAD_INPUT), run.log
    assert "Traceback" not in run.log
    assert day.leftovers() == []
    return run.code == DONE


def check_day(day: Day, data: str | bytes, target: str | bytes, schema: bytes) -> None:
    """Everything that reads a day of raw data, and `import`, which takes the files in."""
    folder = day.root / "mine"
    for path in day.root.iterdir():
        shutil.rmtree(path)
    folder.mkdir()
    options = []
    for name, content in {"data": data, "target": target, "schema": schema}.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        options += [f"--{name}", str(folder / name)]
    taken = day.run("import", *options)
    shutil.rmtree(folder)
    assert taken.code in (DONE, BAD_INPUT), taken.log
    day.publish(data, target, schema)
    if check(day, "prepare", "--max-rejected", "1") and check(day, "split"):
        day.publish_model()
        check(day, "features", "--model", "models/2026-11-01", "--max-rejected", "1")


@RUNS
@given(schema=documents(SCHEMA))
def test_schema_is_read_or_refused(day: Day, schema: bytes) -> None:
    check_day(day, DATA, TARGET, schema)


@RUNS
@given(data=tables(DATA), target=st.one_of(st.just(TARGET.encode()), tables(TARGET)))
def test_tables_are_read_or_refused(day: Day, data: bytes, target: bytes) -> None:
    check_day(day, data, target, json.dumps(SCHEMA).encode())


@RUNS
@given(data=tables(DATA))
def test_schema_is_drafted_or_the_file_is_refused(day: Day, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(data)
    run = day.run("infer-schema", "--data", str(path), "--out", str(tmp_path / "drafted.json"), "--force", ds=None)
    path.unlink()
    (tmp_path / "drafted.json").unlink(missing_ok=True)
    assert run.code in (DONE, BAD_INPUT), run.log
