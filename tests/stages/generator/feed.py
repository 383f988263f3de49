"""Runs the stage and reads what it wrote; shared by this folder's tests."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import generator

STAGE = (sys.executable, "/opt/stage/generator.py")
DS = "2026-11-21"


@dataclass(frozen=True)
class Run:
    """How one run of the stage ended."""

    code: int
    log: str
    result: Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class Day:
    """What is in a published day: rows as texts by column, labels by key, schema, bytes by file."""

    lines: list[str]
    rows: list[dict[str, str]]
    labels: dict[str, str]
    target_rows: int
    schema: Mapping[str, Any]
    meta: Mapping[str, Any]
    files: Mapping[str, bytes]


def arguments(root: Path, *options: str, ds: str = DS) -> list[str]:
    """The stage's arguments, with its partitions below `root`."""
    return ["--ds", ds, "--data-dir", str(root), *options]


def run(root: Path, *options: str, ds: str = DS) -> Run:
    """Run the stage in this process."""
    out, log = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(log):
        try:
            code = generator.main(arguments(root, *options, ds=ds))
        except SystemExit as wrong_usage:
            code = int(wrong_usage.code or 0)
    return Run(code, log.getvalue(), json.loads(out.getvalue().splitlines()[-1]) if code == 0 else {})


def run_in_process(root: Path, *options: str, env: Mapping[str, str] | None = None) -> Run:
    """Run the stage in a process of its own, as its users do."""
    command = [*STAGE, *arguments(root, *options)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})}, check=False)
    return Run(done.returncode, done.stderr, json.loads(done.stdout.splitlines()[-1]) if done.stdout else {})


def generate(root: Path, *options: str, ds: str = DS) -> Day:
    """Run the stage, which must succeed, and read the day."""
    done = run(root, *options, ds=ds)
    assert done.code == 0, done.log
    return read_day(root, ds)


def read_day(root: Path, ds: str = DS) -> Day:
    folder = root / "raw" / ds
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "_meta.json"}
    lines = files["data.csv"].decode().removesuffix("\n").split("\n")
    target = list(csv.DictReader(files["target.csv"].decode().splitlines()))
    return Day(
        lines=lines[1:],
        rows=list(csv.DictReader(lines)),
        labels={row["transaction_id"]: row["is_fraud"] for row in target},
        target_rows=len(target),
        schema=json.loads(files["schema.json"]),
        meta=json.loads((folder / "_meta.json").read_text()),
        files=files,
    )


def violations(row: Mapping[str, str], schema: Mapping[str, Any]) -> list[str]:
    """The columns of a row that break the Table Schema: an independent, slow check of types and constraints."""
    return [
        field["name"] for field in schema["fields"] if field["name"] in row and not _obeys(row[field["name"]], field)
    ]


def _obeys(text: str, field: Mapping[str, Any]) -> bool:
    rules = field.get("constraints", {})
    if not text:
        return not rules.get("required")
    try:
        value = TYPES[field["type"]](text)
    except ValueError:
        return False
    return (
        ("enum" not in rules or value in rules["enum"])
        and ("minimum" not in rules or value >= rules["minimum"])
        and ("maximum" not in rules or value <= rules["maximum"])
        and ("pattern" not in rules or re.fullmatch(rules["pattern"], text) is not None)
    )


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


TYPES: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": _boolean,
    "datetime": _time,
}
