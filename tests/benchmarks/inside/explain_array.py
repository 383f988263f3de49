"""LightGBM's contributions of an array that is in memory, with all CPUs: the call that shap's TreeExplainer makes.

Usage: explain_array.py MODEL ARRAY. Runs in the explanation image. Prints as JSON the number of `rows`. The call is
that of shap.TreeExplainer for a LightGBM model without background data; what shap adds is the check of the sums.
"""

import json
import sys

import lightgbm
import numpy as np


def main() -> int:
    model, array = sys.argv[1:]
    values = np.load(array)
    parts = lightgbm.Booster(model_file=model).predict(values, pred_contrib=True)
    print(json.dumps({"rows": len(parts)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
