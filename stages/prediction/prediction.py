"""Validates a model in the image that serves it, scores days with it, compares models and evaluates scored days.

Reads   validate        models/{ds}: model.txt, encoder.json, reference_scores.csv; processed/{ds}: val.csv
        predict         features/{ds}: features.csv; the model: model.txt, encoder.json, metrics.json, baseline.json
        compare         processed/{ds}: val.csv; comparisons/{ds}: the same rows in the champion's encoding; both models
        compare-shadow  shadows/{day}-v{N}: features.csv, predictions.csv; predictions/{day}; labels/{day}; both models
        evaluate        predictions/{ds}; features/{ds}; labels/{ds}, if raw/{ds} has a target.csv; the model
        confirm         reports/{ds} and reports of earlier days: evaluation.json
Writes  validate        models/{ds}: metrics.json, curves.json, baseline.json, model_card.md
        predict         predictions/{ds}: predictions.csv; with --shadow N in shadows/{ds}-v{N}
        compare         comparisons/{ds}: comparison.json
        compare-shadow  shadows/{ds}-v{N}: comparison.json
        evaluate        reports/{ds}: evaluation.json
        confirm         reports/{ds}: breaches.json
Exit codes: 0 done, also if a model does not pass or a day breaks a rule; 1 failed, such as a full disk; 2 wrong
usage; 3 bad input, such as a damaged model, another model's features, or scores that differ from LightGBM's; 4 a
partition is not there yet, or the model is not validated.
"""

import sys
from collections.abc import Sequence

from stagekit import Command, option, run_stage
from stagekit.options import or_empty, sha256, version, whole_number
from stagekit.shards import SHARD, SHARDS

from rules import MOST_DAYS

RULES = option(
    "--rules-json",
    default="",
    metavar="JSON",
    help='the rules, such as {"metric": "roc_auc"}; a key that is left out has its default',
)
COMMANDS = (
    Command(
        "validate",
        "score the validation rows, compare with LightGBM's scores, choose the threshold, measure the model",
        run="validate:validate",
        options=(
            RULES,
            option(
                "--card-json",
                default="",
                metavar="JSON",
                help="what the model card says of the model: texts purpose, owner, limits",
            ),
        ),
    ),
    Command(
        "predict",
        "score a day's features with a validated model",
        run="predict:predict",
        example="--model models/2026-11-14",
        options=(
            option("--model", required=True, metavar="PATH", help="a validated model, such as models/2026-11-21"),
            option("--model-version", type=or_empty(version), metavar="N", help="its version, to be recorded"),
            option("--model-run-id", metavar="ID", help="the run that made it, to be recorded"),
            option("--model-sha256", type=or_empty(sha256), metavar="HEX", help="refuse a model.txt of another sha256"),
            option(
                "--shadow",
                type=or_empty(version),
                metavar="N",
                help="score as version N in shadow: in shadows/{ds}-v{N}, beside the champion",
            ),
            SHARDS,
            SHARD,
        ),
    ),
    Command(
        "compare",
        "measure a model and the champion on the same rows, and decide whether it may replace it",
        run="compare:compare",
        example="--champion models/2026-11-14",
        options=(
            option(
                "--champion",
                default="",
                metavar="PATH",
                help="the model in production; if empty, there is none, and only the floors count",
            ),
            option("--champion-version", type=or_empty(version), metavar="N", help="its version, to be recorded"),
            option(
                "--incomparable",
                default="",
                metavar="WHY",
                help="why the champion cannot score these rows; the model does not pass then",
            ),
            RULES,
        ),
    ),
    Command(
        "compare-shadow",
        "compare the version in shadow with the champion on labelled days that both have scored",
        run="compare_shadow:compare_shadow",
        options=(
            option(
                "--days",
                type=whole_number(1, MOST_DAYS),
                required=True,
                metavar="N",
                help="after how many such days the comparison is complete",
            ),
            RULES,
        ),
        example="--days 3",
    ),
    Command(
        "evaluate",
        "measure a scored day, and how far its data has moved",
        run="evaluate:evaluate",
        options=(RULES, SHARDS, SHARD),
    ),
    Command(
        "confirm",
        "decide which crossed limits count, from the day and the days before it",
        run="confirm:confirm",
        options=(RULES,),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return run_stage("prediction", __doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
