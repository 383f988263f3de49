"""A model partition: what a validated one holds, verified whole. Standard library only."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, UsageError, partition_name, read_partition

MODEL_FILE, ENCODER_FILE, METRICS_FILE, PARAMETERS_FILE = "model.txt", "encoder.json", "metrics.json", "params.json"


def model_name(root: Path, text: str) -> str:
    """The partition that `--model` names: `models/2026-11-21`, or the same below the data folder."""
    name = partition_name(root, text)
    if not name.startswith("models/") or name.count("/") != 1:
        raise UsageError(f"{text!r} is no model", expected="a path such as models/2026-11-21")
    return name


def read_model(root: Path, name: str) -> Partition:
    """Verify every file that the mark of a validated model names.

    Errors: NotReady where there is no such model, or `validate` has not passed it; BadInput where it is damaged.
    """
    model = read_partition(root, name, [MODEL_FILE, ENCODER_FILE])
    if METRICS_FILE not in model.meta["outputs"]:
        raise NotReady(
            f"{name} is not validated: its mark names no {METRICS_FILE}", expected="a model that `validate` has passed",
            do=f"run `prediction validate --ds {name.removeprefix('models/')}`, or choose another model",
        )  # fmt: skip
    model = read_partition(root, name, sorted(model.meta["outputs"]))
    read_json(model, METRICS_FILE)
    return model


def model_hash(model: Partition) -> str:
    """The sha256 of its trees, by which a model is known."""
    return model.hashes[f"{model.name}/{MODEL_FILE}"]


def file_hashes(model: Partition) -> dict[str, str]:
    """The sha256 of each verified file by its name."""
    return {file: model.hashes[f"{model.name}/{file}"] for file in model.files}


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(partition: Partition, file: str) -> dict[str, Any]:
    """A JSON object of a verified partition."""
    try:
        content = json.loads((partition / file).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__}")
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{partition.name}/{file} cannot be used: {error}", expected="a JSON object in UTF-8",
            do=f"run the stage that writes {partition.name}/{file} again",
        ) from None  # fmt: skip
    return content


def numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """The figures among the values of a JSON object; no truth values, nothing nested, nothing infinite."""
    return {
        key: float(value)
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    }
