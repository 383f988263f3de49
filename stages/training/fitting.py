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

from lightgbm_tables import READING, check_codes, copy_table, require_two_classes
from ranks import ONE, Ranks

log = logging.getLogger("training")


@dataclass(frozen=True)
class Tables:
    """The rows to train on and the rows to validate on, as LightGBM has them, and how many train on all ranks.

    A rank other than 0 has its own rows to train on alone.
    """

    train: lightgbm.Dataset
    val: lightgbm.Dataset | None
    train_rows: int

    @property
    def rows(self) -> dict[str, int]:
        """How many rows train, and how many validate."""
        return {"train": self.train_rows, "val": self.val.num_data() if self.val else 0}


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


def load_tables(
    processed: Partition, scratch: Path, encoder: Encoder, parameters: Mapping[str, Any], ranks: Ranks
) -> Tables:
    """Load this rank's rows of train.csv, and on rank 0 val.csv, by way of copies in the folder `scratch`.

    The folder is gone afterwards. Errors: BadInput where a table is not what the encoder describes.
    """
    train, present = _load(processed, "train.csv", scratch, encoder, parameters, ranks)
    rows, val = train.num_data(), None
    if ranks.number:
        ranks.send(rows=rows, classes=sorted(present))
    else:
        others = ranks.gather()
        rows += sum(other["rows"] for other in others)
        present.update(*(other["classes"] for other in others))
        require_two_classes(present, rows, encoder.classes, f"{processed.name}/train.csv")
        val, present = _load(processed, "val.csv", scratch, encoder, parameters, ranks, train)
        require_two_classes(present, val.num_data(), encoder.classes, f"{processed.name}/val.csv")
    shutil.rmtree(scratch)
    return Tables(train, val, rows)


def _load(
    processed: Partition,
    file: str,
    scratch: Path,
    encoder: Encoder,
    parameters: Mapping[str, Any],
    ranks: Ranks,
    reference: lightgbm.Dataset | None = None,
) -> tuple[lightgbm.Dataset, set[int]]:
    """Check a table and have LightGBM read it; returns also the codes of the classes that occur.

    `reference` is given for the rows that validate, which are not divided among the ranks.
    """
    turn = (ranks.number, ranks.of) if reference is None else (0, 1)
    label = f"{processed.name}/{file}"
    columns = (encoder.target, *([encoder.weight] if encoder.weight else []), *encoder.feature_names)
    weighted = encoder.weight is not None
    weights = copy_table(processed / file, scratch / file, columns, label, weighted=weighted, turn=turn)
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
        ranks.settle()
        raise StageError(f"LightGBM cannot read {label}: {error}") from None
    present = check_codes(dataset.get_label(), encoder.classes, label, turn)
    log.info("read %s: %d rows, %d features", label, dataset.num_data(), len(encoder.features))
    return dataset, present


def fit(
    tables: Tables,
    parameters: Mapping[str, Any],
    each: Callable[[int, Mapping[str, float]], None],
    ranks: Ranks = ONE,
) -> Fit:
    """Train until the first metric on the rows that validate has not improved for `early_stopping_round` iterations.

    `each` is called after each iteration with its number, from 1 on, and the metrics.
    Errors: StageError where LightGBM cannot train.
    """
    curve: dict[str, list[float]] = {}
    native, callbacks = {**parameters, **READING}, [_watch(curve, each)]
    if ranks.of > 1:
        callbacks.append(ranks.stopper())
    if tables.val is None:
        native["early_stopping_round"] = 0
    try:
        validating = [tables.val] if tables.val else []
        booster = lightgbm.train(native, tables.train, valid_sets=validating, callbacks=callbacks)
    except lightgbm.basic.LightGBMError as error:
        ranks.settle()
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
