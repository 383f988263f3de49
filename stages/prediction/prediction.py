"""Validates a model in the image that serves it, and scores with it.

Commands:
  validate  scores the validation rows, fails unless LightGBM's own scores come out, writes the metrics
  predict   scores a day's features with a validated model
  resolve   tells which model is in production
  offer     shows a newly validated model beside the one before it

Reads  models/{ds}: model.txt, encoder.json, reference_scores.csv, metrics.json
       processed/{ds}: val.csv (validate)
       features/{ds}: features.csv (predict)
Writes models/{ds}: metrics.json (validate)
       predictions/{ds}: predictions.csv (predict)
Exit codes: 0 done; 1 failed, such as a full disk; 2 wrong usage; 3 bad input, such as a damaged model, another
model's features or scores that differ from LightGBM's; 4 a partition is not there yet, or no model is validated.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from stagekit import Command, run_stage


def validate(args: Namespace) -> Mapping[str, Any]:
    """Run scoring.validate. Imported late: `--help` shall not wait for scikit-learn and pandas."""
    import scoring

    return scoring.validate(args)


def predict(args: Namespace) -> Mapping[str, Any]:
    """Run scoring.predict."""
    import scoring

    return scoring.predict(args)


def resolve(args: Namespace) -> Mapping[str, Any]:
    """Run production.resolve."""
    import production

    return production.resolve(args)


def offer(args: Namespace) -> Mapping[str, Any]:
    """Run production.offer."""
    import production

    return production.offer(args)


def add_model(parser: ArgumentParser) -> None:
    """Add the model that scores."""
    parser.add_argument("--model", required=True, metavar="PATH", help="a validated model, such as models/2026-11-21")


def add_optional_model(parser: ArgumentParser) -> None:
    """Add the model that someone chose; an empty text means that nobody did."""
    parser.add_argument(
        "--model", default="", metavar="PATH", help="the model in production; empty: the newest validated"
    )
    parser.add_argument(
        "--ds", default=None, metavar="YYYY-MM-DD", help="taken as by every command; changes nothing here"
    )


COMMANDS = (
    Command("validate", "score val.csv, compare with LightGBM's scores, write metrics.json", validate),
    Command("predict", "score features.csv, write predictions.csv", predict, add_model),
    Command("resolve", "tell which model is in production", resolve, add_optional_model, needs_ds=False),
    Command("offer", "show a validated model beside the one before it", offer),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return run_stage("prediction", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
