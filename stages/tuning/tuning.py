"""Searches parameters of LightGBM for a day's encoded data, on its training rows alone.

Reads  processed/{ds}: train.csv, encoder.json.
Writes tuning/{ds}: trials.jsonl (every trial), best.json (the parameters of the best one).
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input data, 4 input not there yet.

The same input, seed, number of trials and image give the same bytes, also if the search was killed and continued.
"""

import sys
from collections.abc import Sequence

from stagekit import Command, option, run_stage
from stagekit.as_of import MADE_AS_OF
from stagekit.options import inner_fraction, number, or_empty, whole_number

# A week: what a person would hardly wait for.
MOST_MINUTES = 7 * 24 * 60

COMMANDS = (
    Command(
        "tune",
        "search parameters of LightGBM",
        run="tune:tune",
        example="--trials 30",
        options=(
            option(
                "--trials",
                type=whole_number(1, 10_000),
                default=30,
                metavar="N",
                help="how many trials; the first one has the defaults of training (default: %(default)s)",
            ),
            option(
                "--minutes",
                type=or_empty(number(0, MOST_MINUTES)),
                metavar="M",
                help="begin no further trial after so many minutes; the trials until then are the same as without",
            ),
            option(
                "--seed",
                type=whole_number(0, 2**31 - 1),
                default=0,
                metavar="N",
                help="decides what is tried, and which rows of one day validate (default: %(default)s)",
            ),
            option(
                "--val-fraction",
                type=inner_fraction,
                default=0.2,
                metavar="SHARE",
                help="which part of the training rows validates the trials (default: %(default)s)",
            ),
            MADE_AS_OF,
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit code."""
    return run_stage("tuning", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
