"""A data folder with one day as `preprocessing split` leaves it, and the stage's command on it."""

import csv
import io
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import pytest
from stagekit import Publication, read_partition

import training
from tests.stages.command import Result, run_command

DAY = "2026-11-21"
PROCESSED, MODEL = f"processed/{DAY}", f"models/{DAY}"
OUTPUTS = ["encoder.json", "feature_importance.csv", "model.txt", "params.json", "reference_scores.csv"]
SHOPS = 6


@dataclass(frozen=True)
class Table:
    """train.csv or val.csv as text cells: the target's code, then one cell per feature."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return out.getvalue()

    def codes(self) -> list[int]:
        return [int(row[0]) for row in self.rows]

    def values(self) -> list[list[float]]:
        """The features as any reader sees them that takes an empty field for missing."""
        return [[float(cell) if cell else math.nan for cell in row[1:]] for row in self.rows]


def make_table(rows: int, seed: int, classes: int = 2) -> Table:
    """Rows whose class depends on both numbers and on the shop, with missing values, also in the last column."""
    draw = random.Random(seed)
    table = []
    for _ in range(rows):
        price, weight, shop = draw.gauss(50, 20), draw.random(), draw.randrange(SHOPS)
        score = price / 20 + 3 * weight * (shop % 2) + draw.gauss(0, 0.6)
        code = min(classes - 1, max(0, int((score - 1.5) * classes / 4)))
        cells = [repr(price), str(shop), repr(weight)]
        table.append([str(code), *("" if draw.random() < 0.1 else cell for cell in cells)])
    return Table(["kind", "price", "shop", "weight"], table)


def make_encoder(table: Table, classes: Sequence[str], categories: Mapping[str, int]) -> dict[str, Any]:
    features: list[dict[str, Any]] = [
        {"name": name, "field": name, "kind": "category", "values": [f"v{i}" for i in range(categories[name])]}
        if name in categories
        else {"name": name, "field": name, "kind": "number"}
        for name in table.header[1:]
    ]
    target = {"name": table.header[0], "classes": list(classes)}
    return {"version": 1, "key": ["id"], "target": target, "features": features, "schema": {"fields": []}}


@dataclass
class World:
    """A data folder and the stage's command on it."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def publish(self, train: str | bytes, val: str | bytes, encoder: Mapping[str, Any] | str | bytes) -> None:
        files = {"train.csv": train, "val.csv": val}
        files["encoder.json"] = encoder if isinstance(encoder, str | bytes) else json.dumps(encoder)
        with Publication(self.root, PROCESSED, "split") as publication:
            for name, content in files.items():
                publication.path(name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def publish_tables(
        self, train: Table, val: Table, classes: Sequence[str] = ("0", "1"), categories: Mapping[str, int] | None = None
    ) -> None:
        known = {"shop": SHOPS} if categories is None else categories
        self.publish(train.text(), val.text(), make_encoder(train, classes, known))

    def run(self, *arguments: str) -> Result:
        return run_command(training.main, self.capture, "--ds", DAY, "--data-dir", str(self.root), *arguments)

    def train(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.code == 0, result.log
        assert "cached" not in result.line, "nothing was trained: the same model is there already"
        return result

    def output(self, name: str) -> bytes:
        return (read_partition(self.root, MODEL, [name]) / name).read_bytes()

    def outputs(self) -> dict[str, bytes]:
        return {name: self.output(name) for name in OUTPUTS}

    def params(self) -> dict[str, Any]:
        return dict(json.loads(self.output("params.json")))

    def csv(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.output(name).decode())))

    def model(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.output("model.txt").decode())

    def leftovers(self) -> list[str]:
        """Every file and folder below models/, except the lock file, which stays."""
        found = (path for path in (self.root / "models").rglob("*") if path.name != ".lock")
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, capsys)


@pytest.fixture
def day(world: World) -> World:
    """A data folder with a binary day."""
    world.publish_tables(make_table(600, seed=1), make_table(300, seed=2))
    return world


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of one megabyte, emptied afterwards."""
    root = Path("/small")
    yield root
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
