"""A model partition: what it holds, and which features and classes it speaks of. Standard library only."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, UsageError, partition_name, read_partition

MODEL_FILE, ENCODER_FILE, METRICS_FILE, REFERENCE_FILE = (
    "model.txt",
    "encoder.json",
    "metrics.json",
    "reference_scores.csv",
)
CURVES_FILE, BASELINE_FILE = "curves.json", "baseline.json"
CATEGORY = "category"


@dataclass(frozen=True)
class Feature:
    """A column of the model's input: its kind, and of a category the values by code."""

    name: str
    kind: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoder:
    """What `encoder.json` says: key columns, target, the target's classes by code, feature columns in order.

    `schema` is the Table Schema of the training data: what the texts of keys and target mean.
    """

    key: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    columns: tuple[Feature, ...]
    schema: Mapping[str, Any]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the feature columns."""
        return tuple(feature.name for feature in self.columns)

    @property
    def probability_columns(self) -> list[str]:
        """The column of each class's probability, in the order of the codes."""
        return [f"probability_{name}" for name in self.classes]


def model_name(root: Path, text: str) -> str:
    """The partition that `--model` names: `models/2026-11-21`, or the same below the data folder."""
    name = partition_name(root, text)
    if not name.startswith("models/") or name.count("/") != 1:
        raise UsageError(f"{text!r} is no model", expected="a path such as models/2026-11-21")
    return name


def read_validated(root: Path, name: str, files: Iterable[str]) -> Partition:
    """Verify `files` and the metrics of a model; NotReady where `validate` has not passed it yet."""
    model = read_partition(root, name, files)
    if METRICS_FILE not in model.meta["outputs"]:
        raise NotReady(
            f"{name} is not validated: its mark names no {METRICS_FILE}", expected="a model that `validate` has passed",
            do=f"run `prediction validate --ds {name.removeprefix('models/')}`, or choose another model",
        )  # fmt: skip
    return read_partition(root, name, [*model.files, METRICS_FILE])


def read_json(partition: Partition, file: str) -> dict[str, Any]:
    """A JSON object of a verified partition."""
    try:
        content = json.loads((partition / file).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__}")
    except (ValueError, TypeError) as error:
        raise damaged(partition, file, str(error), "a JSON object in UTF-8") from None
    return content


def read_encoder(model: Partition) -> Encoder:
    """The model's encoder, as docs/architecture.md describes it."""
    content = read_json(model, ENCODER_FILE)
    try:
        if content["version"] != 1:
            raise ValueError(f"version {content['version']}")
        encoder = Encoder(
            key=_names(content["key"]),
            target=_names([content["target"]["name"]])[0],
            classes=_names(content["target"]["classes"]),
            columns=tuple(_feature(feature) for feature in content["features"]),
            schema=content["schema"],
        )
        _names(encoder.features)
        _names([*encoder.key, "prediction", *encoder.probability_columns, *encoder.features])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(model, ENCODER_FILE, text, "an encoder of version 1") from None
    return encoder


def _feature(document: Mapping[str, Any]) -> Feature:
    values = document.get("values", [])
    if not isinstance(values, list) or not isinstance(document["kind"], str):
        raise TypeError(f"the feature {document['name']!r} has no kind, or no list of values")
    return Feature(document["name"], document["kind"], tuple(map(str, values)))


def _names(values: Iterable[Any]) -> tuple[str, ...]:
    names = tuple(values)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{names!r} are no names")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the column or class {twice[0]!r} appears twice")
    return names


def read_metrics(model: Partition) -> Mapping[str, Any]:
    """What `validate` measured."""
    return read_json(model, METRICS_FILE)


def read_threshold(model: Partition, encoder: Encoder) -> float | None:
    """The score from which on the second of two classes is predicted; None with more classes."""
    if len(encoder.classes) > 2:
        return None
    threshold = read_metrics(model).get("threshold")
    if not isinstance(threshold, float) or not 0 <= threshold <= 1:
        raise BadInput(
            f"{model.name}/{METRICS_FILE} has the threshold {threshold!r}", expected="a number from 0 to 1",
            do=f"run prediction validate --ds {model.name[7:]} again",
        )  # fmt: skip
    return threshold


def made_by(partition: Partition, file: str) -> Mapping[str, Any]:
    """The record of the step that wrote a file, as the partition's mark has it."""
    step: Mapping[str, Any] = partition.meta["steps"].get(partition.meta["outputs"][file]["step"], {})
    return step


def inputs_of(partition: Partition, file: str) -> Mapping[str, str]:
    """The sha256 of each file that the step read which wrote this one."""
    inputs: Mapping[str, str] = made_by(partition, file).get("inputs", {})
    return inputs


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object in UTF-8. ValueError for what JSON has no number for."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def damaged(partition: Partition, file: str, found: str, expected: str) -> BadInput:
    """The error that a file of a verified partition is not what its writer should have written."""
    return BadInput(
        f"{partition.name}/{file} cannot be used: {found}", expected=expected,
        do=f"run the stage that writes {partition.name}/{file} again",
    )  # fmt: skip
