"""A data folder to work in, a small schema, and the stage as a function and as a process."""

import csv
import io
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stagekit import Publication

import preprocessing

# atheris is for x86-64 alone.
collect_ignore = [] if platform.machine() == "x86_64" else ["test_coverage_fuzz.py"]
DS = "2026-11-21"
STAGE = "/opt/stage/preprocessing.py"


def field(name: str, kind: str, role: str, **constraints: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "role": role, **({"constraints": constraints} if constraints else {})}


# Weighed sheep: their farm is the entity, the grade that a butcher gave is to be predicted.
SCHEMA: dict[str, Any] = {
    "fields": [
        field("tag", "string", "key", pattern="[a-z]+-[0-9]+"),
        field("farm", "string", "entity"),
        field("weighed", "datetime", "time"),
        field("kilos", "number", "feature", minimum=0, maximum=200),
        field("lambs", "integer", "feature", required=True, minimum=0),
        field("breed", "string", "feature", enum=["merino", "texel", "suffolk"]),
        field("organic", "boolean", "feature"),
        field("memo", "string", "ignore", maxLength=20),
        field("grade", "string", "target", enum=["A", "B", "C"]),
    ],
    "primaryKey": ["tag"],
    "missingValues": ["", "n/a"],
}
DATA_HEADER = ["tag", "farm", "weighed", "kilos", "lambs", "breed", "organic", "memo"]


def without_entity(schema: dict[str, Any] = SCHEMA) -> dict[str, Any]:
    fields = [{**f, "role": "ignore"} if f["role"] == "entity" else f for f in schema["fields"]]
    return {**schema, "fields": fields}


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sheep(number: int) -> list[str]:
    """One good row of data.csv; every value follows from the number."""
    breed = ("merino", "texel", "suffolk", "")[number % 4]
    time = f"2026-11-{1 + number % 28:02d}T{number % 24:02d}:30:00"
    kilos = repr(20 + (number * 7919 % 1000) / 7)
    return [
        f"tag-{number}",
        f"farm {number % 17}",
        time,
        kilos,
        str(number % 4),
        breed,
        "true" if number % 3 else "false",
        "ok",
    ]


def graded(number: int) -> list[str]:
    return [f"tag-{number}", "AAABBC"[number * 31 % 6]]


def flock(rows: int) -> tuple[str, str]:
    """data.csv and target.csv with so many good rows; the target comes in another order."""
    target = to_csv(["tag", "grade"], [graded(number) for number in reversed(range(rows))])
    return to_csv(DATA_HEADER, [sheep(number) for number in range(rows)]), target


@dataclass
class Run:
    code: int
    result: dict[str, Any]
    log: str


class Day:
    """A data folder and what the stage does in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys

    def publish(self, data: str | bytes, target: str | bytes | None = None, schema: Any = SCHEMA, ds: str = DS) -> None:
        """Publish raw/{ds} as the generator would."""
        text = schema if isinstance(schema, bytes) else json.dumps(schema)
        files = {"data.csv": data, "target.csv": target, "schema.json": text}
        with Publication(self.root, f"raw/{ds}", "generate") as publication:
            for name, content in files.items():
                if content is not None:
                    publication.path(name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def publish_model(self, name: str = "models/2026-11-01", ds: str = DS) -> None:
        """Publish a model that consists of the encoder that split wrote."""
        encoder = (self.root / "processed" / ds / "encoder.json").read_bytes()
        with Publication(self.root, name, "train") as publication:
            publication.path("encoder.json").write_bytes(encoder)

    def run(self, command: str, *options: str, ds: str | None = DS, reuse: bool = False) -> Run:
        """Run a command of the stage in this process; unless it may `reuse` what was published, it does its work."""
        self._capsys.readouterr()
        force = [] if reuse or command in ("infer-schema", "late-labels") else ["--force"]
        argv = [command, *(["--ds", ds] if ds else []), "--data-dir", str(self.root), *force, *options]
        code = preprocessing.main(argv)
        out, log = self._capsys.readouterr()
        return Run(code, json.loads(out.splitlines()[-1]) if code == 0 else {}, log)

    def start(self, command: str, *options: str) -> "subprocess.Popen[str]":
        """Start a command of the stage as a process of its own."""
        argv = [sys.executable, STAGE, command, "--ds", DS, "--data-dir", str(self.root), *options]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def file(self, path: str) -> Path:
        return self.root / path

    def rows(self, path: str) -> list[dict[str, str]]:
        return read_csv(self.root / path)

    def leftovers(self) -> list[str]:
        """All files that are not part of a published partition's mark, except lock files, which stay."""
        marked = {*self.root.rglob(".lock")}
        for mark in self.root.rglob("_meta.json"):
            marked |= {mark, *(mark.parent / name for name in json.loads(mark.read_text())["outputs"])}
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file() and p not in marked)


@pytest.fixture
def day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Day:
    return Day(tmp_path, capsys)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "mine"
    folder.mkdir()
    return {name: folder / name for name in ("data.csv", "target.csv", "schema.json")}


def with_one_column_more(text: str, name: str) -> str:
    """The table with one column more, in the middle."""
    rows = [[*row[:2], f"{name} {n}" if n else name, *row[2:]] for n, row in enumerate(csv.reader(text.splitlines()))]
    return to_csv(rows[0], rows[1:])


def in_order(text: str, columns: Sequence[str]) -> str:
    """The table with its columns in another order."""
    return to_csv(columns, ([row[name] for name in columns] for row in csv.DictReader(io.StringIO(text))))


def put(files: dict[str, Path], data: str, target: str, schema: Any = SCHEMA) -> list[str]:
    """Write the files; returns the options of import."""
    files["data.csv"].write_text(data)
    files["target.csv"].write_text(target)
    files["schema.json"].write_text(json.dumps(schema))
    return [text for name, path in files.items() for text in (f"--{name.partition('.')[0]}", str(path))]
