"""Writes the files of a model partition: the trees, and what is known of them."""

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
from stagekit import Partition, Publication
from stagekit.contract import Encoder, write_document

from fitting import Fit
from lightgbm_tables import read_rows

REFERENCE_ROWS = 1000
TOP_FEATURES = 5


def write_model(
    publication: Publication,
    processed: Partition,
    encoder: Encoder,
    fitted: Fit,
    rows: Mapping[str, int],
    more: Mapping[str, Any],
) -> list[str]:
    """Write model.txt, encoder.json, params.json, feature_importance.csv and reference_scores.csv.

    :param more: what else params.json says
    :return: the names of the most important features
    """
    publication.path("model.txt").write_text(fitted.model, encoding="utf-8", newline="\n")
    shutil.copyfile(processed / "encoder.json", publication.path("encoder.json"))
    record = {
        "parameters": {name: value for name, value in sorted(fitted.parameters.items()) if name != "num_threads"},
        "seed": fitted.parameters["seed"],
        "rows": dict(rows),
        "best_iteration": fitted.best_iteration,
        "validation": fitted.validation,
        "curve": fitted.curve,
        **more,
    }
    write_document(publication.path("params.json"), record)
    # Read back from the text, so that these files describe the model that others load.
    model = lightgbm.Booster(model_str=fitted.model)
    importance = importance_rows(model, encoder.feature_names)
    _write_csv(publication, "feature_importance.csv", ["feature", "gain", "split"], importance)
    values = read_rows(processed / "val.csv", REFERENCE_ROWS, len(encoder.features))
    scores = enumerate(probabilities(model, values, fitted.parameters["num_threads"]).tolist())
    header = ["row", *encoder.probability_columns]
    _write_csv(publication, "reference_scores.csv", header, ((row, *line) for row, line in scores))
    return [feature for feature, gain, _ in importance[:TOP_FEATURES] if gain > 0]


def importance_rows(model: lightgbm.Booster, features: Sequence[str]) -> list[tuple[str, float, int]]:
    """Feature, total gain of its splits, number of its splits; by falling gain, then in the features' order."""
    gains = model.feature_importance("gain").tolist()
    splits = model.feature_importance("split").tolist()
    return sorted(zip(features, gains, splits, strict=True), key=lambda row: -row[1])


def probabilities(model: lightgbm.Booster, values: Any, threads: int) -> Any:
    """LightGBM's own probability, of shape (rows, classes), for features of shape (rows, features)."""
    scores = model.predict(values, num_threads=threads)
    return np.column_stack([1.0 - scores, scores]) if scores.ndim == 1 else scores


def _write_csv(publication: Publication, file: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file; a float becomes the shortest text that reads back as the same double."""
    rows = list(rows)
    with publication.path(file).open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    publication.rows[file] = len(rows)
