"""A bundle: the files of a validated model, as its partition has them and as the tags of a version record them.

Standard library only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from stagekit import BadInput, NotReady, Partition, read_partition
from stagekit.contract import read_document
from stagekit.options import SHA256
from stagekit.shapes import Exactly, Maybe, Passes, ShapeError, Values, check, parse_object

MODEL_FILE, ENCODER_FILE, METRICS_FILE, PARAMETERS_FILE = "model.txt", "encoder.json", "metrics.json", "params.json"
CARD_FILE = "model_card.md"
MARK_FILE, MLMODEL_FILE = "_meta.json", "MLmodel"
# The code that encodes raw rows where MLflow loads the model: a copy of the stage's own module.
CODE_FILE = "airflow_ml_model.py"
# What registering adds to a model's own files.
ADDED = {
    *(MARK_FILE, MLMODEL_FILE, "requirements.txt", "python_env.yaml", "conda.yaml"),
    *("input_example.json", "serving_input_example.json", CODE_FILE),
}
NEEDED = {MODEL_FILE, ENCODER_FILE, METRICS_FILE, MARK_FILE, MLMODEL_FILE}
TAG = "airflow_ml."
# Every tag of ours that a version of any release has: these, and families with a path, a stage or a day after the dot.
TAGS = {
    *("ds", "dag_id", "dag_run_id", "model", "model_sha256", "files", "signature", "reused_by"),
    "warnings",
    *("decision", "decision_reasons", "promoted"),
    *("shadow_promote", "shadow_signature", "shadow_days", "shadow_run", "asked_beside"),
}
FAMILIES = ("data.", "image.", "report.")
DATED = re.compile(r"models/([0-9]{4}-[0-9]{2}-[0-9]{2})")
# A name of a file directly in a folder, which no shell, system or web page takes for something else.
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
FILES = Values(Passes(str, lambda text: bool(SHA256.fullmatch(text)), "a sha256"))
ROWS = Maybe(Passes(int, lambda count: count >= 0, "0 or more"))


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
    read_document(model, METRICS_FILE)
    return model


def model_hash(model: Partition) -> str:
    """The sha256 of its trees, which identifies a model."""
    return model.hashes[f"{model.name}/{MODEL_FILE}"]


def file_hashes(model: Partition) -> dict[str, str]:
    """The sha256 of each verified file by its name."""
    return {file: model.hashes[f"{model.name}/{file}"] for file in model.files}


@dataclass(frozen=True)
class Bundle:
    """What was registered: the partition that the model was in, and the sha256 of each file."""

    model: str
    files: Mapping[str, str]

    @property
    def model_files(self) -> dict[str, str]:
        """The sha256 of the model's own files: those of the partition."""
        return {file: digest for file, digest in self.files.items() if file not in ADDED}

    def is_of(self, model: Partition) -> bool:
        """Whether it holds this very model: the same files of the same partition."""
        return self.model == model.name and self.model_files == file_hashes(model)


def parse_bundle(tags: Mapping[str, str]) -> Bundle:
    """The bundle that a version's tags record. Errors: ValueError for a tag that `register` would not write."""
    ours = {key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)}
    if unknown := sorted(name for name in ours if name not in TAGS and not name.startswith(FAMILIES)):
        raise ValueError(f"the tag {TAG}{unknown[0]} is unknown")
    if missing := sorted({"ds", "model", "model_sha256", "files"} - ours.keys()):
        raise ValueError(f"it has no tag {TAG}{missing[0]}")
    day = DATED.fullmatch(ours["model"])
    if day is None or day[1] != ours["ds"] or not _is_date(day[1]):
        raise ValueError(f"the tag {TAG}model is {ours['model']!r} with {TAG}ds {ours['ds']!r}, not models/YYYY-MM-DD")
    files = _parse_files(ours["files"])
    if ours["model_sha256"] != files[MODEL_FILE]:
        raise ValueError(f"the tag {TAG}model_sha256 is not the sha256 of {MODEL_FILE} in {TAG}files")
    return Bundle(ours["model"], files)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _parse_files(text: str) -> dict[str, str]:
    try:
        files = parse_object(text.encode())
        check(files, FILES)
    except ShapeError as error:
        raise ValueError(f"the tag {TAG}files: {error}") from None
    if wrong := sorted(name for name in files if not FILE_NAME.fullmatch(name)):
        raise ValueError(f"the tag {TAG}files names {wrong[0][:100]!r}, which is not the name of a file")
    if missing := sorted(NEEDED - files.keys()):
        raise ValueError(f"the tag {TAG}files does not name {missing[0]}")
    return files


def parse_rows(mark: bytes, files: Mapping[str, str]) -> dict[str, int]:
    """The number of rows of each table among `files`, from the mark in a bundle. Errors: BadInput for another mark."""
    shapes = {file: {"sha256": Exactly(digest), "rows": ROWS} for file, digest in files.items()}
    try:
        content = parse_object(mark, strict=False)
        check(content, {"outputs": shapes})
    except ShapeError as error:
        raise BadInput(
            f"the {MARK_FILE} that is registered: {error.found}", expected=error.expected,
            do="use another version (`registry list`)",
        ) from None  # fmt: skip
    counts = {file: content["outputs"][file].get("rows") for file in files}
    return {file: count for file, count in counts.items() if count is not None}
