"""A data folder with a day as the stages before leave it, published through stagekit, and the stage's commands."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from time import gmtime
from typing import Any
from xml.etree import ElementTree

import pytest
from stagekit import Publication, read_partition

import report
from tests.stages.command import Result, run_command

TRAINED, DAY = "2026-11-15", "2026-11-21"
MODEL = f"models/{TRAINED}"
SVG = "{http://www.w3.org/2000/svg}"


def curve(name: str, power: float) -> dict[str, Any]:
    """The points of a ranking whose true positive rate is the false positive rate to a power."""
    rates = [i / 60 for i in range(61)]
    return {
        "class": name,
        "roc": {"fpr": rates, "tpr": [rate**power for rate in rates]},
        "precision_recall": {"recall": rates, "precision": [1 - rate ** (1 / power) * 0.9 for rate in rates]},
    }


def curves(classes: Sequence[str], power: float) -> list[dict[str, Any]]:
    named = classes[1:] if len(classes) == 2 else classes
    return [curve(name, power * (1 + 0.1 * index)) for index, name in enumerate(named)]


def metrics(classes: Sequence[str], **figures: Any) -> dict[str, Any]:
    counts = {name: 900 if index == 0 else 100 for index, name in enumerate(classes)}
    return {
        "rows": sum(counts.values()),
        "classes": list(classes),
        "class_rows": counts,
        "roc_auc": 0.9193165817,
        "average_precision": 0.4009467622,
        "log_loss": 0.1072916703,
        "brier_score": 0.0289277803,
        "accuracy": 0.9507537688,
        "precision": 0.3984063745,
        "recall": 0.5154639175,
        "f1": 0.4494382022,
        "threshold": 0.189367655 if len(classes) == 2 else None,
        "confusion_matrix": [[counts[a] - 10 * (len(classes) - 1) if a == b else 10 for b in classes] for a in classes],
        "calibration": [
            {"rows": 100, "mean_predicted": (i / 10) ** 2 * 0.4, "observed": (i / 10) ** 2 * 0.37} for i in range(10)
        ],
        **figures,
    }


def feature(name: str, psi: float, bins: int = 11, kind: str = "number") -> dict[str, Any]:
    """A feature of this PSI; the greater the PSI, the more its shares differ."""
    expected = [1 / bins] * bins
    bent = [share * (1 + min(psi, 0.9) * math.sin(index)) for index, share in enumerate(expected)]
    labels = [f"from {index * 10}" for index in range(bins - 1)] + ["missing"]
    total = sum(bent)
    return {
        "name": name,
        "kind": kind,
        "labels": labels,
        "expected": expected,
        "actual": [b / total for b in bent],
        "psi": psi,
    }


def evaluation(classes: Sequence[str] = ("0", "1"), **more: Any) -> dict[str, Any]:
    score = feature("score", 0.0312, 10)
    features = [("amount", 0.3127), ("channel", 0.1444), ("time_hour", 0.0213), ("country", 0.0051)]
    return {
        "version": 1,
        "ds": DAY,
        "model": {"name": MODEL, "version": "3", "run_id": "f00"},
        "rows": 24939,
        "metrics": metrics(classes, roc_auc=0.8911, average_precision=0.3876, log_loss=0.1234, rows=24939),
        "trained": metrics(classes),
        "curves": curves(classes, 0.22),
        "drift": {
            "features": [feature(name, psi) for name, psi in features],
            "score": {key: score[key] for key in ("labels", "expected", "actual", "psi")},
        },
        "quality": {
            "rows_in": 25219,
            "rows_out": 24939,
            "rejected": {"data.csv": 280},
            "reasons": {"amount: above maximum": 150, "time: type": 100, "customer_id: pattern": 30},
        },
        "rules": {"feature_psi": 0.25, "metric": "roc_auc"},
        "breaches": [],
        **more,
    }


def comparison(classes: Sequence[str] = ("0", "1"), **more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "ds": TRAINED,
        "candidate": {"model": MODEL, "metrics": metrics(classes, average_precision=0.4112)},
        "champion": {"model": "models/2026-11-08", "version": "2", "metrics": metrics(classes)},
        "rows": 4975,
        "metric": "average_precision",
        "difference": 0.0102532378,
        "interval": [-0.0021, 0.0233],
        "confidence": 0.95,
        "resamples": 1000,
        "rule": {"metric": "average_precision", "floors": {"roc_auc": 0.75}, "tolerance": 0.01},
        "passed": True,
        "reasons": ["average_precision is 0.4112, the champion's 0.4009"],
        "curves": {"candidate": curves(classes, 0.2), "champion": curves(classes, 0.26)},
        **more,
    }


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([columns, *rows])
    return out.getvalue()


REJECTED = [
    ["data.csv", 26, "amount: '9999999.99' above maximum 20000", "T1,9999999.99"],
    ["data.csv", 44, "customer_id: 'customer-42' does not match C[0-9]{6}", "T2,customer-42"],
]
IMPORTANCES = [["amount", 5053.92, 420], ["channel", 2604.5, 57], ["time_hour", 0.0, 0]]
ROLES = {"transaction_id": "key", "customer_id": "entity", "name": "ignore", "amount": "feature", "time": "time"}
ENCODER = {
    "version": 1,
    "key": ["transaction_id"],
    "target": {"name": "is_fraud", "classes": ["0", "1"]},
    "features": [{"name": "amount", "field": "amount", "kind": "number"}],
    "schema": {"fields": [{"name": name, "type": "string", "role": role} for name, role in ROLES.items()]},
}
REASON_COLUMNS = [
    *("transaction_id", "explained_class", "score", "raw_score", "base_value"),
    *(f"{what}_{place}" for place in (1, 2) for what in ("feature", "value", "contribution")),
    "other_contributions",
]
REASONS = [
    *([f"T{n}", "1", n / 100, -1.5, -3.5, "amount", f"{n}.5", 1.25, "channel", "…", -0.5, 0.25] for n in range(20)),
    ["T<b>", "1", 0.975, 3.7, -3.5, "country", "", 7.2, "", "", "", 0.0],
]
CONTRIBUTIONS = {
    "version": 1,
    "rows": 21,
    "classes": ["0", "1"],
    "model": MODEL,
    "features": [
        {"name": "amount", "mean_absolute": 0.8,
         "bins": {"labels": ["up to 10", "above 10", "missing"], "rows": [12, 9, 0], "means": [-0.75, 1.125, None]}},
        {"name": "channel", "mean_absolute": 0.4, "bins": None},
        {"name": "country", "mean_absolute": 0.0, "bins": None},
    ],
}  # fmt: skip
PARAMS = {
    "best_iteration": 30,
    "rows": {"train": 19925, "val": 4975},
    "curve": {
        "binary_logloss": [0.3 / i**0.4 + 0.0002 * i for i in range(1, 81)],
        "auc": [0.92 - 0.2 / i for i in range(1, 81)],
    },
}


# When the first step starts, in seconds since 1970: marks know starts to the second.
FIRST_START = 1_795_500_000


@dataclass
class World:
    """A data folder and the stage's commands on it."""

    root: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    seconds: int = 0

    def publish(
        self,
        name: str,
        step: str,
        files: Mapping[str, object],
        reads: Sequence[str] = (),
        warnings: Sequence[str] = (),
        **parameters: Any,
    ) -> None:
        """Publish files of a partition, each a second after the one before; `reads` are files below the data folder."""
        self.seconds += 1
        self.patch.setattr("stagekit.publication.gmtime", lambda: gmtime(FIRST_START + self.seconds))
        inputs = [read_partition(self.root, path.rpartition("/")[0], [path.rpartition("/")[2]]) for path in reads]
        with Publication(self.root, name, step, inputs=inputs, parameters=parameters) as publication:
            publication.result = {"warnings": warnings}
            for file, content in files.items():
                text = content if isinstance(content, str | bytes) else json.dumps(content)
                found = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
                publication.path(file).write_bytes(found)
                publication.rows[file] = found.count(b"\n") - 1

    def of_run(self, dag: str, run: str) -> None:
        """Let what is published next belong to a Dag run."""
        self.patch.setenv("ML_DAG_ID", dag)
        self.patch.setenv("ML_RUN_ID", run)
        self.patch.setenv("ML_IMAGE", "airflow-ml-prediction:86991694d4d2")

    def raw(self, ds: str) -> None:
        self.publish(f"raw/{ds}", "generate", {"data.csv": f"id\n{ds}\n", "target.csv": "id\n", "schema.json": {}})

    def model(
        self,
        ds: str = TRAINED,
        classes: Sequence[str] = ("0", "1"),
        measured: Mapping[str, Any] | None = None,
        importances: Sequence[Sequence[object]] = IMPORTANCES,
        params: Mapping[str, Any] = PARAMS,
        warnings: Sequence[str] = (),
        tuned: Sequence[str] = (),
    ) -> None:
        """A day of training, from its raw data to the validated model; `tuned` are the files of a search."""
        self.of_run("train_model", f"scheduled__{ds}T02:00:00+00:00")
        self.raw(ds)
        prepared = f"processed/{ds}/train_data.csv"
        self.publish(f"processed/{ds}", "prepare", {"train_data.csv": "1\n"}, [f"raw/{ds}/data.csv"])
        self.publish(f"processed/{ds}", "split", {"train.csv": "1\n", "val.csv": "2\n"}, [prepared])
        trained = {
            "model.txt": "tree\n",
            "params.json": params,
            "feature_importance.csv": table(["feature", "gain", "split"], importances),
            "encoder.json": ENCODER,
        }
        self.publish(f"models/{ds}", "train", trained, [f"processed/{ds}/train.csv", *tuned], warnings)
        validated = {
            "metrics.json": measured or metrics(classes),
            "curves.json": {"version": 1, "classes": list(classes), "curves": curves(classes, 0.25)},
        }
        self.publish(f"models/{ds}", "validate", validated, [f"models/{ds}/model.txt", f"processed/{ds}/val.csv"])

    def compare(self, content: Mapping[str, Any], ds: str = TRAINED) -> None:
        self.publish(f"comparisons/{ds}", "compare", {"comparison.json": content}, [f"models/{ds}/model.txt"])

    def scored(
        self,
        ds: str = DAY,
        model: str = MODEL,
        version: str | None = "3",
        rejected: Sequence[Sequence[object]] = REJECTED,
        warnings: Sequence[str] = (),
    ) -> None:
        """A day of predictions, from its raw data on."""
        self.of_run("predict", f"scheduled__{ds}T03:00:00+00:00")
        self.raw(ds)
        features = {"features.csv": "1\n", "rejected.csv": table(["file", "line", "reason", "row"], rejected)}
        self.publish(f"features/{ds}", "features", features, [f"raw/{ds}/data.csv"])
        reads = [f"features/{ds}/features.csv", f"{model}/model.txt"]
        files = {"predictions.csv": f"{ds}\n"}
        self.publish(f"predictions/{ds}", "predict", files, reads, warnings, model=model, version=version)

    def explain(self, ds: str = DAY, model: str = MODEL, **files: object) -> None:
        """The reasons of a day's scores, as the stage `explanation` publishes them; `files` replace its own."""
        self.of_run("predict", f"scheduled__{ds}T03:00:00+00:00")
        made = {"reasons": table(REASON_COLUMNS, REASONS), "contributions": CONTRIBUTIONS, **files}
        named = {"reasons.csv": made["reasons"], "contributions.json": made["contributions"]}
        self.publish(f"explanations/{ds}", "explain", named, [f"features/{ds}/features.csv", f"{model}/model.txt"])

    def evaluate(self, content: object, ds: str = DAY) -> None:
        self.of_run("monitor", f"scheduled__{ds}T04:00:00+00:00")
        reads = [f"predictions/{ds}/predictions.csv", f"features/{ds}/features.csv"]
        self.publish(f"reports/{ds}", "evaluate", {"evaluation.json": content}, reads)

    def whole_day(self, classes: Sequence[str] = ("0", "1"), **more: Any) -> "World":
        """Everything that a page can show."""
        self.model(classes=classes)
        self.compare(comparison(classes))
        self.scored()
        self.evaluate(evaluation(classes, **more))
        return self

    def run(self, *arguments: str) -> Result:
        return run_command(report.main, self.capture, *arguments, "--data-dir", str(self.root))

    def day(self, *options: str, ds: str = DAY) -> "Page":
        """The page of a day."""
        result = self.run("page", "--ds", ds, *options)
        assert result.code == 0, result.log
        return Page(self.output(f"reports/{ds}", "index.html"))

    def plots(self, ds: str = TRAINED) -> dict[str, ElementTree.Element]:
        """The plots of a model, by file name."""
        result = self.run("plot", "--ds", ds)
        assert result.code == 0, result.log
        return {name: ElementTree.fromstring(self.output(f"plots/{ds}", name)) for name in result.line["plots"]}

    def output(self, partition: str, file: str) -> bytes:
        return (read_partition(self.root, partition, [file]) / file).read_bytes()


VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page as a browser's parser takes it: its tags with their attributes, and its text by section."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"": []}
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self._section = ""
        self.feed(content.decode("utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = str(dict(attrs)["id"])
            self.texts[self._section] = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1:] == [tag], f"</{tag}> closes another element, line {self.getpos()[0]}"
        self._open.pop()
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.texts[self._section].append(data)
        if self._open and {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def text(self, section: str) -> str:
        """The words of a section, or with "" of what is outside of all sections."""
        return " ".join(" ".join(self.texts[section]).split())

    def row(self, first: str) -> list[str]:
        """The cells of the first row that begins with a text."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        return next(row for row in rows if row and row[0].startswith(first))

    def attributes(self, tag: str, name: str) -> list[str]:
        return [str(attributes[name]) for found, attributes in self.tags if found == tag and name in attributes]


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, capsys, monkeypatch)


def words(plot: ElementTree.Element) -> str:
    """All that a plot says, a space between two texts."""
    return " ".join("".join(text.itertext()) for text in plot.iter(f"{SVG}text"))
