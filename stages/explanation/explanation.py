"""Explains a day's scores: how much each feature moved the score of each row, in log-odds.

Reads  features/{ds}: features.csv
       models/{ds}: model.txt, encoder.json; baseline.json, if the model has it
Writes explanations/{ds}: reasons.csv, contributions.json
Exit codes: 0 done; 1 failed, such as a full disk; 2 wrong usage; 3 bad input, such as features that were made for
another model, or a model whose scores LightGBM cannot split exactly; 4 a partition is not there yet.

The same features, model and image give the same bytes, with any number of CPUs.
"""

import sys
from collections.abc import Sequence

from stagekit import Command, option, run_stage
from stagekit.options import or_empty, sha256, version, whole_number

COMMANDS = (
    Command(
        "explain",
        "find the features that moved each score of a day most",
        run="explain:explain",
        example="--model models/2026-11-14",
        options=(
            option("--model", required=True, metavar="PATH", help="the model that scored, such as models/2026-11-21"),
            option("--model-version", type=or_empty(version), metavar="N", help="its version, to be recorded"),
            option("--model-run-id", metavar="ID", help="the run that made it, to be recorded"),
            option("--model-sha256", type=or_empty(sha256), metavar="HEX", help="refuse a model.txt of another sha256"),
            option(
                "--reasons",
                type=whole_number(1, 100),
                default=3,
                metavar="N",
                help="how many features to name for each row (default: %(default)s)",
            ),
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit code."""
    return run_stage("explanation", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
