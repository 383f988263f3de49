"""A data folder as the stages before this one leave it: models of LightGBM's making, validation rows, features."""

import csv
import io
import json
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stagekit import Partition, Publication, publish, read_partition

import prediction

FIXTURES = Path(__file__).parent / "fixtures"
DAY, EARLIER_DAY = "2026-11-21", "2026-11-14"


@dataclass(frozen=True)
class Fixture:
    """A model that LightGBM trained, rows, and LightGBM's own probabilities of them, all as text."""

    name: str
    model: str
    features: list[str]
    rows: list[list[str]]
    scores: list[list[str]]

    @property
    def classes(self) -> list[str]:
        return [str(code) for code in range(len(self.scores[0]))]

    @property
    def encoder(self) -> dict[str, Any]:
        return {
            "version": 1,
            "key": ["order", "line"],
            "target": {"name": "returned", "classes": self.classes},
            "features": [{"name": name, "field": name, "kind": "number"} for name in self.features],
            "schema": {"fields": []},
        }


def load_fixture(name: str) -> Fixture:
    with (FIXTURES / f"{name}.rows.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    width = sum(not column.startswith("probability_") for column in header)
    model = (FIXTURES / f"{name}.model.txt").read_text()
    return Fixture(name, model, header[:width], [row[:width] for row in lines], [row[width:] for row in lines])


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return "".join(",".join(str(cell) for cell in row) + "\n" for row in [header, *rows])


def written(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV text with quotes where fields need them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


@dataclass
class Result:
    code: int
    errors: str
    result: dict[str, Any] | None


@dataclass
class World:
    """A data folder and the stage's commands on it."""

    root: Path
    capture: pytest.CaptureFixture[str]
    fixture: Fixture = field(default_factory=lambda: load_fixture("binary"))

    def run(self, *arguments: str) -> Result:
        self.capture.readouterr()
        code = prediction.main([*arguments, "--data-dir", str(self.root)])
        out, err = self.capture.readouterr()
        return Result(code, err, json.loads(out.splitlines()[-1]) if code == 0 else None)

    def publish(
        self, name: str, step: str, files: Mapping[str, str | bytes], inputs: Iterable[Partition] = (), **recorded: Any
    ) -> None:
        """Publish files as another stage does; `recorded`: the step's parameters and result."""

        def work(publication: Publication) -> Mapping[str, Any]:
            for file, content in files.items():
                data = content if isinstance(content, bytes) else content.encode()
                publication.path(file).write_bytes(data)
                publication.rows[file] = data.count(b"\n") - 1
            result: Mapping[str, Any] = recorded.get("result", {})
            return result

        arguments = Namespace(data_dir=self.root)
        publish(arguments, name, step, work, inputs=inputs, parameters=recorded.get("parameters"), reuse=False)

    def codes(self) -> list[int]:
        """The most probable class of most rows; every third row's goes round, so that all classes occur."""
        likely = [max(range(len(scores)), key=[float(s) for s in scores].__getitem__) for scores in self.fixture.scores]
        return [(n // 3) % len(self.fixture.classes) if n % 3 == 0 else code for n, code in enumerate(likely)]

    def val(self, codes: Sequence[int] | None = None) -> str:
        rows = zip(self.codes() if codes is None else codes, self.fixture.rows, strict=True)
        return csv_text(["returned", *self.fixture.features], ([code, *row] for code, row in rows))

    def reference(self) -> str:
        header = ["row", *(f"probability_{name}" for name in self.fixture.classes)]
        return csv_text(header, ([number, *scores] for number, scores in enumerate(self.fixture.scores)))

    def train(
        self,
        ds: str = DAY,
        *,
        val: str | bytes | None = None,
        rows_of_day: int = 0,
        unlabelled: int = 0,
        **files: str | bytes,
    ) -> None:
        """Publish processed/{ds} and models/{ds}; `files` replace model, encoder or reference.

        `rows_of_day`: those of `train_data.csv`, which is left out without them; `unlabelled`: the day's others.
        """
        encoder = files.get("encoder", json.dumps(self.fixture.encoder))
        split = {"val.csv": self.val() if val is None else val, "encoder.json": encoder}
        if rows_of_day:
            split["train_data.csv"] = csv_text(["order"], ([number] for number in range(rows_of_day)))
        self.publish(f"processed/{ds}", "split", split, result={"unlabelled": unlabelled} if unlabelled else {})
        processed = read_partition(self.root, f"processed/{ds}", ["val.csv", "encoder.json"])
        made = {
            "model.txt": files.get("model", self.fixture.model),
            "encoder.json": encoder,
            "reference_scores.csv": files.get("reference", self.reference()),
        }
        self.publish(f"models/{ds}", "train", made, [processed])

    def validated(self, ds: str = DAY) -> str:
        """Train and validate; returns the model's name."""
        self.train(ds)
        assert self.run("validate", "--ds", ds).code == 0
        return f"models/{ds}"

    def features(self, repeat: int = 1) -> str:
        """The rows as features.csv: two key columns, then the features, `repeat` times."""
        header = ["order", "line", *self.fixture.features]
        lines = [",".join(row) for row in self.fixture.rows]
        numbered = (f"{turn:05d},{n},{line}\n" for turn in range(repeat) for n, line in enumerate(lines))
        return ",".join(header) + "\n" + "".join(numbered)

    def prepare(self, model: str, content: str | bytes | None = None, ds: str = DAY) -> None:
        """Publish features/{ds} as `preprocessing features` does."""
        encoder = read_partition(self.root, model, ["encoder.json"])
        self.publish(
            f"features/{ds}", "features", {"features.csv": self.features() if content is None else content}, [encoder]
        )

    def json(self, name: str) -> dict[str, Any]:
        """The content of a JSON file below the data folder."""
        content: dict[str, Any] = json.loads((self.root / name).read_text(encoding="utf-8"))
        return content

    def encode_validation(self, champion: str, content: str | bytes | None = None, ds: str = DAY) -> None:
        """Publish comparisons/{ds} as `preprocessing encode-validation` does."""
        processed = read_partition(self.root, f"processed/{ds}", ["val.csv", "encoder.json"])
        encoder = read_partition(self.root, champion, ["encoder.json"])
        made = (processed / "val.csv").read_bytes() if content is None else content
        self.publish(f"comparisons/{ds}", "encode", {"val.csv": made}, [processed, encoder])

    def target(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add target.csv to raw/{DAY}, and label it."""
        self.publish(f"raw/{DAY}", "deliver", {"target.csv": csv_text(["order", "line", "returned"], rows)})
        self.label(rows)

    def label(self, rows: Sequence[Sequence[Any]], counts: Mapping[str, int] | None = None, **files: str) -> None:
        """Publish labels/{DAY} as `preprocessing label` does; `counts` and `files` replace its own."""
        model = read_partition(self.root, f"predictions/{DAY}", []).step("predictions.csv")["parameters"]["model"]
        inputs = [read_partition(self.root, f"raw/{DAY}", ["target.csv"])]
        inputs.append(read_partition(self.root, model, ["encoder.json"]))
        texts = [[str(cell) for cell in row] for row in rows]
        different = Counter(tuple(key) for *key, name in {tuple(row) for row in texts} if name)
        labels: dict[tuple[str, ...], list[str]] = {}
        rejected: list[list[Any]] = []
        own = Counter(rows=len(rows), missing=0, contradictory=0, repeated=0)
        for number, (*key, name) in enumerate(texts, start=2):
            reason, kind = "", ""
            if not name:
                reason, kind = "returned: missing, a value is required", "missing"
            elif different[tuple(key)] > 1:
                reason, kind = "order, line: another label", "contradictory"
            elif tuple(key) in labels:
                reason, kind = "order, line: duplicate", "repeated"
            else:
                labels[tuple(key)] = [*key, name]
            if kind:
                own[kind] += 1
                rejected.append(["target.csv", number, reason, ",".join([*key, name])])
        result = {"malformed": 0, "unreadable": 0, **own, **(counts or {})}
        made = {
            "labels.csv": files.get("labels", written(["order", "line", "returned"], labels.values())),
            "rejected.csv": files.get("rejected", written(["file", "line", "reason", "row"], rejected)),
        }
        self.publish(f"labels/{DAY}", "label", made, inputs, parameters={"model": model}, result=result)

    def read_csv(self, name: str) -> list[list[str]]:
        with (self.root / name).open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    def tree(self) -> dict[str, bytes]:
        """Every file below the data folder but lock files, to see that a failure changed nothing."""
        files = (path for path in self.root.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, capsys)


@pytest.fixture
def small_disk(capsys: pytest.CaptureFixture[str]) -> Iterable[World]:
    """A data folder on a file system of one megabyte, emptied again afterwards."""
    root = Path("/small/data")
    root.mkdir()
    yield World(root, capsys)
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()


def fill_disk(folder: Path, leave: int) -> None:
    """Leave so many bytes free."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    (folder / "filler").write_bytes(b"x" * (free - leave))
