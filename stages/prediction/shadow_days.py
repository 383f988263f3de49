"""The days that a version in shadow has scored beside the champion, verified. Standard library only.

A day counts if it has labels, if it comes after the training, if neither model was trained on rows of it, and if the
champion of the latest such day scored it. The first of these days decide.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import META, BadInput, NotReady, Partition, read_partition
from stagekit.models import model_name

from model_partition import MODEL_FILE, ValidatedModel, read_validated

PREDICTIONS_FILE = "predictions.csv"

log = logging.getLogger("prediction")


@dataclass(frozen=True)
class ShadowDay:
    """A day: what the version in shadow and the champion have scored, and the labels."""

    ds: str
    shadow: Partition
    predictions: Partition
    labels: Partition

    @property
    def champion(self) -> str:
        """The sha256 of the trees that scored the day in production."""
        return _trees(self.predictions)


@dataclass(frozen=True)
class ShadowDays:
    """The days that count, the oldest first, with both models. `champion_version` is as `predict` recorded it."""

    days: tuple[ShadowDay, ...]
    candidate: ValidatedModel
    champion: ValidatedModel
    champion_version: Mapping[str, Any]

    @property
    def inputs(self) -> list[Partition]:
        """The partitions that are read."""
        of_days = [part for day in self.days for part in (day.shadow, day.predictions, day.labels)]
        models = {model.name: model.partition for model in (self.candidate, self.champion)}
        return [*of_days, *models.values()]


def version_of(root: Path, ds: str) -> str | None:
    """The newest version that scored the day in shadow."""
    marks = (root / "shadows").glob(f"{ds}-v*/{META}")
    numbers = [int(number) for mark in marks if (number := mark.parent.name.removeprefix(f"{ds}-v")).isdecimal()]
    return str(max(numbers)) if numbers else None


def read_days(root: Path, number: str, most: int) -> ShadowDays | None:
    """The days of a version that count; None if there are none."""
    marks = sorted((root / "shadows").glob(f"????-??-??-v{number}/{META}"))
    found = [day for mark in marks if (day := _read_day(root, mark.parent.name))]
    if not found:
        return None
    newest = found[-1]
    candidate = _model_of(root, newest.shadow)
    champion = _model_of(root, newest.predictions)
    days = [day for day in found if _counts(day, newest, candidate, champion)][:most]
    recorded = newest.predictions.step(PREDICTIONS_FILE)["parameters"]
    version = {"model": champion.name, "version": recorded.get("version")}
    return ShadowDays(tuple(days), candidate, champion, version) if days else None


def _read_day(root: Path, folder: str) -> ShadowDay | None:
    """A day with labels; None if it is not complete yet, and the log says why."""
    ds = folder.partition("-v")[0]
    try:
        shadow = read_partition(root, f"shadows/{folder}", [PREDICTIONS_FILE, "features.csv"])
        predictions = read_partition(root, f"predictions/{ds}", [PREDICTIONS_FILE])
        labels = read_partition(root, f"labels/{ds}", ["labels.csv", "rejected.csv"])
    except NotReady as error:
        log.info("%s does not count yet: %s", ds, error.found)
        return None
    if empty := [part.name for part in (shadow, predictions, labels) if part.rows(part.files[0]) == 0]:
        log.info("%s does not count: %s has no rows", ds, empty[0])
        return None
    return ShadowDay(ds, shadow, predictions, labels)


def _counts(day: ShadowDay, newest: ShadowDay, candidate: ValidatedModel, champion: ValidatedModel) -> bool:
    if day.ds <= candidate.name.removeprefix("models/"):
        log.info("%s does not count: it is not after the training of %s", day.ds, candidate.name)
        return False
    if seen := [model.name for model in (candidate, champion) if model.has_seen(day.ds)]:
        log.info("%s does not count: %s was trained on rows of it", day.ds, " and ".join(seen))
        return False
    if day.champion != newest.champion or _trees(day.shadow) != _trees(newest.shadow):
        log.info("%s does not count: other models scored it than %s", day.ds, newest.ds)
        return False
    return True


def _trees(scored: Partition) -> str:
    """The sha256 of the trees that made predictions."""
    inputs = scored.inputs(PREDICTIONS_FILE)
    return next((digest for path, digest in inputs.items() if path.endswith(f"/{MODEL_FILE}")), "")


def _model_of(root: Path, scored: Partition) -> ValidatedModel:
    """The model that made predictions. Errors: BadInput if another one is in its place now."""
    name = str(scored.step(PREDICTIONS_FILE).get("parameters", {}).get("model") or "")
    model = read_validated(root, model_name(root, name))
    if model.partition.hashes[f"{model.name}/{MODEL_FILE}"] != _trees(scored):
        raise BadInput(
            f"{scored.name} was made with another {model.name}/{MODEL_FILE}",
            expected="the file that is there now",
            do="run the Dag predict for the day again: it restores the model",
        )
    return model
