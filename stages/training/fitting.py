"""From a day's encoded tables to a model: load, fit, write."""

import csv
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from stagekit import BadInput, Partition, Publication, StageError, available_cpus

from lightgbm_parameters import complete, try_out
from lightgbm_tables import READING, check_classes, copy_table, read_rows

REFERENCE_ROWS = 1000
TOP_FEATURES = 5

log = logging.getLogger("training")


@dataclass(frozen=True)
class Encoder:
    """What encoder.json says of the columns: target and features by name, which of them are categories."""

    target: str
    classes: tuple[str, ...]
    features: tuple[str, ...]
    categories: tuple[int, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The header of train.csv and val.csv."""
        return (self.target, *self.features)


@dataclass(frozen=True)
class Fit:
    """A trained model: its text, cut at the best iteration, and each metric's value per iteration on val.csv."""

    model: str
    best_iteration: int
    curve: Mapping[str, Sequence[float]]

    @property
    def validation(self) -> dict[str, float]:
        """Each metric at the best iteration."""
        return {metric: values[self.best_iteration - 1] for metric, values in self.curve.items()}


def read_encoder(path: Path, label: str) -> Encoder:
    """Read encoder.json. Errors: BadInput where it is not what `preprocessing split` writes."""
    try:
        encoder = json.loads(path.read_text(encoding="utf-8"))
        if encoder["version"] != 1:
            raise ValueError(f"version {encoder['version']}")
        features, classes = encoder["features"], tuple(encoder["target"]["classes"])
        categories = tuple(i for i, feature in enumerate(features) if feature["kind"] == "category")
        known = Encoder(encoder["target"]["name"], classes, tuple(f["name"] for f in features), categories)
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{label} is not understood ({type(error).__name__}: {error})",
            expected="an encoder of version 1",
            do="run `preprocessing split` for this day with the image that belongs to this one",
        ) from None
    if len(known.classes) < 2 or not known.features:
        raise BadInput(
            f"{label} has {len(known.classes)} classes and {len(known.features)} features",
            expected="two classes and one feature, or more",
            do="look at the roles in schema.json and at the target's values",
        )
    return known


def load(
    processed: Partition,
    file: str,
    scratch: Path,
    encoder: Encoder,
    parameters: Mapping[str, Any],
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """Check a table and have LightGBM read it, as the validation side of `reference` if that is given."""
    source, label = processed / file, f"{processed.name}/{file}"
    rows = copy_table(source, scratch / file, encoder.columns, label)
    dataset = lightgbm.Dataset(
        str(scratch / file),
        reference=reference,
        params={**parameters, **READING},
        categorical_feature=list(encoder.categories),
    )
    try:
        dataset.construct()
    except lightgbm.basic.LightGBMError as error:
        raise StageError(f"LightGBM cannot read {label}: {error}") from None
    check_classes(dataset.get_label(), encoder.classes, label)
    log.info("read %s: %d rows, %d features", label, rows, len(encoder.features))
    return dataset


def load_both(
    processed: Partition, scratch: Path, encoder: Encoder, parameters: Mapping[str, Any]
) -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
    """Load train.csv and val.csv by way of copies in the folder `scratch`, which is gone afterwards."""
    scratch.mkdir()
    train = load(processed, "train.csv", scratch, encoder, parameters)
    val = load(processed, "val.csv", scratch, encoder, parameters, train)
    shutil.rmtree(scratch)
    return train, val


def fit(train: lightgbm.Dataset, val: lightgbm.Dataset, parameters: Mapping[str, Any], log_every: int) -> Fit:
    """Train until the first metric on `val` has not improved for `early_stopping_round` iterations."""
    curve: dict[str, list[float]] = {}
    native, watch = {**parameters, **READING}, _watch(curve, log_every)
    try:
        booster = lightgbm.train(native, train, valid_sets=[val], callbacks=[watch])
    except lightgbm.basic.LightGBMError as error:
        raise StageError(f"LightGBM cannot train: {error}", do="look at the parameters and at the features") from None
    best = booster.best_iteration or booster.current_iteration()
    # The one line of the text that depends on the machine.
    text = re.sub(r"(?m)^\[num_threads: .*\]$", "[num_threads: 0]", booster.model_to_string(num_iteration=best))
    return Fit(text, best, curve)


def importance_rows(model: lightgbm.Booster, features: Sequence[str]) -> list[tuple[str, float, int]]:
    """Feature, total gain of its splits, number of its splits; by falling gain, then in the features' order."""
    gains = model.feature_importance("gain").tolist()
    splits = model.feature_importance("split").tolist()
    return sorted(zip(features, gains, splits, strict=True), key=lambda row: -row[1])


def probabilities(model: lightgbm.Booster, values: Any, threads: int) -> Any:
    """LightGBM's own probability per row and class."""
    scores = model.predict(values, num_threads=threads)
    return np.column_stack([1.0 - scores, scores]) if scores.ndim == 1 else scores


def train_day(
    processed: Partition, publication: Publication, given: Mapping[str, Any], log_every: int
) -> dict[str, Any]:
    """Train on a day's encoded data with the `given` parameters, write the outputs; returns what the result line says.

    Reads train.csv, val.csv and encoder.json of `processed`; settles the parameters of `publication`.
    """
    encoder = read_encoder(processed / "encoder.json", f"{processed.name}/encoder.json")
    parameters = complete(given, len(encoder.classes), available_cpus())
    try_out(parameters, len(encoder.features), len(encoder.classes))
    lightgbm.register_logger(_NativeLog())
    publication.settle(parameters, seed=parameters["seed"])
    train, val = load_both(processed, publication.path("scratch"), encoder, parameters)
    rows = {"train": train.num_data(), "val": val.num_data()}
    threads, changed = parameters["num_threads"], json.dumps(given) if given else "the defaults"
    log.info("training, objective %s, %d threads, parameters: %s", parameters["objective"], threads, changed)
    fitted = fit(train, val, parameters, log_every)
    log.info("best iteration %d: %s", fitted.best_iteration, _shown(fitted.validation))
    top = _write(publication, processed, encoder, fitted, parameters, rows)
    return {
        "model": publication.name,
        "rows": rows,
        "features": len(encoder.features),
        "classes": list(encoder.classes),
        "best_iteration": fitted.best_iteration,
        "validation": fitted.validation,
        "top_features": top,
    }


def _write(
    publication: Publication,
    processed: Partition,
    encoder: Encoder,
    fitted: Fit,
    parameters: Mapping[str, Any],
    rows: Mapping[str, int],
) -> list[str]:
    """Write the outputs; returns the names of the most important features."""
    publication.path("model.txt").write_text(fitted.model, encoding="utf-8", newline="\n")
    shutil.copyfile(processed / "encoder.json", publication.path("encoder.json"))
    record = {
        "parameters": {name: value for name, value in sorted(parameters.items()) if name != "num_threads"},
        "seed": parameters["seed"],
        "rows": dict(rows),
        "best_iteration": fitted.best_iteration,
        "validation": fitted.validation,
        "curve": fitted.curve,
    }
    publication.path("params.json").write_text(
        json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    # Read back from the text, so that all that is said here is said of the model that others load.
    model = lightgbm.Booster(model_str=fitted.model)
    importance = importance_rows(model, encoder.features)
    _write_csv(publication, "feature_importance.csv", ["feature", "gain", "split"], importance)
    values = read_rows(processed / "val.csv", REFERENCE_ROWS)
    scores = enumerate(probabilities(model, values, parameters["num_threads"]).tolist())
    header = ["row", *(f"probability_{name}" for name in encoder.classes)]
    _write_csv(publication, "reference_scores.csv", header, ((row, *line) for row, line in scores))
    return [feature for feature, gain, _ in importance[:TOP_FEATURES] if gain > 0]


def _write_csv(publication: Publication, file: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file; a float becomes the shortest text that reads back as the same double."""
    rows = list(rows)
    with publication.path(file).open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    publication.rows[file] = len(rows)


def _watch(curve: dict[str, list[float]], every: int) -> Callable[[lightgbm.callback.CallbackEnv], None]:
    """A callback that keeps each metric's values and logs a line every so many iterations."""

    def watch(env: lightgbm.callback.CallbackEnv) -> None:
        # Threads add up in any order, which moves the last digits.
        values = {result.metric_name: round(result.metric_value, 12) for result in env.evaluation_result_list or []}
        for metric, value in values.items():
            curve.setdefault(metric, []).append(value)
        if (env.iteration + 1) % every == 0:
            log.info("iteration %d of at most %d: %s", env.iteration + 1, env.end_iteration, _shown(values))

    return watch


def _shown(values: Mapping[str, float]) -> str:
    return ", ".join(f"{metric} {value:.6f}" for metric, value in values.items())


class _NativeLog:
    """Takes LightGBM's messages: warnings once each, for some would come with every tree; the rest with --verbose."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def info(self, message: str) -> None:
        log.debug("%s", message)

    def warning(self, message: str) -> None:
        if message not in self._seen:
            self._seen.add(message)
            log.warning("%s", message)
