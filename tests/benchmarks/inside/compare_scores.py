"""Prints as JSON `max_difference`, the largest between two arrays of scores. Usage: compare_scores.py A B."""

import json
import sys

import numpy as np

print(json.dumps({"max_difference": float(np.abs(np.load(sys.argv[1]) - np.load(sys.argv[2])).max())}))
