"""What `evaluate` reads: a scored day or a shard of one, verified to belong together. Standard library only."""

import logging
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, read_partition
from stagekit.models import model_name
from stagekit.shards import LINES_FILE, Shard, read_shard

from model_partition import (
    BASELINE_FILE,
    COUNTS_FILE,
    ENCODER_FILE,
    LABELLED_FILE,
    METRICS_FILE,
    MODEL_FILE,
    ValidatedModel,
    read_validated,
)

# The labels of a raw day: target.csv, and its later deliveries.
DELIVERY = re.compile(r"target(-[0-9]+)?\.csv")
QUALITY = ("rows_in", "rows_out", "rejected", "reasons")
# Of a shard, with counts.json: which rows it has.
FEATURES_OF_SHARD, LABELS_OF_SHARD = ("features.csv", LINES_FILE, COUNTS_FILE), ("labels.csv", COUNTS_FILE)

log = logging.getLogger("prediction")


@dataclass(frozen=True)
class ScoredDay:
    """A day with its predictions, or a shard of it. `labels` is None if there are none yet.

    `model_version` is the model as `predict` recorded it: name, version, run_id. `quality` holds the counts that
    `preprocessing features` recorded about the day's rows, with nulls if its mark does not have them.
    """

    ds: str
    predictions: Partition
    features: Partition
    labels: Partition | None
    model: ValidatedModel
    model_version: Mapping[str, Any]
    quality: Mapping[str, Any]
    is_shard: bool = False

    @property
    def inputs(self) -> list[Partition]:
        """The partitions that are read."""
        return [self.predictions, self.features, self.model.partition, *([self.labels] if self.labels else [])]

    @property
    def is_training_day(self) -> bool:
        """Whether the model was trained on rows of the same day."""
        return self.model.has_seen(self.ds)


def read_scored_day(root: Path, ds: str, shard: Shard | None = None) -> ScoredDay:
    """Verify the predictions of a day, or of a shard, and what they were made from, as far as it is still there."""
    name = shard.place if shard else str
    predictions = _read_predictions(root, ds, shard)
    scored = predictions.step("predictions.csv").get("parameters", {})
    features = read_partition(root, name(f"features/{ds}"), FEATURES_OF_SHARD if shard else ["features.csv"])
    do = f"run preprocessing features and prediction predict for {ds} again"
    if "model" not in scored:
        raise BadInput(f"the mark of {predictions.name} names no model", expected="a step that names it", do=do)
    model = read_validated(root, model_name(root, str(scored["model"])), [BASELINE_FILE])
    _check_scored_from(predictions, features, model.partition, do)
    raw = _read_raw(root, ds, features, do)
    labels = _read_labels(root, ds, raw, model.partition, shard)
    if shard and labels:
        _check_same_rows(features, labels, do)
    model_version = {"name": model.name, "version": scored.get("version"), "run_id": scored.get("run_id")}
    counted = features.step("features.csv").get("result") or {}
    quality = {key: counted.get(key) for key in QUALITY}
    return ScoredDay(ds, predictions, features, labels, model, model_version, quality, is_shard=shard is not None)


def read_evaluated_shards(
    args: Namespace, day: ScoredDay, shards: Sequence[Shard], parameters: Mapping[str, Any]
) -> list[Partition]:
    """What `evaluate` has made of the shards of a day.

    Errors: BadInput if it is not made of the shards that the day is merged from.
    """
    found = []
    for shard in shards:
        made_from = dict(day.model.partition.hashes)
        for of_day, files in _files_of_shard(day):
            place, merged = shard.place(of_day.name), of_day.inputs(files[0])
            if f"{place}/{files[0]}" not in merged:
                raise BadInput(
                    f"{of_day.name} was not made from {place}",
                    expected=f"a day that was made from its {shard.of} shards",
                    do=f"make {of_day.name} with --shards {shard.of}, or leave out --shards",
                )
            made_from |= {f"{place}/{file}": merged[f"{place}/{file}"] for file in files}
        files = [COUNTS_FILE, LABELLED_FILE]
        found.append(read_shard(args.data_dir, shard, f"reports/{day.ds}", files, made_from, parameters))
    return found


def _files_of_shard(day: ScoredDay) -> list[tuple[Partition, Sequence[str]]]:
    """The partitions of a day that are merged from shards, and the files of a shard that `evaluate` reads."""
    labels = [(day.labels, LABELS_OF_SHARD)] if day.labels else []
    return [(day.features, FEATURES_OF_SHARD), (day.predictions, ["predictions.csv"]), *labels]


def _read_predictions(root: Path, ds: str, shard: Shard | None) -> Partition:
    name = f"predictions/{ds}"
    if shard is None:
        return read_partition(root, name, ["predictions.csv"])
    try:
        return read_partition(root, shard.place(name), ["predictions.csv"])
    except NotReady as error:
        raise NotReady(
            error.found,
            expected=f"a day that was scored in {shard.of} shards",
            do=f"run `predict` for {ds} in as many shards, or `evaluate` in as many as it was scored in",
        ) from None


def _check_same_rows(features: Partition, labels: Partition, do: str) -> None:
    """A shard's features and labels must be chosen by the same hash, or labels would be missed."""
    samples = [shard.json(COUNTS_FILE).get("hash_sample") for shard in (features, labels)]
    if samples[0] != samples[1]:
        older = f"an older image has made {features.name}, which does not say how"
        found = older if samples[0] is None else f"{labels.name} has the labels of other rows than {features.name}"
        raise BadInput(
            f"{found}: their images may put rows into other shards",
            expected="features and labels in shards by images of one version",
            do=f"{do} with the same shards, or evaluate the day without shards",
        )


def _check_scored_from(predictions: Partition, features: Partition, model: Partition, do: str) -> None:
    inputs = predictions.inputs("predictions.csv")
    present = {**features.hashes, **model.hashes}
    for path in (f"{features.name}/features.csv", f"{model.name}/{MODEL_FILE}", f"{model.name}/{METRICS_FILE}"):
        if inputs.get(path) != present[path]:
            raise BadInput(
                f"{predictions.name} was made with another {path}", expected="the file that is there now", do=do
            )


def _read_raw(root: Path, ds: str, features: Partition, do: str) -> Partition | None:
    """The mark of the raw day; None if there is no such day, or no longer."""
    try:
        raw = read_partition(root, f"raw/{ds}", [])
    except NotReady as error:
        log.warning("%s", error)
        return None
    data = f"{raw.name}/data.csv"
    made_from = features.inputs("features.csv").get(data)
    if made_from is not None and made_from != raw.meta["outputs"].get("data.csv", {}).get("sha256"):
        raise BadInput(f"{features.name} was made from another {data}", expected="the data that is there now", do=do)
    return raw


def _read_labels(root: Path, ds: str, raw: Partition | None, model: Partition, shard: Shard | None) -> Partition | None:
    """The day's labels; None if there are none yet.

    Errors: NotReady if `label` has not made them from the labels of the raw day with this model's encoder. If the raw
    day is gone, as in a rerun of this step alone, the labels that were made from it count.
    """
    if raw is None:
        return _read_labels_alone(root, ds, model, shard)
    if "target.csv" not in raw.meta["outputs"]:
        return None
    target, encoder = f"{raw.name}/target.csv", f"{model.name}/{ENCODER_FILE}"
    do = f"run `preprocessing label --ds {ds}{f' --shards {shard.of} --shard {shard.number}' if shard else ''}`"
    try:
        labels = read_partition(root, *_labels_of(ds, shard))
    except NotReady as error:
        raise NotReady(
            f"{target} is there, its labels are not: {error.found}", expected=error.expected, do=do
        ) from None
    inputs = labels.inputs("labels.csv")
    # Those of a past time lack what was delivered later.
    of_past = ((labels.step("labels.csv").get("call") or {}).get("arguments") or {}).get("as_of")
    delivered = {
        f"{raw.name}/{file}": output["sha256"]
        for file, output in raw.meta["outputs"].items()
        if DELIVERY.fullmatch(file) and (not of_past or f"{raw.name}/{file}" in inputs)
    }
    present = {**delivered, encoder: model.hashes[encoder]}
    for path, digest in present.items():
        if inputs.get(path) != digest:
            raise NotReady(f"{labels.name} was made from another {path}", expected="the file that is there now", do=do)
    return labels


def _labels_of(ds: str, shard: Shard | None) -> tuple[str, Sequence[str]]:
    """The partition of the labels, and the files of it that are read."""
    name = f"labels/{ds}"
    return (shard.place(name), LABELS_OF_SHARD) if shard else (name, ["labels.csv", "rejected.csv"])


def _read_labels_alone(root: Path, ds: str, model: Partition, shard: Shard | None) -> Partition | None:
    """Labels whose raw day is gone; None if there are none, or if they are in the words of another model."""
    try:
        labels = read_partition(root, *_labels_of(ds, shard))
    except NotReady as error:
        log.warning("%s", error)
        return None
    encoder = f"{model.name}/{ENCODER_FILE}"
    if labels.inputs("labels.csv").get(encoder) != model.hashes[encoder]:
        log.warning("%s was made with another encoder than that of %s, so it is not used", labels.name, model.name)
        return None
    return labels
