"""A data folder with a model as training and validation leave it, the stage's command, and servers on the loopback."""

import http.server
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from stagekit import Partition, Publication, read_partition

import registry
import server
from tests.stages.command import Result, run_command

DAY = "2026-11-15"
MODEL = f"models/{DAY}"
NOWHERE = "http://127.0.0.1:9"
FEATURES = ("price", "shop")
METRICS = {
    "rows": 2,
    "classes": ["0", "1"],
    "class_rows": {"0": 1, "1": 1},
    **dict.fromkeys(("roc_auc", "average_precision", "log_loss", "brier_score", "accuracy"), 0.75),
}
COMPARISON = {
    "version": 1, "ds": DAY, "candidate": {"model": MODEL, "metrics": METRICS}, "champion": None, "rows": 2,
    "metric": "roc_auc", "passed": True, "reasons": ["good"],
}  # fmt: skip
NONE: Mapping[str, Sequence[str]] = MappingProxyType({})
SHARES = {"labels": ["a"], "expected": [1.0], "actual": [1.0], "psi": 0.1}
EVALUATION: dict[str, Any] = {
    "version": 1, "ds": DAY, "model": {"name": MODEL, "version": None, "run_id": None}, "rows": 2, "metrics": None,
    "drift": {"score": SHARES, "features": []}, "quality": {}, "breaches": [],
}  # fmt: skip


def encoder(classes: int = 2, weight: str = "") -> dict[str, Any]:
    features = [{"name": name, "field": name, "kind": "number"} for name in FEATURES]
    target = {"name": "kind", "classes": [str(code) for code in range(classes)]}
    weighted = {"weight": weight} if weight else {}
    return {"version": 1, "key": ["id"], "target": target, "features": features, "schema": {"fields": []}, **weighted}


@dataclass
class World:
    """A data folder and the stage's command on it."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def publish(
        self, name: str, step: str, files: Mapping[str, str], *inputs: Partition, warnings: Sequence[str] = ()
    ) -> Partition:
        with Publication(self.root, name, step, inputs=inputs) as publication:
            publication.result = {"warnings": warnings}
            for file, content in files.items():
                publication.path(file).write_text(content, encoding="utf-8")
        return read_partition(self.root, name, files)

    def publish_model(
        self,
        name: str = MODEL,
        trees: str = "tree",
        classes: int = 2,
        warnings: Mapping[str, Sequence[str]] = NONE,
        weight: str = "",
    ) -> Partition:
        """A model and what it was made from, back to the raw data."""
        raw = self.publish(f"raw/{DAY}", "generate", {"data.csv": "id\n1\n", "schema.json": "{}"})
        prepared = self.publish(f"processed/{DAY}", "prepare", {"train_data.csv": "id\n1\n"}, raw)
        tables = {"train.csv": "kind,price,shop\n0,1,2\n", "val.csv": "kind,price,shop\n1,2.5,\n0,,3\n"}
        processed = self.publish(f"processed/{DAY}", "split", tables, prepared, raw, warnings=warnings.get("split", ()))
        params = {"parameters": {"seed": 42}, "best_iteration": 2, "curve": {"auc": [0.5, 0.75]}, "rows": {"train": 1}}
        trained = {
            "model.txt": trees,
            "encoder.json": json.dumps(encoder(classes, weight)),
            "params.json": json.dumps(params),
        }
        model = self.publish(name, "train", trained, processed)
        said = warnings.get("validate", ())
        self.publish(name, "validate", {"metrics.json": json.dumps(METRICS)}, model, warnings=said)
        return read_partition(self.root, name, [*trained, "metrics.json"])

    def run(self, *arguments: str) -> Result:
        return run_command(registry.main, self.capture, *arguments, "--data-dir", str(self.root))


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("ML_MLFLOW_URI", NOWHERE)
    monkeypatch.setattr(server, "PAUSES_S", ())
    (tmp_path / "data").mkdir()
    return World(tmp_path / "data", capsys)


@pytest.fixture
def answering() -> Iterator["Answering"]:
    """A server on the loopback that gives the answer of a test to every request."""
    with Answering() as server:
        yield server


class Answering(http.server.ThreadingHTTPServer):
    """Answers every request with `status` and `body`; once there are `bodies`, each path with its own.

    The status of a path that is not among them, or that is `missing`, is 404. Of `pages` each path gives one after the
    other. `removed` has the paths of all requests
    to remove something.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.status, self.body = 200, b""
        self.bodies: dict[str, bytes] = {}
        self.pages: dict[str, list[bytes]] = {}
        self.missing: set[str] = set()
        self.removed: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        known = not self.server.bodies or path in self.server.bodies.keys() - self.server.missing
        pages = self.server.pages.get(path)
        body = pages.pop(0) if pages else self.server.bodies.get(path, self.server.body)
        self.send_response(self.server.status if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/delete"):
            self.server.removed.append(self.path)
        self.do_GET()

    def do_DELETE(self) -> None:
        self.server.removed.append(self.path)
        self.do_POST()

    def log_message(self, *_: object) -> None:
        pass
