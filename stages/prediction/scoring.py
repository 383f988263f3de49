"""The two commands that score: `validate` measures a model on its validation rows, `predict` scores a day."""

import csv
import json
import logging
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stagekit import BadInput, Partition, Publication, read_partition

from bundle import (
    ENCODER_FILE,
    METRICS_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    Encoder,
    model_name,
    read_encoder,
    read_metrics,
    read_validated,
)
from feature_table import FeatureTable
from lightgbm_model import LightGBMModel, read_model
from metrics import measure, predict_codes

# LightGBM and this image add and exponentiate in the same order; this leaves room for another C library's last bit.
TOLERANCE = 1e-12
HISTOGRAM_BINS = 100_000
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
PROGRESS_CHUNKS = 16
NOT_NATIVE = re.compile(r"[\s\x00-\x1f\",:\[\]{}]")  # what LightGBM takes in no feature name

log = logging.getLogger("prediction")


def validate(args: Namespace) -> dict[str, Any]:
    """Score `val.csv`, compare with LightGBM's own scores, publish `metrics.json`."""
    root, name = args.data_dir, f"models/{args.ds}"
    model = read_partition(root, name, [MODEL_FILE, ENCODER_FILE, REFERENCE_FILE])
    processed = read_partition(root, f"processed/{args.ds}", ["val.csv"])
    _check_same_rows(model, processed)
    encoder, trees = _load(model)
    codes, probabilities = _score_validation(processed, encoder, trees)
    reproduction = _compare_with_reference(model, encoder, probabilities)
    figures = {**measure(codes, probabilities, encoder.classes), "reproduction": reproduction}
    with Publication(root, name, "validate", inputs=[model, processed]) as publication:
        text = json.dumps(figures, indent=2, ensure_ascii=False)
        publication.path(METRICS_FILE).write_text(text + "\n", encoding="utf-8")
    told = ("rows", "roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "f1", "threshold")
    return {"model": name, **{key: figures[key] for key in told}, "reproduction": reproduction}


def predict(args: Namespace) -> dict[str, Any]:
    """Score `features.csv` with a validated model, publish `predictions.csv`."""
    root, name = args.data_dir, model_name(args.data_dir, args.model)
    model = read_validated(root, name, [MODEL_FILE, ENCODER_FILE])
    features = read_partition(root, f"features/{args.ds}", ["features.csv"])
    _check_prepared_for(features, model)
    encoder, trees = _load(model)
    threshold = _read_threshold(model, encoder)
    table = _table(features, "features.csv", "`preprocessing prepare --model`", encoder.key, encoder.features)
    summary = ScoreSummary(encoder)
    with Publication(
        root,
        f"predictions/{args.ds}",
        "predict",
        inputs=[features, model],
        parameters={"model": name, "threshold": threshold},
    ) as publication:
        scored = _score_chunks(table, trees, threshold)
        publication.rows["predictions.csv"] = _write_predictions(
            publication.path("predictions.csv"), encoder, summary.watch(scored)
        )
    return {"model": name, "threshold": threshold, **summary.result()}


def _load(model: Partition) -> tuple[Encoder, LightGBMModel]:
    """The encoder and the trees of a model, which must speak of the same features and classes."""
    encoder = read_encoder(model)
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
    return encoder, trees


def _is_native_name(native: str, name: str) -> bool:
    """Whether LightGBM knows the feature `name` as `native`: some characters become `_`, a second one ends in `_`."""
    plain = NOT_NATIVE.sub("_", name)
    return native.startswith(plain) and not native[len(plain) :].strip("_")


def _table(partition: Partition, file: str, made_by: str, texts: Iterable[str], numbers: Iterable[str]) -> FeatureTable:
    return FeatureTable(
        partition / file, f"{partition.name}/{file}", texts=tuple(texts), numbers=tuple(numbers), made_by=made_by
    )


def _check_same_rows(model: Partition, processed: Partition) -> None:
    """The reference scores speak of the validation rows that training saw."""
    step = model.meta["steps"].get(model.meta["outputs"][MODEL_FILE]["step"], {})
    file = f"{processed.name}/val.csv"
    if step.get("inputs", {}).get(file) != processed.hashes[file]:
        raise BadInput(
            f"{file} is not the file that {model.name} was trained beside",
            expected="the val.csv whose hash the model's mark names", do=f"run training --ds {model.name[7:]} again",
        )  # fmt: skip


def _check_prepared_for(features: Partition, model: Partition) -> None:
    """The features must have been encoded by this very model's encoder."""
    step = features.meta["steps"].get(features.meta["outputs"]["features.csv"]["step"], {})
    used = {path: digest for path, digest in step.get("inputs", {}).items() if path.endswith(f"/{ENCODER_FILE}")}
    if list(used.values()) != [model.hashes[f"{model.name}/{ENCODER_FILE}"]]:
        raise BadInput(
            f"{features.name} was prepared for another model, by {', '.join(used) or 'no encoder'}",
            expected=f"features made with the present {model.name}/{ENCODER_FILE}",
            do=f"run preprocessing prepare --ds {features.name[9:]} --model {model.name}",
        )


def _score_validation(processed: Partition, encoder: Encoder, trees: LightGBMModel) -> tuple[np.ndarray, np.ndarray]:
    """Class codes (rows,) and probabilities (rows, classes) of the validation rows."""
    table = _table(processed, "val.csv", "`preprocessing split`", [], [encoder.target, *encoder.features])
    codes, probabilities = [], []
    for chunk in table.chunks():
        codes.append(chunk.numbers[:, 0])
        probabilities.append(trees.probabilities(chunk.numbers[:, 1:]))
    code = np.concatenate(codes)
    odd = ~np.isin(code, np.arange(len(encoder.classes)))
    if odd.any():
        row = int(np.argmax(odd))
        raise table.bad(f"row {row + 1}: the class code is {code[row]:g}", f"0 to {len(encoder.classes) - 1}")
    absent = [name for number, name in enumerate(encoder.classes) if not (code == number).any()]
    if absent:
        raise table.bad(
            f"no row of class {', '.join(absent)} among {len(code)} rows",
            "rows of every class, or nothing can be measured",
        )
    return code.astype(np.intp), np.concatenate(probabilities)


def _compare_with_reference(model: Partition, encoder: Encoder, probabilities: np.ndarray) -> dict[str, Any]:
    """Compare with LightGBM's own scores of the same rows: {"rows", "max_difference"}; BadInput where they differ."""
    table = _table(model, REFERENCE_FILE, "training", [], ["row", *encoder.probability_columns])
    reference = np.concatenate([chunk.numbers for chunk in table.chunks()])
    rows = reference[:, 0]
    if not np.isin(rows, np.arange(len(probabilities))).all():
        raise table.bad("a row number is none of val.csv", f"0 to {len(probabilities) - 1}")
    difference = np.abs(reference[:, 1:] - probabilities[rows.astype(np.intp)])
    if not difference.max() <= TOLERANCE:  # so that NaN fails as well
        row, column = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        raise BadInput(
            f"{model.name}/{MODEL_FILE} scores otherwise here than in LightGBM: {difference[row, column]:g} apart "
            f"in row {rows[row]:.0f} of val.csv, class {encoder.classes[column]}",
            expected=f"LightGBM's probabilities in {REFERENCE_FILE}, within {TOLERANCE:g}",
            do="do not roll this model out; train again, and compare the versions of LightGBM and scikit-learn",
        )
    largest = float(difference.max())
    log.info("reproduced LightGBM's scores of %d rows; largest difference %g", len(rows), largest)
    return {"rows": len(rows), "max_difference": largest}


def _read_threshold(model: Partition, encoder: Encoder) -> float | None:
    """The score from which on the second of two classes is predicted; None with more classes."""
    if len(encoder.classes) > 2:
        return None
    threshold = read_metrics(model).get("threshold")
    if not isinstance(threshold, float) or not 0 <= threshold <= 1:
        raise BadInput(
            f"{model.name}/{METRICS_FILE} has the threshold {threshold!r}", expected="a number from 0 to 1",
            do=f"run prediction validate --ds {model.name[7:]} again",
        )  # fmt: skip
    return threshold


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
