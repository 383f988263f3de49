"""Scores an array that is in memory, three times, with the stage's predictor or with LightGBM's own.

Usage: score_array.py stage|lightgbm MODEL ARRAY SCORES. Runs in the prediction image or in the training image. Writes
the second class's scores, prints as JSON the `seconds` of each call and the `rows`.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CALLS = 3


def stage_predictor(model: Path) -> Callable[[Any], Any]:
    """The prediction stage's own: LightGBM's trees in scikit-learn's predictor."""
    from lightgbm_model import read_model

    trees = read_model(model, model.name)
    return lambda values: trees.probabilities(values)[:, 1]


def lightgbm_predictor(model: Path) -> Callable[[Any], Any]:
    """LightGBM's `Booster.predict`, with all CPUs."""
    import lightgbm

    booster = lightgbm.Booster(model_file=model)
    return lambda values: booster.predict(values)


def main() -> int:
    who, model, array, scores = sys.argv[1:]
    predict = {"stage": stage_predictor, "lightgbm": lightgbm_predictor}[who](Path(model))
    values = np.load(array)
    seconds = []
    for _ in range(CALLS):
        started = time.perf_counter()
        result = predict(values)
        seconds.append(time.perf_counter() - started)
    np.save(scores, result)
    print(json.dumps({"seconds": seconds, "rows": len(values)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
