"""Records models in MLflow and says which one is in production.

Reads   register        models/{ds}, plots/{ds}, processed/{ds}
        decide          comparisons/{ds}
        decide-shadow   shadows/{ds}-v{N}
        log-evaluation  reports/{ds}
        each command    the MLflow server
Writes  resolve         registry/production; models/{ds}-v{N}, if models/{ds} has changed since
        the others      the MLflow server; `list` writes nothing, `tidy` removes
Exit codes: 0 done; 1 failed, such as a server out of reach; 2 wrong usage, such as a version that does not exist;
3 bad input, such as a damaged model or nothing to go back to; 4 a partition is not there yet, or there is no champion
yet.
"""

import sys
from collections.abc import Sequence

from stagekit import Command, option, run_stage
from stagekit.options import day, text, version, whole_number

RECORD = (
    option("--by", type=text, required=True, metavar="WHO", help="who decides"),
    option("--reason", type=text, required=True, metavar="TEXT", help="why"),
)

MOST_SHADOW_DAYS = 31

# Their examples reach the MLflow of the stack.
MLFLOW = (
    "--network airflow-ml_mlflow --env ML_MLFLOW_URI=http://mlflow:5000"
    ' -v "$PWD"/mlflow.json:/run/connections/mlflow.json:ro'
)
EXAMPLE_RECORD = "--by Ada --reason 'fewer false alarms'"

# What they change is in MLflow, where no mark records whether it is done: neither --force nor --explain.
COMMANDS = (
    Command(
        "register",
        "record a validated model and make it the challenger",
        run="register:register",
        options=(option("--by", type=text, default="by hand", metavar="WHO", help="MLflow's User (%(default)s)"),),
        publishes=False,
        docker=MLFLOW,
    ),
    Command(
        "decide",
        "promote the day's version if its comparison says so",
        run="decide:decide",
        options=(
            option("--promote", choices=("auto", "manual", "ask"), required=True, help="who promotes what has passed"),
            option("--by", type=text, default="train_model", metavar="WHO", help="recorded (%(default)s)"),
            option(
                "--shadow-days",
                type=whole_number(0, MOST_SHADOW_DAYS),
                default=0,
                metavar="N",
                help="what may replace a champion scores so many days beside it first (default: %(default)s)",
            ),
        ),
        publishes=False,
        example="--promote auto",
        docker=MLFLOW,
    ),
    Command(
        "decide-shadow",
        "promote the version in shadow if the days beside the champion say so",
        run="decide_shadow:decide_shadow",
        options=(
            option("--version", type=version, required=True, metavar="N", help="the version in shadow"),
            option("--by", type=text, default="monitor", metavar="WHO", help="recorded (%(default)s)"),
        ),
        publishes=False,
        example="--version 3",
        docker=MLFLOW,
    ),
    Command(
        "promote",
        "make a version the champion",
        run="promote:promote",
        options=(
            option("--version", type=version, metavar="N", help="the version to promote (default: the challenger)"),
            *RECORD,
            option("--at", default="", metavar="TIMESTAMP", help="when it happened, if not now"),
        ),
        needs_ds=False,
        publishes=False,
        example=f"--version 3 {EXAMPLE_RECORD}",
        docker=MLFLOW,
    ),
    Command(
        "answer",
        "do what a person has answered about a version",
        run="answer:answer",
        options=(
            option("--version", type=version, required=True, metavar="N", help="the version"),
            option("--answer", choices=("promote", "keep", "reject"), required=True, help="what to do with it"),
            *RECORD,
        ),
        needs_ds=False,
        publishes=False,
        example=f"--version 3 --answer reject {EXAMPLE_RECORD}",
        docker=MLFLOW,
    ),
    Command(
        "roll-back",
        "go back to the champion before",
        run="roll_back:roll_back",
        options=RECORD,
        needs_ds=False,
        publishes=False,
        example=EXAMPLE_RECORD,
        docker=MLFLOW,
    ),
    Command(
        "resolve",
        "say which model is in production, and restore its files if they are missing",
        run="resolve:resolve",
        # Empty texts count as not given.
        options=(
            option("--model", default="", metavar="PATH", help="the model in production, whatever the champion is"),
            option("--as-of", default="", metavar="TIME", help="the champion at a time; a day means its end (UTC)"),
            option("--or-last", action="store_true", help="server out of reach: the champion that was resolved last"),
            option("--or-none", action="store_true", help="no champion yet: no model, instead of exit code 4"),
            option("--shadow", action="store_true", help="also name the version in shadow"),
        ),
        needs_ds=False,
        publishes=False,
        writes=True,  # the files of a model that are missing, and what was resolved last
        docker=MLFLOW,
    ),
    Command(
        "sign",
        "sign the events and versions that are there",
        run="sign:sign",
        options=(option("--check", action="store_true", help="sign nothing: exit code 3 if something is not signed"),),
        needs_ds=False,
        publishes=False,
        docker=MLFLOW,
    ),
    Command(
        "list",
        "show the versions",
        run="list_:list_",
        needs_ds=False,
        publishes=False,
        whole=True,  # the host tool shows all of it; no Dag runs this
        docker=MLFLOW,
    ),
    Command(
        "log-evaluation",
        "add a day's evaluation to the version that scored",
        run="log_evaluation:log_evaluation",
        publishes=False,
        docker=MLFLOW,
    ),
    Command(
        "tidy",
        "remove old versions, runs and pages that nothing needs",
        run="tidy:tidy",
        options=(
            option("--before", type=day, required=True, metavar="DAY", help="the first day of which everything stays"),
            option("--dry-run", action="store_true", help="only count what would go"),
        ),
        needs_ds=False,
        publishes=False,
        example="--before 2026-08-31 --dry-run",
        docker=MLFLOW,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return run_stage("registry", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
