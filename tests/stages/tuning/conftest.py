"""A data folder with one day as `preprocessing split` leaves it, and the stage's command on it."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stagekit import Publication, read_partition

import tuning
from tests.stages.command import Result, run_command

DAY = "2026-11-21"
PROCESSED, TUNED = f"processed/{DAY}", f"tuning/{DAY}"
OUTPUTS = ("trials.jsonl", "best.json")
SHOPS = 6
# So many that Optuna has begun to learn, and that some are pruned.
TRIALS, ROWS = 14, 400
DAYS = ("2026-11-18", "2026-11-19", "2026-11-20", DAY)


def make_rows(rows: int, seed: int, classes: int = 2) -> list[str]:
    """Lines whose class depends on both numbers and on the shop, with missing values."""
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        price, size, shop = draw.gauss(50, 20), draw.random(), draw.randrange(SHOPS)
        score = price / 20 + 3 * size * (shop % 2) + draw.gauss(0, 0.6)
        code = min(classes - 1, max(0, math.floor((score - 1.5) * classes / 4)))
        cells = [repr(price), str(shop), repr(size)]
        lines.append(",".join([str(code), *("" if draw.random() < 0.1 else cell for cell in cells)]))
    return lines


def make_encoder(classes: int = 2, weight: str | None = None, days: Sequence[str] = ()) -> dict[str, Any]:
    shop = {"name": "shop", "field": "shop", "kind": "category", "values": [f"v{i}" for i in range(SHOPS)]}
    price, size = ({"name": name, "field": name, "kind": "number"} for name in ("price", "size"))
    return {
        "version": 1,
        "key": ["id"],
        "target": {"name": "kind", "classes": [str(code) for code in range(classes)]},
        "features": [price, shop, size],
        "schema": {"fields": []},
        **({"weight": weight} if weight else {}),
        **({"days": list(days)} if days else {}),
    }


def publish(root: Path, lines: Sequence[str], encoder: dict[str, Any] | None = None, header: str | None = None) -> None:
    """A day as `preprocessing split` publishes it."""
    encoder = encoder or make_encoder()
    columns = ["kind", *([encoder["weight"]] if "weight" in encoder else []), "price", "shop", "size"]
    with Publication(root, PROCESSED, "split") as publication:
        text = "".join(f"{line}\n" for line in [header or ",".join(columns), *lines])
        publication.path("train.csv").write_text(text)
        # The rows that judge the model later: not even a table.
        publication.path("val.csv").write_text("the search must not look at this\n")
        publication.path("encoder.json").write_text(json.dumps(encoder))


@dataclass
class World:
    """A data folder and the stage's command on it."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def publish(self, lines: Sequence[str], encoder: dict[str, Any] | None = None, header: str | None = None) -> None:
        publish(self.root, lines, encoder, header)

    def run(self, *arguments: str) -> Result:
        return run_command(tuning.main, self.capture, "--ds", DAY, "--data-dir", str(self.root), *arguments)

    def tune(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.code == 0, result.log
        return result

    def output(self, name: str) -> bytes:
        return (read_partition(self.root, TUNED, [name]) / name).read_bytes()

    def outputs(self) -> dict[str, bytes]:
        return {name: self.output(name) for name in OUTPUTS}

    def trials(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output("trials.jsonl").splitlines()]

    def best(self) -> dict[str, Any]:
        return dict(json.loads(self.output("best.json")))

    def files(self) -> list[str]:
        """Every file of the partition, hidden ones too."""
        return sorted(path.name for path in (self.root / TUNED).iterdir())


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, capsys)


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a search of TRIALS trials of the binary day publishes."""
    root = tmp_path_factory.mktemp("searched")
    publish(root, make_rows(ROWS, seed=1))
    assert tuning.main(["--ds", DAY, "--data-dir", str(root), "--trials", str(TRIALS)]) == 0
    return {name: (read_partition(root, TUNED, [name]) / name).read_bytes() for name in OUTPUTS}


@pytest.fixture
def day(world: World) -> World:
    """A data folder with a binary day."""
    world.publish(make_rows(ROWS, seed=1))
    return world
