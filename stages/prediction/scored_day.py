"""What `evaluate` reads: a scored day, verified to belong together. Standard library only."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, read_partition

from bundle import (
    BASELINE_FILE,
    ENCODER_FILE,
    METRICS_FILE,
    MODEL_FILE,
    Encoder,
    inputs_of,
    made_by,
    model_name,
    read_encoder,
    read_threshold,
    read_validated,
)

QUALITY = ("rows_in", "rows_out", "rejected", "reasons")

log = logging.getLogger("prediction")


@dataclass(frozen=True)
class ScoredDay:
    """A day with its predictions. `raw` is None where there is no target yet.

    `named` is the model as `predict` was told: name, version, run_id. `quality` is what `prepare` said of the day's
    rows, with nulls where its mark does not hold it.
    """

    predictions: Partition
    features: Partition
    raw: Partition | None
    model: Partition
    encoder: Encoder
    threshold: float | None
    named: Mapping[str, Any]
    quality: Mapping[str, Any]

    @property
    def inputs(self) -> list[Partition]:
        """The partitions that are read."""
        return [self.predictions, self.features, self.model, *([self.raw] if self.raw else [])]


def read_scored_day(root: Path, ds: str) -> ScoredDay:
    """Verify the predictions of a day and all that they were made of, as far as it is still there."""
    predictions = read_partition(root, f"predictions/{ds}", ["predictions.csv"])
    step = made_by(predictions, "predictions.csv")
    scored = dict(step.get("parameters", {}))
    features = read_partition(root, f"features/{ds}", ["features.csv"])
    again = f"run preprocessing prepare and prediction predict for {ds} again"
    if "model" not in scored:
        raise BadInput(f"the mark of {predictions.name} names no model", expected="a step that names it", do=again)
    model = read_validated(root, model_name(root, str(scored["model"])), [MODEL_FILE, ENCODER_FILE])
    if BASELINE_FILE in model.meta["outputs"]:
        model = read_partition(root, model.name, [*model.files, BASELINE_FILE])
    used = step.get("inputs", {})
    now = {**features.hashes, **model.hashes}
    for path in (f"{features.name}/features.csv", *(f"{model.name}/{f}" for f in (MODEL_FILE, METRICS_FILE))):
        if used.get(path) != now[path]:
            raise BadInput(
                f"{predictions.name} was made with another {path}", expected="the file that is there now", do=again
            )
    encoder = read_encoder(model)
    raw = _read_target(root, ds, features, again)
    named = {"name": model.name, "version": scored.get("version"), "run_id": scored.get("run_id")}
    told = made_by(features, "features.csv").get("result") or {}
    quality = {key: told.get(key) for key in QUALITY}
    return ScoredDay(predictions, features, raw, model, encoder, read_threshold(model, encoder), named, quality)


def _read_target(root: Path, ds: str, features: Partition, again: str) -> Partition | None:
    """The raw partition with its target.csv; None where that is not there yet."""
    try:
        raw = read_partition(root, f"raw/{ds}", [])
    except NotReady as error:
        log.warning("%s", error)
        return None
    data = f"{raw.name}/data.csv"
    made_from = inputs_of(features, "features.csv").get(data)
    if made_from is not None and made_from != raw.meta["outputs"].get("data.csv", {}).get("sha256"):
        raise BadInput(f"{features.name} was made from another {data}", expected="the data that is there now", do=again)
    if "target.csv" not in raw.meta["outputs"]:
        return None
    return read_partition(root, raw.name, ["target.csv"])
