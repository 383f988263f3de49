"""Scores a CSV file of features with LightGBM's own file prediction: `Booster.predict` with a path.

Usage: predict_file.py MODEL FEATURES SCORES. Runs in the training image. LightGBM takes no texts, so FEATURES is
features.csv without its key, and what is written is the scores alone.
"""

import sys

import lightgbm
import numpy as np


def main() -> int:
    model, features, scores = sys.argv[1:]
    np.savetxt(scores, lightgbm.Booster(model_file=model).predict(features, data_has_header=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
