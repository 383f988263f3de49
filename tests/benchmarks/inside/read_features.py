"""Takes the key off features.csv, so that LightGBM can score the same numbers: as an array, and as a CSV file.

Usage: read_features.py FEATURES KEY_COLUMNS ARRAY CSV. Runs in the prediction image; takes no part in any timing.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd


def main() -> int:
    features, keys, array, table = sys.argv[1:]
    Path(table).parent.mkdir(parents=True, exist_ok=True)
    frame = pd.read_csv(features, dtype=str, keep_default_na=False).iloc[:, int(keys) :]
    frame.to_csv(table, index=False)
    np.save(array, frame.replace("", "nan").to_numpy().astype(np.float64))
    return 0


if __name__ == "__main__":
    sys.exit(main())
