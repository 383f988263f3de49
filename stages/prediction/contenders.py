"""The models of a comparison, verified to have scored the same validation rows. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition, read_partition

from model_partition import ENCODER_FILE, REFERENCE_FILE, ValidatedModel, check_trained_beside, read_validated


@dataclass(frozen=True)
class Contender:
    """A model, and the partition whose val.csv has the validation rows in this model's encoding."""

    model: ValidatedModel
    rows: Partition


@dataclass(frozen=True)
class Comparison:
    """What `compare` compares.

    `champion_version` is the champion's model and version, None if there is no champion. If there is one and
    `champion` is None, the two models cannot be measured on the same rows; `incomparable` is the reason.
    """

    ds: str
    rules: Mapping[str, Any]
    candidate: Contender
    champion_version: Mapping[str, Any] | None = None
    champion: Contender | None = None
    incomparable: str = ""


def read_candidate(root: Path, ds: str) -> Contender:
    """The day's model and its validation rows."""
    model = read_validated(root, f"models/{ds}")
    rows = read_partition(root, f"processed/{ds}", ["val.csv"])
    check_trained_beside(model.partition, rows)
    return Contender(model, rows)


def read_champion(root: Path, ds: str, name: str, candidate: Contender) -> Contender:
    """The champion, and the candidate's validation rows in the champion's encoding."""
    model = read_validated(root, name, [REFERENCE_FILE])
    if model.encoder.target != candidate.model.encoder.target:
        raise BadInput(
            f"{name} predicts {model.encoder.target!r}, {candidate.model.name} {candidate.model.encoder.target!r}",
            expected="two models of one target",
            do="choose another champion",
        )
    rows = read_partition(root, f"comparisons/{ds}", ["val.csv"])
    do = f"run preprocessing encode-validation --ds {ds} --model {name}"
    _check_encoder(rows, model.partition, do)
    _check_source(rows, candidate.rows, do)
    _check_count(rows, candidate.rows, do)
    return Contender(model, rows)


def _check_encoder(rows: Partition, model: Partition, do: str) -> None:
    inputs = rows.inputs("val.csv")
    encoders = {path: digest for path, digest in inputs.items() if path.endswith(f"/{ENCODER_FILE}")}
    if model.hashes[f"{model.name}/{ENCODER_FILE}"] not in encoders.values():
        raise BadInput(
            f"{rows.name}/val.csv was encoded for another model, with {', '.join(encoders) or 'no encoder'}",
            expected=f"rows made with the present {model.name}/{ENCODER_FILE}",
            do=do,
        )


def _check_source(rows: Partition, processed: Partition, do: str) -> None:
    """The rows must come from the files that the candidate's rows come from, as far as these are still there."""
    present = processed.meta["outputs"]
    for path, digest in rows.inputs("val.csv").items():
        folder, _, file = path.rpartition("/")
        if folder == processed.name and file in present and present[file]["sha256"] != digest:
            raise BadInput(f"{rows.name}/val.csv was made from another {path}", expected="the present one", do=do)


def _check_count(rows: Partition, processed: Partition, do: str) -> None:
    found, expected = rows.rows("val.csv"), processed.rows("val.csv")
    if found != expected and None not in (found, expected):
        raise BadInput(
            f"{rows.name}/val.csv has {found} rows", expected=f"{expected}, as {processed.name}/val.csv", do=do
        )
