"""A model partition: what it holds, and which features and classes it speaks of. Standard library only."""

import json
import re
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
DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Encoder:
    """What `encoder.json` says: key columns, target, the target's classes by code, feature columns in order."""

    key: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    features: tuple[str, ...]

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
        raise _damaged(partition, file, str(error), "a JSON object in UTF-8") from None
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
            features=_names([feature["name"] for feature in content["features"]]),
        )
        _names([*encoder.key, "prediction", *encoder.probability_columns, *encoder.features])
    except (KeyError, TypeError, ValueError) as error:
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _damaged(model, ENCODER_FILE, text, "an encoder of version 1") from None
    return encoder


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


def _damaged(partition: Partition, file: str, found: str, expected: str) -> BadInput:
    return BadInput(
        f"{partition.name}/{file} cannot be used: {found}", expected=expected,
        do=f"run the stage that writes {partition.name}/{file} again",
    )  # fmt: skip
