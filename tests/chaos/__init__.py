"""Faults against the real stack while a day runs, and a table of how each ended: `make chaos`."""

import os

# Another project than that of the end-to-end tests, whose stack this is.
os.environ.setdefault("ML_TEST_PROJECT", "airflow-ml-chaos")
os.environ.setdefault("ML_TEST_PORT", "18480")
