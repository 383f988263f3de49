"""The fields of the form with which a person starts a run. An empty field means the stage's own default."""

from copy import copy

from airflow.sdk import Param

from ml.arguments import WAIT_HOURS
from ml.rules import read_rules

FIELDS = {
    "ds": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day",
        description="The day whose data to work on. Empty: the day of the run.",
    ),
    "wait_hours": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=168,
        title="Hours to wait",
        description=f"How long to wait for the day's data; 0 does not wait. Empty: {WAIT_HOURS}.",
    ),
    "rows": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=100_000_000,
        title="Rows",
        description="How many rows to generate. Empty: as many as the weekday and the season bring.",
    ),
    "seed": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Seed",
        description="Another seed, another draw; the same seed, the same bytes. Empty: the stage's own.",
    ),
    "max_rejected": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=1,
        title="Rejected share",
        description="The share of bad rows that is still accepted, from 0 to 1. Empty: the stage's own.",
    ),
    "val_fraction": Param(
        None,
        type=["null", "number"],
        exclusiveMinimum=0,
        exclusiveMaximum=1,
        title="Validation share",
        description="The share of rows kept back to judge the model on. Empty: the stage's own.",
    ),
    "lightgbm": Param(
        None,
        type=["null", "object"],
        title="LightGBM parameters",
        description='Instead of the stage\'s own, such as {"num_leaves": 63, "learning_rate": 0.05}.',
    ),
    "force": Param(
        False,
        type="boolean",
        title="Do it again",
        description="Work even if the result is published already, from the same image, parameters and inputs.",
    ),
    "promote": Param(
        "auto",
        type="string",
        enum=["auto", "manual"],
        title="Promote",
        description="auto: the new model goes into production if it passes the gate. manual: a person decides.",
    ),
    "as_of": Param(
        False,
        type="boolean",
        title="With the model of that day",
        description="Score with the model that was in production on that day, instead of today's.",
    ),
    "version": Param(
        type="integer",
        minimum=1,
        title="Version",
        description="The number of the version to put into production, as MLflow and `registry list` show it.",
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
        description="Start train_model for the day if the day crosses a threshold.",
    ),
}


def form(*names: str) -> dict[str, Param]:
    """The named fields, in this order; copies, as Airflow keeps a run's values in them."""
    return {name: copy(FIELDS[name]) for name in names}
