"""The fields of the form with which a person starts a run. Each shows its default; an empty field means the same."""

from copy import copy
from typing import Any

from airflow.sdk import Param

from ml.defaults import (
    BACKTEST_DAYS,
    DAYS,
    EVERY,
    GENERATOR_SEED,
    LIGHTGBM,
    MAX_REJECTED,
    MIN_DAYS,
    RANKS,
    SEARCH_SEED,
    SHARDS,
    SPLIT_SEED,
    TRIALS,
    VAL_FRACTION,
    WAIT_HOURS,
    WINDOWS,
)
from ml.rules import LONGEST_ANSWER, PROMOTE, read_rules
from ml.settings import SettingError, setting

# Numbers of days with commas between, as the options of the stage take them.
DAYS_LIST = r"^[0-9]{1,3}(,[0-9]{1,3})*$"
# No NaN and no Infinity: plugins/finite_numbers.py.
FINITE = "finite"
# Of a row's features so many can be named, as the option --reasons of the stage allows.
MOST_REASONS = 100
# So many shards can a day have, as the option --shards of the stages allows.
MOST_SHARDS = 256
# So many ranks can a model have, as the option --ranks of the stage allows.
MOST_RANKS = 64
# So many hours can a run wait for its day: `./airflow-ml tidy` must not remove it meanwhile.
LONGEST_WAIT = 168


def _reasons() -> int:
    """ML_REASONS, which the field `reasons` shows. Errors: SettingError."""
    text = setting("ML_REASONS")
    if not text.isdecimal() or int(text) > MOST_REASONS:
        raise SettingError("ML_REASONS", f"is {text!r}")
    return int(text)


FIELDS = {
    "ds": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day",
        description='The day whose data the run works on. Empty: the day of "Logical Date", which dates the run.',
    ),
    "days": Param(
        DAYS,
        type=["null", "integer"],
        minimum=1,
        maximum=366,
        title="Days",
        description="How many days to learn from: the day, and the days before it. With several, rows of the day "
        "itself validate the model, and earlier ones train it.",
    ),
    "min_days": Param(
        MIN_DAYS,
        type=["null", "integer"],
        minimum=1,
        maximum=366,
        title="Fewest days",
        description="Fail if fewer of these days can be used.",
    ),
    "wait_hours": Param(
        WAIT_HOURS,
        type=["null", "number"],
        format=FINITE,
        minimum=0,
        maximum=LONGEST_WAIT,
        title="Hours to wait",
        description="How long to wait for the day's data; 0 does not wait.",
    ),
    "rows": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=100_000_000,
        title="Rows",
        description="How many rows to generate. Empty: about 20,000, as many as the weekday and the season bring.",
    ),
    "seed": Param(
        GENERATOR_SEED,
        type=["null", "integer"],
        minimum=0,
        title="Seed",
        description="Another seed, other data; the same seed, the same bytes.",
    ),
    "label_delay": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=366,
        title="Label delay",
        description="After how many days the labels come: leaves out those of the day, and delivers those of the day "
        "so many days before. Empty: with the data.",
    ),
    "split_seed": Param(
        SPLIT_SEED,
        type=["null", "integer"],
        minimum=0,
        title="Seed",
        description="Decides which rows validate the model: another seed, other rows; the same seed, the same bytes.",
    ),
    "max_rejected": Param(
        MAX_REJECTED,
        type=["null", "number"],
        format=FINITE,
        minimum=0,
        maximum=1,
        title="Rejected share",
        description="The share of bad rows that is still accepted, from 0 to 1.",
    ),
    "shards": Param(
        SHARDS,
        type=["null", "integer"],
        minimum=1,
        maximum=MOST_SHARDS,
        title="Shards",
        description="In how many parts the day is worked on at the same time, each in a container: for days that are "
        "too large for one. The result is the same.",
    ),
    "shards_of_predict": Param(
        SHARDS,
        type=["null", "integer"],
        minimum=1,
        maximum=MOST_SHARDS,
        title="Shards",
        description="1, or in as many parts as predict has scored the day: each is labelled and evaluated in a "
        "container. The result is the same.",
    ),
    "val_fraction": Param(
        VAL_FRACTION,
        type=["null", "number"],
        format=FINITE,
        exclusiveMinimum=0,
        exclusiveMaximum=1,
        title="Validation share",
        description="The share of rows kept back to judge the model on.",
    ),
    "lightgbm": Param(
        {},
        type=["null", "object"],
        format=FINITE,
        propertyNames={"format": "LightGBM parameter"},  # plugins/lightgbm_names.py
        title="LightGBM parameters",
        description='Those to change, such as {"num_leaves": 63}. The others are '
        + ", ".join(f"{name} {value}" for name, value in LIGHTGBM.items())
        + ". A name that LightGBM does not know is refused.",
    ),
    "ranks": Param(
        RANKS,
        type=["null", "integer"],
        minimum=1,
        maximum=MOST_RANKS,
        title="Ranks",
        description="How many containers train the model together, each with a part of the rows. The same number gives "
        "the same bytes, another one another model. Not on Kubernetes.",
    ),
    "tuned_max_age": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=3650,
        title="Age of a tuning",
        description="Take the parameters of the newest tune_model, if it is of the day or of so many days before it. "
        "LightGBM parameters above win. Empty: the defaults.",
    ),
    "trials": Param(
        TRIALS,
        type=["null", "integer"],
        minimum=1,
        maximum=10_000,
        title="Trials",
        description="How many parameters to try. The first trial has the defaults.",
    ),
    "minutes": Param(
        None,
        type=["null", "number"],
        format=FINITE,
        minimum=0,
        maximum=330,
        title="Minutes",
        description="Begin no further trial after so many minutes. Empty: the 6 hours of a task.",
    ),
    "search_seed": Param(
        SEARCH_SEED,
        type=["null", "integer"],
        minimum=0,
        maximum=2**31 - 1,
        title="Seed of the search",
        description="Another seed, other trials; the same seed and number of trials, the same bytes.",
    ),
    "backtest_days": Param(
        BACKTEST_DAYS,
        type=["null", "integer"],
        minimum=2,
        maximum=366,
        title="Days back",
        description="The period: the day, and the days before it. The first of them, as many as the longest window "
        "has, are only learned from; the days after them are scored.",
    ),
    "windows": Param(
        WINDOWS,
        type=["null", "string"],
        pattern=DAYS_LIST,
        title="Windows",
        description="How many days a model learns from, with commas between: each is compared.",
    ),
    "every": Param(
        EVERY,
        type=["null", "string"],
        pattern=DAYS_LIST,
        title="Days between trainings",
        description="1 trains each day, 7 each week, 28 each month, 0 once; with commas between, each is compared.",
    ),
    "force": Param(
        False,
        type="boolean",
        title="Do it again",
        description="Work even if the result is published already, from the same image, parameters and inputs.",
    ),
    "promote": Param(
        read_rules()["promote"],
        type="string",
        enum=list(PROMOTE),
        title="Promote",
        description="auto: the new model goes into production if it passes the gate. manual: a person promotes it. "
        "ask: the run asks a person, who answers on Airflow's page.",
    ),
    "answer_hours": Param(
        read_rules()["answer_hours"],
        type="number",
        format=FINITE,
        exclusiveMinimum=0,
        maximum=LONGEST_ANSWER,
        title="Hours to answer",
        description="With ask: how long the run waits for the answer. After that the model stays the challenger.",
    ),
    "as_of": Param(
        False,
        type="boolean",
        title="With the model of that day",
        description="Score with the model that was in production on that day, instead of today's.",
    ),
    "labels_as_of": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Labels until",
        description="Use only labels that had arrived by the end of this day. Empty: all that have arrived.",
    ),
    "reasons": Param(
        _reasons(),
        type=["null", "integer"],
        minimum=0,
        maximum=MOST_REASONS,
        title="Reasons of each score",
        description="How many features to name for each row: those that moved its score most. 0 or empty: none.",
    ),
    "reason": Param(
        type="string",
        minLength=3,
        maxLength=500,
        title="Reason",
        description="Why; it is kept with the version, your name and the time.",
    ),
    "retrain": Param(
        read_rules()["retrain_on_breach"],
        type="boolean",
        title="Train on a breach",
        description="Start train_model for the day if it has a breach.",
    ),
}


def form(*names: str, **fields: str) -> dict[str, Param]:
    """The named fields, in this order; copies, as Airflow keeps a run's values in them.

    `seed="split_seed"` is the field `split_seed` under the name `seed`.
    """
    chosen: dict[str, Any] = {name: fields.get(name, name) for name in names}
    return {name: copy(FIELDS[field]) for name, field in chosen.items()}
