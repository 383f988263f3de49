"""LightGBM's parameters in a search: those that `training` sets, and the ones that are tried.

`training` has the same defaults; tests/images/test_tuned_model.py compares the models.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

# How LightGBM reads the copies.
READING = {"header": True, "label_column": 0, "precise_float_parser": True, "two_round": True}
# In every trial, and in the result: with the filter, the rows could not be read once for all values of
# min_data_in_leaf.
SHARED = {"feature_pre_filter": False}
# The first metric is the one that early stopping follows, and that the search minimises.
METRICS = {"binary": ["binary_logloss", "auc"], "multiclass": ["multi_logloss", "multi_error"]}
# What is tried: each parameter with its range.
SPACE: Mapping[str, BaseDistribution] = MappingProxyType(
    {
        "learning_rate": FloatDistribution(0.02, 0.2, log=True),
        "num_leaves": IntDistribution(4, 128, log=True),
        "min_data_in_leaf": IntDistribution(5, 200, log=True),
        "feature_fraction": FloatDistribution(0.4, 1.0),
        "bagging_fraction": FloatDistribution(0.5, 1.0),
        "lambda_l1": FloatDistribution(1e-3, 10.0, log=True),
        "lambda_l2": FloatDistribution(1e-3, 10.0, log=True),
    }
)


def defaults(classes: int, threads: int) -> dict[str, Any]:
    """What `training` uses if nothing is given."""
    objective = "binary" if classes == 2 else "multiclass"
    return {
        "objective": objective,
        "num_class": 1 if classes == 2 else classes,
        "metric": METRICS[objective],
        "learning_rate": 0.05,
        "num_iterations": 500,
        "num_leaves": 31,
        "early_stopping_round": 50,
        "early_stopping_min_delta": 1e-9,
        "first_metric_only": True,
        "seed": 42,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": 0,
    }


def as_given(tried: Mapping[str, Any]) -> dict[str, Any]:
    """What a person would give `training` for a trial; nothing is tried by the first one, which has the defaults."""
    bagging = {"bagging_freq": 1} if "bagging_fraction" in tried else {}
    return {**SHARED, **tried, **bagging}
