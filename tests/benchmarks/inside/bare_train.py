"""Trains with nothing but `lightgbm.train` on train.csv and val.csv, with the parameters that the stage used.

Usage: bare_train.py PROCESSED PARAMS_JSON FOLDER. Runs in the training image. Prints as JSON the `iterations` made.
"""

import json
import os
import sys
from pathlib import Path

import lightgbm


def main() -> int:
    processed, params_file, folder = map(Path, sys.argv[1:])
    encoder = json.loads((processed / "encoder.json").read_text())
    categories = [number for number, feature in enumerate(encoder["features"]) if feature["kind"] == "category"]
    parameters = json.loads(params_file.read_text())["parameters"]
    parameters |= {"num_threads": len(os.sched_getaffinity(0)), "header": True, "label_column": 0}
    train = lightgbm.Dataset(str(processed / "train.csv"), params=parameters, categorical_feature=categories)
    val = lightgbm.Dataset(str(processed / "val.csv"), reference=train, params=parameters)
    curve: dict[str, dict[str, list[float]]] = {}
    model = lightgbm.train(parameters, train, valid_sets=[val], callbacks=[lightgbm.record_evaluation(curve)])
    folder.mkdir(parents=True, exist_ok=True)
    model.save_model(folder / "model.txt")
    (values, *_) = next(iter(curve.values())).values()
    print(json.dumps({"iterations": len(values), "best_iteration": model.best_iteration}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
