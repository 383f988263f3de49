"""The way of all sets from a file to the gate: the commands that `own` calls, in one container for each stage."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from airflow_ml import own
from airflow_ml.by_hand import OWN, in_container
from airflow_ml.draft import Schema, draft_arguments, read_draft

from tests.data_sets.sets import SETS, DataSet
from tests.harness import ROOT, Data

Arguments = list[str]
Calls = Sequence[Arguments]
FIRST_DAY = date(2026, 1, 1)
FEW_TREES = ("--param=num_boost_round=40", "--param=min_data_in_leaf=5")
# Calls a stage's `main` for each set's arguments in turn, and stops with a set at its first failure.
CALL_ALL = """
import contextlib, importlib, io, json, sys
sys.path.insert(0, "/opt/stage")
stage, path = sys.argv[1:]
main = importlib.import_module(stage).main
ways = {}
for name, calls in json.load(open(path)).items():
    ways[name] = []
    for arguments in calls:
        out, log = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(log):
            try:
                code = main(arguments)
            except SystemExit as error:
                code = error.code
        line = json.loads(out.getvalue().splitlines()[-1]) if code == 0 else {}
        ways[name].append({"command": arguments[0], "code": code, "line": line, "log": log.getvalue()})
        if code:
            break
json.dump(ways, sys.stdout)
"""


@dataclass(frozen=True)
class Called:
    """How a command ended: exit code, result line, log."""

    command: str
    code: int
    line: dict[str, Any]
    log: str


@dataclass
class Way:
    """What became of a set: the draft without an answer, if its first call is refused, then each command by name."""

    schema: Schema = field(default_factory=dict)
    first: Called | None = None
    calls: dict[str, Called] = field(default_factory=dict)
    train_data: str = ""

    @property
    def last(self) -> Called:
        return [*self.calls.values()][-1]


def take_all(sets: Iterable[DataSet], data: Data, folder: Path) -> dict[str, Way]:
    """Take the sets to the gate, as far as they get. Their files go to `folder`, which the containers see as /own."""
    files = files_of(sets, folder)
    ways = {one.name: Way() for one in sets}
    refused = {one.name: [draft_call(one, files[one.name], ())] for one in sets if one.refused}
    for name, calls in call_all("preprocessing", refused, data, folder).items():
        ways[name].first = calls[0]
    add(ways, call_all("preprocessing", {one.name: raw_calls(one, files[one.name]) for one in sets}, data, folder))
    add(ways, call_all("training", {name: [train_call(name)] for name in sound(ways)}, data, folder))
    add(ways, call_all("prediction", {name: gate_calls(name) for name in sound(ways)}, data, folder))
    prepared = json.loads(data.python(READ_PREPARED))
    for one in sets:
        schema = folder / "schema" / own.schema_beside(files[one.name][0]).name
        ways[one.name].schema = read_draft(schema) if schema.exists() else {}
        ways[one.name].train_data = prepared.get(day_of(one.name), "")
    return ways


READ_PREPARED = """
import json, pathlib
paths = pathlib.Path("/data/processed").glob("*/train_data.csv")
print(json.dumps({path.parent.name: path.read_text() for path in paths}))
"""


def own_options() -> tuple[str, ...]:
    """The options that name files; `own` shows each file to a container in a folder of the option's name."""
    return "data", "target", "schema"


def files_of(sets: Iterable[DataSet], folder: Path) -> dict[str, tuple[Path, ...]]:
    """Write the files of the sets where the containers look for them; returns them by set."""
    for name in ("", *own_options()):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o777)
    return {one.name: put_files(one, folder) for one in sets}


def put_files(one: DataSet, folder: Path) -> tuple[Path, ...]:
    """Write a set's files where the containers look for them."""
    data, *labels = one.files(folder / "data")
    return (data, *(path.rename(folder / "target" / path.name) for path in labels))


def day_of(name: str) -> str:
    """A day of its own for each set."""
    return (FIRST_DAY + timedelta(days=[one.name for one in SETS].index(name))).isoformat()


# --- the commands ---


def parsed(one: DataSet, files: tuple[Path, ...], ask: tuple[str, ...]) -> argparse.Namespace:
    """The arguments of `own` for a set."""
    parser = argparse.ArgumentParser()
    own.configure(parser)
    what = [f"--labels={files[1]}"] if len(files) > 1 else [f"--target={one.target}"]
    return parser.parse_args([f"--data={files[0]}", f"--ds={day_of(one.name)}", *what, *ask])


def draft_call(one: DataSet, files: tuple[Path, ...], ask: tuple[str, ...]) -> Arguments:
    arguments = parsed(one, files, ask)
    checked = own.check(arguments)
    return draft_arguments(checked.files, own.draft_facts(arguments), in_container("schema", checked.schema))


def raw_calls(one: DataSet, files: tuple[Path, ...]) -> Calls:
    """From the file to the tables that a model is trained on."""
    arguments = parsed(one, files, one.ask)
    checked, container = own.check(arguments), own.options(arguments, own.CONTAINER)
    ds = f"--ds={arguments.ds}"
    return (
        draft_call(one, files, one.ask),
        own.import_arguments({**checked.files, "schema": checked.schema}, arguments.ds, container),
        ["prepare", ds],
        ["split", ds],
    )


def train_call(name: str) -> Arguments:
    return [f"--ds={day_of(name)}", *FEW_TREES]


def gate_calls(name: str) -> Calls:
    rules = json.loads((ROOT / "dags" / "rules.json").read_text())["gate"]
    ds = f"--ds={day_of(name)}"
    return ["validate", ds], ["compare", ds, f"--rules-json={json.dumps(rules)}"]


# --- containers ---


def call_all(stage: str, calls: Mapping[str, Calls], data: Data, folder: Path) -> dict[str, list[Called]]:
    """Make the calls of each set in one container of a stage."""
    (folder / "calls.json").write_text(json.dumps(calls))
    code = f"import sys; sys.argv[1:] = [{stage!r}, '{OWN}/calls.json']\n{CALL_ALL}"
    said = data.python(code, f"--volume={folder}:{OWN}", "--memory=2g", image=stage)
    return {name: [Called(**call) for call in made] for name, made in json.loads(said).items()}


def add(ways: Mapping[str, Way], calls: Mapping[str, list[Called]]) -> None:
    for name, made in calls.items():
        ways[name].calls |= {call.command: call for call in made}


def sound(ways: Mapping[str, Way]) -> list[str]:
    """The sets that no command has refused."""
    return [name for name, way in ways.items() if way.last.code == 0]
