"""Trains with nothing but `lightgbm.train` on train.csv and val.csv, with the parameters that the stage used.

It makes as many iterations as the stage did before it stopped early, and measures each on val.csv as well: LightGBM
draws other rows for its bins when it reads a file in one go, so on its own it would stop a few trees earlier or later.

Usage: bare_train.py PROCESSED PARAMS_JSON FOLDER. Runs in the training image. Prints as JSON the `iterations`.
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
    used = json.loads(params_file.read_text())
    iterations = len(next(iter(used["curve"].values())))
    parameters = used["parameters"] | {"num_iterations": iterations, "early_stopping_round": 0}
    parameters |= {"num_threads": len(os.sched_getaffinity(0)), "header": True, "label_column": 0}
    train = lightgbm.Dataset(str(processed / "train.csv"), params=parameters, categorical_feature=categories)
    val = lightgbm.Dataset(str(processed / "val.csv"), reference=train, params=parameters)
    model = lightgbm.train(parameters, train, valid_sets=[val])
    folder.mkdir(parents=True, exist_ok=True)
    model.save_model(folder / "model.txt")
    print(json.dumps({"iterations": model.current_iteration()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
