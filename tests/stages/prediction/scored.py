"""A scored day to evaluate: a model of an earlier day, the day's features, its predictions."""

import json
from typing import Any

from conftest import DAY, EARLIER_DAY, World, csv_text, load_fixture

MODEL = f"models/{EARLIER_DAY}"
EVALUATION = f"reports/{DAY}/evaluation.json"
LENIENT = json.dumps({"floors": {}, "most_drop": 9})


def scored(world: World, name: str = "binary", features: str | None = None) -> World:
    """A model of an earlier day, and a day that it scored."""
    world.fixture = load_fixture(name)
    world.validated(EARLIER_DAY)
    world.prepare(MODEL, features)
    known = ["--model-version", "3", "--model-run-id", "0a1b"]
    assert world.run("predict", "--ds", DAY, "--model", MODEL, *known).code == 0
    return world


def evaluate(world: World, rules: str = LENIENT, *arguments: str) -> dict[str, Any]:
    result = world.run("evaluate", "--ds", DAY, "--rules-json", rules, *arguments)
    assert result.code == 0, result.errors
    assert result.result
    return result.result


def targets_of(world: World, codes: list[int] | None = None) -> list[list[str]]:
    rows = world.codes() if codes is None else codes
    return [["00000", str(number), world.fixture.classes[code]] for number, code in enumerate(rows)]


def without(world: World, column: str, rows: int) -> str:
    """features.csv without a value of a feature in its first rows, and with a value everywhere else."""
    header, *lines = (line.split(",") for line in world.features().splitlines())
    filled = [[cell or "1" for cell in line] for line in lines]
    for line in filled[:rows]:
        line[header.index(column)] = ""
    return csv_text(header, filled)
