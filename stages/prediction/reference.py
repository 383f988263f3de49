"""LightGBM's own scores of a model's first validation rows: do the scores here agree, and are some rows these?"""

import logging
from typing import Any

import numpy as np
from stagekit import BadInput, Partition
from stagekit.contract import Encoder, read_document

from feature_table import FeatureTable
from model_partition import METRICS_FILE, MODEL_FILE, REFERENCE_FILE
from scoring import open_table

# LightGBM and this image add and exponentiate in the same order; this leaves room for another C library's last bit.
TOLERANCE = 1e-12

log = logging.getLogger("prediction")


def compare_with_reference(model: Partition, encoder: Encoder, probabilities: np.ndarray) -> dict[str, Any]:
    """Compare with LightGBM's own scores of the same rows: {"rows", "max_difference"}. BadInput if they differ."""
    table, rows, scores = _read(model, encoder)
    if not np.isin(rows, np.arange(len(probabilities))).all():
        raise table.bad("a row number is not a row of val.csv", f"0 to {len(probabilities) - 1}")
    difference = np.abs(scores - probabilities[rows.astype(np.intp)])
    if not difference.max() <= TOLERANCE:  # so that NaN fails as well
        row, column = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        raise BadInput(
            f"{model.name}/{MODEL_FILE} scores differently here than in LightGBM: by {difference[row, column]:g} "
            f"in row {rows[row]:.0f} of val.csv, class {encoder.classes[column]}",
            expected=f"LightGBM's probabilities in {REFERENCE_FILE}, within {TOLERANCE:g}",
            do="do not use this model; train again, and compare the versions of LightGBM and scikit-learn",
        )
    largest = float(difference.max())
    log.info("reproduced LightGBM's scores of %d rows; largest difference %g", len(rows), largest)
    return {"rows": len(rows), "max_difference": largest}


def is_validation_of(model: Partition, encoder: Encoder, probabilities: np.ndarray) -> bool:
    """Whether rows with these scores are those that validated the model, in whichever file they are.

    The mark of a model that was restored from MLflow does not name its val.csv; its reference scores are there.
    """
    if REFERENCE_FILE not in model.files or read_document(model, METRICS_FILE)["rows"] != len(probabilities):
        return False
    _, rows, scores = _read(model, encoder)
    known = np.isin(rows, np.arange(len(probabilities))).all()
    return bool(known and (np.abs(scores - probabilities[rows.astype(np.intp)]) <= TOLERANCE).all())


def _read(model: Partition, encoder: Encoder) -> tuple[FeatureTable, np.ndarray, np.ndarray]:
    """The table, the numbers of its rows in val.csv (rows,), and their scores (rows, classes)."""
    table = open_table(model, REFERENCE_FILE, "training", [], ["row", *encoder.probability_columns])
    reference = np.concatenate([chunk.numbers for chunk in table.chunks()])
    return table, reference[:, 0], reference[:, 1:]
