"""Validates a model in the image that serves it, scores with it, and judges it later.

Commands:
  validate  scores the validation rows, fails unless LightGBM's own scores come out, writes what was measured
  predict   scores a day's features with a validated model
  compare   measures a validated model and the champion on the same rows, and says whether it may replace it
  evaluate  measures a scored day against what has happened since, and how far its data has moved

Reads  models/{ds}: model.txt, encoder.json, reference_scores.csv (validate); metrics.json, baseline.json (the others)
       processed/{ds}: val.csv (validate, compare)
       features/{ds}: features.csv (predict, evaluate)
       comparisons/{ds}: val.csv, the same rows as the champion knows them (compare --champion)
       predictions/{ds}: predictions.csv; raw/{ds}: target.csv, if it is there (evaluate)
Writes models/{ds}: metrics.json, curves.json, baseline.json (validate)
       predictions/{ds}: predictions.csv (predict)
       comparisons/{ds}: comparison.json (compare)
       reports/{ds}: evaluation.json (evaluate)
Exit codes: 0 done, also where a model does not pass or a day breaks a rule; 1 failed, such as a full disk; 2 wrong
usage; 3 bad input, such as a damaged model, another model's features or scores that differ from LightGBM's; 4 a
partition is not there yet, or no model is validated.
"""

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence

from stagekit import Command, run_stage

import steps

SHA256 = re.compile(r"[0-9a-f]{64}")


def add_predict(parser: ArgumentParser) -> None:
    """Add the model that scores, and what is known of it."""
    parser.add_argument("--model", required=True, metavar="PATH", help="a validated model, such as models/2026-11-21")
    parser.add_argument(
        "--model-version", type=_version, default=None, metavar="N", help="its version in the registry; is recorded"
    )
    parser.add_argument("--model-run-id", default=None, metavar="ID", help="the run that made it; is recorded")
    parser.add_argument(
        "--model-sha256", type=_sha256, default=None, metavar="HEX", help="refuse another model.txt than this one"
    )


def add_compare(parser: ArgumentParser) -> None:
    """Add the champion and the rules of the gate."""
    parser.add_argument(
        "--champion",
        default="",
        metavar="PATH",
        help="the model in production; empty: there is none, only floors count",
    )
    parser.add_argument(
        "--champion-version", type=_version, default=None, metavar="N", help="its version in the registry; is recorded"
    )
    parser.add_argument(
        "--incomparable",
        default="",
        metavar="WHY",
        help="why the champion cannot score these rows: then nothing passes",
    )
    add_rules(parser)


def add_rules(parser: ArgumentParser) -> None:
    """Add the rules; where a key is left out, it has the value of rules.py."""
    parser.add_argument("--rules-json", default="", metavar="JSON", help='such as {"metric": "roc_auc"}')


def _version(text: str) -> str | None:
    if text and not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no version, which is a whole number such as 3")
    return text or None


def _sha256(text: str) -> str | None:
    if text and not SHA256.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no sha256, which is 64 digits of 0-9 and a-f")
    return text or None


COMMANDS = (
    Command("validate", "score val.csv, compare with LightGBM's scores, write the metrics", steps.validate),
    Command("predict", "score features.csv, write predictions.csv", steps.predict, add_predict),
    Command("compare", "judge a model against the champion, write comparison.json", steps.compare, add_compare),
    Command("evaluate", "judge a scored day, write evaluation.json", steps.evaluate, add_rules),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return run_stage("prediction", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
