"""The work of `validate`: LightGBM's own scores must come out; then the model is measured on its validation rows."""

import logging
from typing import Any

import numpy as np
from stagekit import BadInput, Partition, Publication

from bundle import BASELINE_FILE, CURVES_FILE, METRICS_FILE, MODEL_FILE, REFERENCE_FILE, Encoder, write_json
from curves import curve_list
from drift import make_baseline
from metrics import LabelledRows, best_threshold, measure, predict_codes
from scoring import load_trees, open_table, read_validation

# LightGBM and this image add and exponentiate in the same order; this leaves room for another C library's last bit.
TOLERANCE = 1e-12
TOLD = ("rows", "roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "f1", "threshold")

log = logging.getLogger("prediction")


def validate_model(
    model: Partition, encoder: Encoder, processed: Partition, publication: Publication
) -> dict[str, Any]:
    """Write `metrics.json`, `curves.json`, `baseline.json`; returns what the result line says.

    Needs 8 bytes for each value of `val.csv`, and a few times the scores: 300 MB for a million rows of 16 features.
    """
    trees = load_trees(model, encoder)
    rows = read_validation(processed, encoder.target, encoder.classes, encoder.features)
    probabilities = trees.probabilities(rows.features)
    reproduction = _compare_with_reference(model, encoder, probabilities)
    threshold = best_threshold(rows.codes, probabilities[:, 1]) if len(encoder.classes) == 2 else None
    predicted = predict_codes(probabilities, threshold)
    measured = LabelledRows(rows.codes, probabilities, predicted, encoder.classes, len(encoder.classes))
    figures = {**measure(measured, threshold), "reproduction": reproduction}
    write_json(publication.path(METRICS_FILE), figures)
    curves = {"version": 1, "classes": list(encoder.classes), "curves": curve_list(measured)}
    write_json(publication.path(CURVES_FILE), curves)
    write_json(publication.path(BASELINE_FILE), make_baseline(encoder, rows.features, probabilities))
    return {"model": model.name, **{key: figures[key] for key in TOLD}, "reproduction": reproduction}


def _compare_with_reference(model: Partition, encoder: Encoder, probabilities: np.ndarray) -> dict[str, Any]:
    """Compare with LightGBM's own scores of the same rows: {"rows", "max_difference"}; BadInput where they differ."""
    table = open_table(model, REFERENCE_FILE, "training", [], ["row", *encoder.probability_columns])
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
