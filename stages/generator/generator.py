"""Emulates the daily feed of card payments: a day's payments and, in a separate file, which payments were fraud.

Reads  nothing; for a target that comes later, data.csv of its day.
Writes raw/{ds}: data.csv (key and features), target.csv (key and label), schema.json.
Exit codes: 0 done; 1 failed, such as a full disk; 2 wrong usage; 3 the data of a target was not generated here; 4 that
data is not there yet.

The same --ds, --seed, --rows and --dirty give the same bytes on every machine and at every time. Customers and
merchants depend on the seed alone, so customers come back on other days. All other values also depend on the day.
"""

import sys
from collections.abc import Sequence

from stagekit import Command, option, run_stage
from stagekit.options import fraction, whole_number

from generate import DATA, TARGET
from patterns import MOST_ROWS
from workers import MOST_PROCESSES

MOST_DELAY = 366

COMMANDS = (
    Command(
        "generate",
        "make a day of data",
        run="generate:generate",
        example="--rows 5000",
        options=(
            option(
                "--rows",
                type=whole_number(1, MOST_ROWS),
                metavar="N",
                help="exactly N rows (default: about 20,000, by date)",
            ),
            option(
                "--seed",
                type=int,
                default=42,
                metavar="N",
                help="another seed gives other customers, merchants and trends (default: %(default)s)",
            ),
            option(
                "--dirty",
                type=fraction,
                default=0.015,
                metavar="SHARE",
                help="share of dirty rows, 0 to 1 (default: %(default)s)",
            ),
            option(
                "--label-delay",
                type=whole_number(0, MOST_DELAY),
                default=0,
                metavar="DAYS",
                help="leave the day's target out, and add that of the day so many days before (default: %(default)s)",
            ),
            option(
                "--only",
                choices=(DATA, TARGET),
                help="data: without the target; target: that of data that is there (default: both)",
            ),
            option(
                "--processes",
                type=whole_number(1, MOST_PROCESSES),
                metavar="N",
                help="does not change the data (default: by rows and processors)",
            ),
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit code."""
    return run_stage("generator", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
