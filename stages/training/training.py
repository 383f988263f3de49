"""Fits a LightGBM model to a day's encoded data, with early stopping on the rows that validate.

Reads  processed/{ds}: train.csv, val.csv, encoder.json; with --tuned-max-age also best.json of tuning/{day}.
       backtest: backtests/{ds}: {day}.csv for each day, encoder.json, left_out.json
Writes models/{ds}: model.txt (the trees up to the best iteration), encoder.json (a copy), params.json,
       feature_importance.csv, reference_scores.csv.
       backtest: backtests/{ds}: backtest.json
Exit codes: 0 done, 1 failed, 2 wrong usage or parameters, 3 bad input data, 4 input not there yet,
    5 another rank of this training has ended.

The same input, parameters and image give the same bytes, with any number of CPUs. The command word `backtest` trains on
windows of past days and scores the days after each, all in memory: see `backtest --help`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from stagekit import Command, option, run_stage
from stagekit.as_of import MADE_AS_OF
from stagekit.options import or_empty, whole_number

from backtest import days_list
from ranks import MOST_RANKS

COMMANDS = (
    Command(
        "train",
        "fit a model to a day's encoded data",
        run="train:train",
        example="--param num_leaves=63",
        only_looks=("check_parameters",),
        options=(
            option("--params", type=Path, metavar="FILE", help="LightGBM parameters, a JSON object in a file"),
            option("--params-json", metavar="JSON", help="LightGBM parameters, a JSON object; wins over --params"),
            option(
                "--param",
                action="append",
                default=[],
                metavar="NAME=VALUE",
                help="one LightGBM parameter, any number of times; wins over both",
            ),
            option(
                "--tuned-max-age",
                type=or_empty(whole_number(0)),
                metavar="DAYS",
                help="take the parameters of the newest search of `tuning`, if it is not older than so many days; "
                "parameters that are given win (default: no search is looked for)",
            ),
            MADE_AS_OF,
            option(
                "--ranks",
                type=whole_number(1, MOST_RANKS),
                default=1,
                metavar="N",
                help="train on N machines, with a container on each: the README says how (default: %(default)s)",
            ),
            option(
                "--check-parameters",
                action="store_true",
                help="only check the names of the LightGBM parameters, before any data is there",
            ),
            option(
                "--log-every",
                type=whole_number(1),
                default=10,
                metavar="N",
                help="iterations per log line (default: %(default)s)",
            ),
        ),
    ),
)
BACKTEST = Command(
    "backtest",
    "how models would have done over past days, by window and by how often they are trained",
    run="backtest:backtest",
    example="--windows 1,7,28 --every 1,7,28,0",
    options=(
        option(
            "--windows",
            type=days_list(1),
            default=(1, 7, 28),
            metavar="DAYS,DAYS",
            help="how many days to learn from, each a strategy (default: 1,7,28)",
        ),
        option(
            "--every",
            type=days_list(0),
            default=(0, 1, 7, 28),
            metavar="DAYS,DAYS",
            help="how many days to keep a model, each a strategy; 0 keeps the first (default: 0,1,7,28)",
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    # Training has no command word: marks and Dags of older releases call it without one.
    commands = (*COMMANDS, BACKTEST) if words[:1] == [BACKTEST.name] else COMMANDS
    return run_stage("training", __doc__, commands, words)


if __name__ == "__main__":
    sys.exit(main())
