"""Scores rows with a model: the validation rows, or a day's features, chunk by chunk."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stagekit import BadInput, Partition, Publication
from stagekit.contract import Encoder
from stagekit.model_text import read_model_text
from stagekit.shards import LINES_FILE, merge_tables

from decision import threshold_of_capacity
from feature_table import Chunk, FeatureTable
from lightgbm_model import LightGBMModel, read_model
from metrics import predict_codes
from model_partition import COUNTS_FILE, ENCODER_FILE, MODEL_FILE, ValidatedModel

HISTOGRAM_STEPS = 100_000
# Probabilities are added up as whole numbers of so small steps, so the order of the rows does not matter.
STEPS_OF_SUM = 1 << 40
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
NOT_NATIVE = re.compile(r"[\s\x00-\x1f\",:\[\]{}]")  # characters that LightGBM replaces in feature names

# Features without a value that have a warning of their own.
MOST_NAMED = 10


def predict_day(model: ValidatedModel, features: Partition, publication: Publication) -> dict[str, Any]:
    """Write `predictions.csv`; returns threshold, counts and quantiles for the result."""
    trees = load_trees(model.partition, model.encoder)
    threshold = _threshold_of_day(model, trees, features)
    summary, missing = _score(model, trees, threshold, open_features(features, model.encoder), publication)
    return _result(threshold, summary, missing)


def predict_shard(model: ValidatedModel, features: Partition, publication: Publication) -> dict[str, Any]:
    """As `predict_day`, for a shard of the day, which may have no rows: `counts.json` passes its counts on."""
    trees = load_trees(model.partition, model.encoder)
    chunks = open_features(features, model.encoder, may_be_empty=True)
    summary, missing = _score(model, trees, model.threshold, chunks, publication)
    counts = {"scores": summary.passed_on(), "missing": missing.passed_on()}
    publication.path(COUNTS_FILE).write_text(json.dumps(counts) + "\n", encoding="utf-8")
    return {"threshold": model.threshold, "rows": summary.rows}


def merge_shards(
    model: ValidatedModel, shards: Iterable[tuple[Partition, Partition]], publication: Publication
) -> dict[str, Any]:
    """Write `predictions.csv` of a day from its shards, each features and predictions; returns as `predict_day`."""
    summary, missing = ScoreSummary(model.encoder.classes), MissingAsZero(model)
    tables = []
    for features, predictions in shards:
        tables.append((predictions / "predictions.csv", features / LINES_FILE))
        counts = predictions.json(COUNTS_FILE)
        summary.take(counts["scores"])
        missing.take(counts["missing"])
    publication.rows["predictions.csv"] = merge_tables(tables, publication.path("predictions.csv"))
    return _result(model.threshold, summary, missing)


def _score(
    model: ValidatedModel,
    trees: LightGBMModel,
    threshold: float | None,
    chunks: Iterable[Chunk],
    publication: Publication,
) -> tuple["ScoreSummary", "MissingAsZero"]:
    summary, missing = ScoreSummary(model.encoder.classes), MissingAsZero(model)
    scored = summary.count(_score_chunks(chunks, trees, threshold, missing))
    rows = _write_predictions(publication.path("predictions.csv"), model.encoder, scored)
    publication.rows["predictions.csv"] = rows
    return summary, missing


def _result(threshold: float | None, summary: "ScoreSummary", missing: "MissingAsZero") -> dict[str, Any]:
    return {"threshold": threshold, **summary.result(), **missing.warnings(summary.rows)}


def _threshold_of_day(model: ValidatedModel, trees: LightGBMModel, features: Partition) -> float | None:
    """The model's threshold; with a capacity, the one of the day's best rows, for which all rows are scored before.

    With costs too, the higher one: a row that is not worth its cost does not become positive to fill the capacity.
    """
    capacity = model.decision.get("capacity")
    if model.threshold is None or not capacity:
        return model.threshold
    best = np.empty(0)
    for chunk in open_features(features, model.encoder):
        # One more than the capacity: whether rows with equal scores fit is known by the next one.
        scores = np.concatenate([best, trees.probabilities(chunk.numbers)[:, 1]])
        best = np.partition(scores, -capacity - 1)[-capacity - 1 :] if len(scores) > capacity else scores
    of_day = threshold_of_capacity(capacity, best)
    return max(model.threshold, of_day) if model.decision.get("costs") else of_day


class MissingAsZero:
    """Counts the missing values that the model reads as 0.0, because no training row lacked the feature."""

    def __init__(self, model: ValidatedModel) -> None:
        self._names = model.encoder.feature_names
        text = read_model_text(model.partition / MODEL_FILE, _trees_of(model.partition))
        self._features = sorted(text.missing_as_zero)
        self._counts = np.zeros(len(self._features), dtype=np.int64)

    def add(self, features: np.ndarray) -> None:
        """Count more rows, float64 of shape (rows, features)."""
        self._counts += np.isnan(features[:, self._features]).sum(axis=0)

    def passed_on(self) -> list[int]:
        """What `take` adds to the counts of another shard."""
        return list(map(int, self._counts))

    def take(self, counts: Sequence[int]) -> None:
        """Add the counts of a shard."""
        self._counts += np.array(counts, dtype=np.int64)

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows by feature, the most frequent first; features that no row lacks are left out."""
        found = zip((self._names[number] for number in self._features), self._counts.tolist(), strict=True)
        return dict(sorted(((name, rows) for name, rows in found if rows), key=lambda one: -one[1]))

    def warnings(self, rows: int) -> dict[str, list[str]]:
        """A sentence for each feature, as a result line has them; nothing if there are none."""
        sentences = [
            f"{name} is missing in {missing} of {rows} rows; it never was in training, so the model reads 0 there"
            for name, missing in list(self.rows.items())[:MOST_NAMED]
        ]
        if len(self.rows) > MOST_NAMED:
            sentences.append(f"so are {len(self.rows) - MOST_NAMED} more features, in fewer rows")
        return {"warnings": sentences} if sentences else {}


def load_trees(model: Partition, encoder: Encoder) -> LightGBMModel:
    """The trees of a model, which must have the features and classes of its encoder."""
    trees = read_model(model / MODEL_FILE, _trees_of(model))
    found, expected = (len(trees.feature_names), trees.classes), (len(encoder.feature_names), len(encoder.classes))
    differing = [
        f"; feature {number} is {native}, not {name}"
        for number, (native, name) in enumerate(zip(trees.feature_names, encoder.feature_names, strict=False))
        if not _is_native_name(native, name)
    ]
    if found != expected or differing:
        raise BadInput(
            f"{_trees_of(model)} has {found[0]} features and {found[1]} classes{''.join(differing[:1])}",
            expected=f"the {expected[0]} features and {expected[1]} classes of its {ENCODER_FILE}",
            do="train the model again; its files belong together",
        )
    return trees


def _trees_of(model: Partition) -> str:
    """The file of a model's trees, in messages."""
    return f"{model.name}/{MODEL_FILE}"


def _is_native_name(native: str, name: str) -> bool:
    """Whether LightGBM has the feature `name` as `native`: some characters become `_`, a repeated name ends in `_`."""
    plain = NOT_NATIVE.sub("_", name)
    return native.startswith(plain) and not native[len(plain) :].strip("_")


def open_table(
    partition: Partition,
    file: str,
    made_by: str,
    texts: Iterable[str],
    numbers: Iterable[str],
    *,
    may_be_empty: bool = False,
) -> FeatureTable:
    """A verified table of a partition, whose header must be these columns."""
    return FeatureTable(
        partition / file,
        f"{partition.name}/{file}",
        texts=tuple(texts),
        numbers=tuple(numbers),
        made_by=made_by,
        total=partition.rows(file),
        may_be_empty=may_be_empty,
    )


def open_features(features: Partition, encoder: Encoder, *, may_be_empty: bool = False) -> Iterator[Chunk]:
    """The rows of a day's features: the key columns, the features, and the weights if the model has any."""
    numbers = [*weight_column(encoder), *encoder.feature_names]
    made_by = "`preprocessing features`"
    table = open_table(features, "features.csv", made_by, encoder.key, numbers, may_be_empty=may_be_empty)
    return (_without_weight(chunk) if encoder.weight else chunk for chunk in table.chunks())


def predicted_codes(predictions: FeatureTable, chunk: Chunk, classes: Sequence[str]) -> np.ndarray:
    """The codes of the predicted classes, which are the last column of texts. Errors: BadInput for another class."""
    of_name, names = {name: code for code, name in enumerate(classes)}, chunk.texts[-1]
    try:
        return np.array([of_name[name] for name in names], dtype=np.intp)
    except KeyError as error:
        row = chunk.start + names.index(error.args[0]) + 1
        raise predictions.bad(f"row {row}: the prediction is {error}", f"one of {', '.join(classes)}") from None


def weight_column(encoder: Encoder) -> list[str]:
    """The name of the column of weights, or none."""
    return [encoder.weight] if encoder.weight else []


def _without_weight(chunk: Chunk) -> Chunk:
    return Chunk(chunk.start, chunk.texts, chunk.numbers[:, 1:], chunk.numbers[:, 0])


@dataclass(frozen=True)
class ValidationRows:
    """Class codes (rows,), encoded features (rows, features) and weights (rows,), None if there are none, of `val.csv`.

    8 bytes a value are in memory.
    """

    codes: np.ndarray
    features: np.ndarray
    weights: np.ndarray | None


def read_validation(
    rows: Partition, target: str, classes: Sequence[str], weight: Sequence[str], features: Iterable[str]
) -> ValidationRows:
    """The rows of a `val.csv`: the target's code, one of `classes`, the column `weight` or none, then the features."""
    table = open_table(rows, "val.csv", "`preprocessing split`", [], [target, *weight, *features])
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
            "rows of every class, which the figures need",
        )
    weights = numbers[:, 1] if weight else None
    if weights is not None and not (weights > 0).all():
        row = int(np.argmin(weights > 0))
        raise table.bad(f"row {row + 1}: the weight is {weights[row]:g}", "a number above 0")
    return ValidationRows(code.astype(np.intp), numbers[:, 1 + len(weight) :], weights)


@dataclass(frozen=True)
class Scored:
    """Scored rows: key columns, predicted class codes (rows,), probabilities (rows, classes)."""

    keys: list[list[str]]
    predicted: np.ndarray
    probabilities: np.ndarray


def _score_chunks(
    chunks: Iterable[Chunk], trees: LightGBMModel, threshold: float | None, missing: MissingAsZero
) -> Iterator[Scored]:
    for chunk in chunks:
        missing.add(chunk.numbers)
        probabilities = trees.probabilities(chunk.numbers)
        yield Scored(chunk.texts, predict_codes(probabilities, threshold), probabilities)


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
    """Counts, means and quantiles of a day's scores, gathered in bounded memory while the rows are written.

    The score is the second class's probability, or with more classes the predicted class's. Quantiles come from a
    histogram: they are exact to 0.00001.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._counts = np.zeros(len(classes), dtype=np.int64)
        self._sums = [0] * len(classes)
        self._histogram = np.zeros(HISTOGRAM_STEPS + 1, dtype=np.int64)

    def count(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        """Add each part to the summary, and pass it on."""
        for part in scored:
            self._counts += np.bincount(part.predicted, minlength=len(self._classes))
            sums = np.rint(part.probabilities * STEPS_OF_SUM).astype(np.int64).sum(axis=0).tolist()
            self._sums = [total + of_part for total, of_part in zip(self._sums, sums, strict=True)]
            scores = part.probabilities[:, 1] if len(self._classes) == 2 else part.probabilities.max(axis=1)
            steps = np.rint(scores * HISTOGRAM_STEPS).astype(np.int64)
            self._histogram += np.bincount(steps, minlength=HISTOGRAM_STEPS + 1)
            yield part

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self._counts.sum())

    def passed_on(self) -> dict[str, list[int]]:
        """What `take` adds to the summary of another shard."""
        return {"counts": self._counts.tolist(), "sums": self._sums, "histogram": self._histogram.tolist()}

    def take(self, summary: Mapping[str, Sequence[int]]) -> None:
        """Add the summary of a shard."""
        self._counts += np.array(summary["counts"], dtype=np.int64)
        self._sums = [total + of_shard for total, of_shard in zip(self._sums, summary["sums"], strict=True)]
        self._histogram += np.array(summary["histogram"], dtype=np.int64)

    def result(self) -> dict[str, Any]:
        """rows, predicted (rows by class), mean_probability (by class) and score_quantiles (by fraction)."""
        rows = self.rows
        below = np.cumsum(self._histogram)
        quantiles = {f"{q:g}": int(np.searchsorted(below, q * rows)) / HISTOGRAM_STEPS for q in QUANTILES}
        means = [round(total / STEPS_OF_SUM / rows, 6) for total in self._sums]
        return {
            "rows": rows,
            "predicted": dict(zip(self._classes, self._counts.tolist(), strict=True)),
            "mean_probability": dict(zip(self._classes, means, strict=True)),
            "score_quantiles": quantiles,
        }
