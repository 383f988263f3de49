"""Scores rows with a model: the validation rows, or a day's features, chunk by chunk."""

import csv
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stagekit import BadInput, Partition, Publication

from bundle import ENCODER_FILE, MODEL_FILE, Encoder
from feature_table import FeatureTable
from lightgbm_model import LightGBMModel, read_model
from metrics import predict_codes

HISTOGRAM_BINS = 100_000
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
PROGRESS_CHUNKS = 16
NOT_NATIVE = re.compile(r"[\s\x00-\x1f\",:\[\]{}]")  # what LightGBM takes in no feature name

log = logging.getLogger("prediction")


def predict_day(
    model: Partition, encoder: Encoder, threshold: float | None, features: Partition, publication: Publication
) -> dict[str, Any]:
    """Write `predictions.csv`; returns what the result line says."""
    trees = load_trees(model, encoder)
    table = open_table(features, "features.csv", "`preprocessing prepare --model`", encoder.key, encoder.features)
    summary = ScoreSummary(encoder)
    scored = _score_chunks(table, trees, threshold)
    publication.rows["predictions.csv"] = _write_predictions(
        publication.path("predictions.csv"), encoder, summary.watch(scored)
    )
    return {"threshold": threshold, **summary.result()}


def load_trees(model: Partition, encoder: Encoder) -> LightGBMModel:
    """The trees of a model, which must speak of the features and classes of its encoder."""
    trees = read_model(model / MODEL_FILE, f"{model.name}/{MODEL_FILE}")
    found, expected = (len(trees.feature_names), trees.classes), (len(encoder.features), len(encoder.classes))
    differing = [
        f"; feature {number} is {there}, not {name}"
        for number, (there, name) in enumerate(zip(trees.feature_names, encoder.features, strict=False))
        if not _is_native_name(there, name)
    ]
    if found != expected or differing:
        raise BadInput(
            f"{model.name}/{MODEL_FILE} has {found[0]} features and {found[1]} classes{''.join(differing[:1])}",
            expected=f"the {expected[0]} features and {expected[1]} classes of its {ENCODER_FILE}",
            do="train the model again; its files belong together",
        )
    return trees


def _is_native_name(native: str, name: str) -> bool:
    """Whether LightGBM knows the feature `name` as `native`: some characters become `_`, a second one ends in `_`."""
    plain = NOT_NATIVE.sub("_", name)
    return native.startswith(plain) and not native[len(plain) :].strip("_")


def open_table(
    partition: Partition, file: str, made_by: str, texts: Iterable[str], numbers: Iterable[str]
) -> FeatureTable:
    """A verified table of a partition, whose header must be these columns."""
    return FeatureTable(
        partition / file, f"{partition.name}/{file}", texts=tuple(texts), numbers=tuple(numbers), made_by=made_by
    )


@dataclass(frozen=True)
class ValidationRows:
    """Class codes (rows,) and encoded features (rows, features) of `val.csv`; 8 bytes a value are in memory."""

    codes: np.ndarray
    features: np.ndarray


def read_validation(rows: Partition, target: str, classes: tuple[str, ...], features: Iterable[str]) -> ValidationRows:
    """The rows of a `val.csv`: the target's code, which must be one of `classes`, then the features."""
    table = open_table(rows, "val.csv", "`preprocessing split`", [], [target, *features])
    numbers = np.concatenate([chunk.numbers for chunk in table.chunks()])
    code = numbers[:, 0]
    odd = ~np.isin(code, np.arange(len(classes)))
    if odd.any():
        row = int(np.argmax(odd))
        raise table.bad(f"row {row + 1}: the class code is {code[row]:g}", f"0 to {len(classes) - 1}")
    absent = [name for number, name in enumerate(classes) if not (code == number).any()]
    if absent:
        raise table.bad(
            f"no row of class {', '.join(absent)} among {len(code)} rows",
            "rows of every class, or nothing can be measured",
        )
    return ValidationRows(code.astype(np.intp), numbers[:, 1:])


@dataclass(frozen=True)
class Scored:
    """Scored rows: key columns, predicted class codes (rows,), probabilities (rows, classes)."""

    keys: list[list[str]]
    predicted: np.ndarray
    probabilities: np.ndarray


def _score_chunks(table: FeatureTable, trees: LightGBMModel, threshold: float | None) -> Iterator[Scored]:
    for number, chunk in enumerate(table.chunks(), start=1):
        probabilities = trees.probabilities(chunk.numbers)
        yield Scored(chunk.texts, predict_codes(probabilities, threshold), probabilities)
        if number % PROGRESS_CHUNKS == 0:
            log.info("scored %d rows", chunk.start + len(chunk.numbers))


def _write_predictions(path: Path, encoder: Encoder, scored: Iterable[Scored]) -> int:
    """Write key, prediction and probabilities, each double as its shortest exact text; returns the rows."""
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*encoder.key, "prediction", *encoder.probability_columns])
        for part in scored:
            names = [encoder.classes[code] for code in part.predicted.tolist()]
            writer.writerows(zip(*part.keys, names, *part.probabilities.T.tolist(), strict=True))
            rows += len(names)
    return rows


class ScoreSummary:
    """What a person wants to know of a day's scores, gathered in bounded memory while they pass by.

    The score is the second class's probability, or with more classes the predicted class's. Quantiles are exact
    to 0.00001: they come from a histogram.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._classes = encoder.classes
        self._counts = np.zeros(len(encoder.classes), dtype=np.int64)
        self._sums = np.zeros(len(encoder.classes))
        self._histogram = np.zeros(HISTOGRAM_BINS + 1, dtype=np.int64)

    def watch(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        """Pass the parts on, adding each to the summary."""
        for part in scored:
            self._counts += np.bincount(part.predicted, minlength=len(self._classes))
            self._sums += part.probabilities.sum(axis=0)
            scores = part.probabilities[:, 1] if len(self._classes) == 2 else part.probabilities.max(axis=1)
            bins = np.rint(scores * HISTOGRAM_BINS).astype(np.int64)
            self._histogram += np.bincount(bins, minlength=HISTOGRAM_BINS + 1)
            yield part

    def result(self) -> dict[str, Any]:
        """rows, predicted, mean_probability (by class) and score_quantiles, for the result line."""
        rows = int(self._counts.sum())
        below = np.cumsum(self._histogram)
        quantiles = {f"{q:g}": int(np.searchsorted(below, q * rows)) / HISTOGRAM_BINS for q in QUANTILES}
        means = [round(total / rows, 6) for total in self._sums.tolist()]
        return {
            "rows": rows,
            "predicted": dict(zip(self._classes, self._counts.tolist(), strict=True)),
            "mean_probability": dict(zip(self._classes, means, strict=True)),
            "score_quantiles": quantiles,
        }
