"""Defaults that the form shows. Those of stages are the stages' own: tests/images/test_form_defaults.py compares."""

# A late feed comes within hours; one that does not must be noticed before the next day's run waits as well.
WAIT_HOURS = 12
MAX_REJECTED = 0.1
SHARDS = 1
VAL_FRACTION = 0.2
DAYS, MIN_DAYS = 1, 1
RANKS = 1
GENERATOR_SEED, SPLIT_SEED = 42, 0
TRIALS, SEARCH_SEED = 30, 0
BACKTEST_DAYS, WINDOWS, EVERY = 60, "1,7,28", "0,1,7,28"
LIGHTGBM = {
    "learning_rate": 0.05,
    "num_iterations": 500,
    "num_leaves": 31,
    "early_stopping_round": 50,
    "early_stopping_min_delta": 1e-9,
    "first_metric_only": True,
    "seed": 42,
    "verbosity": 0,
}
