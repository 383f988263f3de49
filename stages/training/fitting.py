"""Loads a day's encoded tables into LightGBM and fits a model to them."""

import logging
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
from stagekit import Partition, StageError
from stagekit.contract import CATEGORY, Encoder

from lightgbm_tables import READING, check_classes, copy_table

log = logging.getLogger("training")


@dataclass(frozen=True)
class Tables:
    """The rows to train on and the rows to validate on, as LightGBM has them."""

    train: lightgbm.Dataset
    val: lightgbm.Dataset

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each has."""
        return {"train": self.train.num_data(), "val": self.val.num_data()}


@dataclass(frozen=True)
class Fit:
    """A trained model: its text, cut at the best iteration, and each metric's value per iteration on val.csv."""

    model: str
    parameters: Mapping[str, Any]
    best_iteration: int
    curve: Mapping[str, Sequence[float]]

    @property
    def validation(self) -> dict[str, float]:
        """Each metric at the best iteration."""
        return {metric: values[self.best_iteration - 1] for metric, values in self.curve.items()}


def load_both(processed: Partition, scratch: Path, encoder: Encoder, parameters: Mapping[str, Any]) -> Tables:
    """Load train.csv and val.csv by way of copies in the folder `scratch`, which is gone afterwards.

    Errors: BadInput where a table is not what the encoder describes.
    """
    train = _load(processed, "train.csv", scratch, encoder, parameters)
    val = _load(processed, "val.csv", scratch, encoder, parameters, train)
    shutil.rmtree(scratch)
    return Tables(train, val)


def _load(
    processed: Partition,
    file: str,
    scratch: Path,
    encoder: Encoder,
    parameters: Mapping[str, Any],
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """Check a table and have LightGBM read it; `reference` is given for the rows that validate."""
    label = f"{processed.name}/{file}"
    columns = (encoder.target, *([encoder.weight] if encoder.weight else []), *encoder.feature_names)
    weighted = encoder.weight is not None
    weights = copy_table(processed / file, scratch / file, columns, label, weighted=weighted)
    categories = [position for position, feature in enumerate(encoder.features) if feature.kind == CATEGORY]
    dataset = lightgbm.Dataset(
        str(scratch / file),
        reference=reference,
        weight=weights,
        params={**parameters, **READING},
        categorical_feature=categories,
    )
    try:
        dataset.construct()
    except lightgbm.basic.LightGBMError as error:
        raise StageError(f"LightGBM cannot read {label}: {error}") from None
    check_classes(dataset.get_label(), encoder.classes, label)
    log.info("read %s: %d rows, %d features", label, dataset.num_data(), len(encoder.features))
    return dataset


def fit(tables: Tables, parameters: Mapping[str, Any], each: Callable[[int, Mapping[str, float]], None]) -> Fit:
    """Train until the first metric on the rows that validate has not improved for `early_stopping_round` iterations.

    `each` is called after each iteration with its number, from 1 on, and the metrics.
    Errors: StageError where LightGBM cannot train.
    """
    curve: dict[str, list[float]] = {}
    native, callbacks = {**parameters, **READING}, [_watch(curve, each)]
    try:
        booster = lightgbm.train(native, tables.train, valid_sets=[tables.val], callbacks=callbacks)
    except lightgbm.basic.LightGBMError as error:
        raise StageError(f"LightGBM cannot train: {error}", do="look at the parameters and at the features") from None
    best = booster.best_iteration or booster.current_iteration()
    # The one line of the text that depends on the machine.
    text = re.sub(r"(?m)^\[num_threads: .*\]$", "[num_threads: 0]", booster.model_to_string(num_iteration=best))
    return Fit(text, parameters, best, curve)


def _watch(
    curve: dict[str, list[float]], each: Callable[[int, Mapping[str, float]], None]
) -> Callable[[lightgbm.callback.CallbackEnv], None]:
    """A callback that keeps each metric's values and hands them on."""

    def watch(env: lightgbm.callback.CallbackEnv) -> None:
        # Threads add up in any order, which moves the last digits.
        values = {result.metric_name: round(result.metric_value, 12) for result in env.evaluation_result_list or []}
        for metric, value in values.items():
            curve.setdefault(metric, []).append(value)
        each(env.iteration + 1, values)

    return watch


def shown(values: Mapping[str, float]) -> str:
    """Metrics as a log line has them."""
    return ", ".join(f"{metric} {value:.6f}" for metric, value in values.items())


class NativeLog:
    """Takes LightGBM's messages: logs each warning once, because some come with every tree; the rest with --verbose."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def info(self, message: str) -> None:
        log.debug("%s", message)

    def warning(self, message: str) -> None:
        if message not in self._seen:
            self._seen.add(message)
            log.warning("%s", message)
