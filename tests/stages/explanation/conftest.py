"""A data folder with a model that LightGBM trains here, a day's features for it, and the stage's command on them."""

import csv
import io
import json
import math
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from stagekit import Partition, Publication, publish, read_partition

import explanation
from tests.stages.command import Result, run_command

DAY, MODEL = "2026-11-21", "models/2026-11-14"
FEATURES, EXPLAINED = f"features/{DAY}", f"explanations/{DAY}"
SHOPS = ("east", "north", "south", "west")
FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "order", "type": "string", "role": "key"},
    {"name": "price", "type": "number", "role": "feature"},
    {"name": "shop", "type": "string", "role": "feature"},
    {"name": "gift", "type": "boolean", "role": "feature"},
    {"name": "bought", "type": "datetime", "role": "time"},
    {"name": "returned", "type": "string", "role": "target"},
)
KINDS = {"price": "number", "shop": "category", "gift": "number", "bought_hour": "hour"}
SOURCES = {"bought_hour": "bought"}


def make_values(rows: int, seed: int) -> np.ndarray:
    """Rows of the features of KINDS, some of their values missing."""
    draw = np.random.default_rng(seed)
    columns = [draw.normal(50, 20, rows), draw.integers(0, 4, rows), draw.integers(0, 2, rows)]
    values = np.column_stack([*columns, draw.integers(0, 24, rows)]).astype(float)
    values[draw.random(values.shape) < 0.1] = np.nan
    return values


def make_codes(values: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """The class of each row, which depends on price, shop and gift."""
    price, shop, gift, _ = np.nan_to_num(values).T
    score = price / 20 + (shop == 1) * 2 - gift + np.random.default_rng(seed).normal(0, 0.5, len(values))
    return np.clip((score * classes / 5).astype(int), 0, classes - 1)


@dataclass
class World:
    """A data folder and the stage's command on it."""

    root: Path
    capture: pytest.CaptureFixture[str]
    classes: Sequence[str] = ("no", "yes")
    fields: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [dict(one) for one in FIELDS])

    @property
    def encoder(self) -> dict[str, Any]:
        features = [
            {
                "name": name,
                "field": SOURCES.get(name, name),
                "kind": kind,
                **({"values": list(SHOPS)} if kind == "category" else {}),
            }
            for name, kind in KINDS.items()
        ]
        return {
            "version": 1,
            "key": [one["name"] for one in self.fields if one["role"] == "key"],
            "target": {"name": "returned", "classes": list(self.classes)},
            "features": features,
            "schema": {"fields": list(self.fields)},
        }

    def publish(self, name: str, step: str, files: Mapping[str, str | bytes], inputs: Iterable[Partition] = ()) -> None:
        def work(publication: Publication) -> Mapping[str, Any]:
            for file, content in files.items():
                publication.path(file).write_bytes(content if isinstance(content, bytes) else content.encode())
            return {}

        publish(Namespace(data_dir=self.root), name, step, work, inputs=inputs, reuse=False)

    def train(self, baseline: Mapping[str, Any] | None = None, **changed: Any) -> lightgbm.Booster:
        """Publish a model; `changed` are parameters of LightGBM."""
        values = make_values(500, seed=1)
        codes = make_codes(values, len(self.classes), seed=2)
        objective = {"objective": "binary"} if len(self.classes) == 2 else {"objective": "multiclass"}
        number = {} if len(self.classes) == 2 else {"num_class": len(self.classes)}
        parameters = {**objective, **number, "verbose": -1, "num_threads": 1, "num_leaves": 15, **changed}
        rounds = parameters.pop("rounds", 15)
        data = lightgbm.Dataset(values, codes, categorical_feature=[1], params={"verbose": -1})
        booster = lightgbm.train(parameters, data, rounds)
        files = {"model.txt": booster.model_to_string(), "encoder.json": json.dumps(self.encoder)}
        if baseline:
            files["baseline.json"] = json.dumps(baseline)
        self.publish(MODEL, "train", files)
        return lightgbm.Booster(model_str=booster.model_to_string())

    def prepare(
        self, values: np.ndarray, keys: Sequence[str] | None = None, content: str | bytes | None = None
    ) -> None:
        """Publish the day's features as `preprocessing features` does."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*self.encoder["key"], *KINDS])
        for number, row in enumerate(values.tolist()):
            key = keys[number] if keys else f"k{number}"
            writer.writerow([key, *("" if math.isnan(x) else int(x) if x.is_integer() else x for x in row)])
        encoder = read_partition(self.root, MODEL, ["encoder.json"])
        self.publish(FEATURES, "features", {"features.csv": out.getvalue() if content is None else content}, [encoder])

    def run(self, *arguments: str) -> Result:
        return run_command(
            explanation.main, self.capture, "--ds", DAY, "--model", MODEL, "--data-dir", str(self.root), *arguments
        )

    def explain(self, *arguments: str) -> list[dict[str, str]]:
        """Run the stage, which must succeed; returns the rows of reasons.csv."""
        done = self.run(*arguments)
        assert done.code == 0, done.log
        return list(csv.DictReader(io.StringIO(self.output("reasons.csv").decode(), newline="")))

    def output(self, name: str) -> bytes:
        return (read_partition(self.root, EXPLAINED, [name]) / name).read_bytes()

    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.output("contributions.json")))


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, capsys)
