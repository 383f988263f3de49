"""Training: fits a LightGBM model to a day's encoded data, with early stopping on its validation side.

Reads: processed/{ds}: train.csv, val.csv, encoder.json.
Writes: models/{ds}: model.txt (the trees up to the best iteration), encoder.json (as it was read), params.json,
    feature_importance.csv, reference_scores.csv.
Exit codes: 0 done, 1 failed, 2 wrong usage or parameters, 3 bad input data, 4 input not there yet.

The same input, parameters and image give the same bytes, however many CPUs there are.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stagekit import LATER, Command, Publication, read_partition, run_stage

INPUTS = ("train.csv", "val.csv", "encoder.json")


def run(args: argparse.Namespace) -> Mapping[str, Any]:
    """Train on processed/{ds}, publish models/{ds}; returns what the result line says."""
    processed, model = read_partition(args.data_dir, f"processed/{args.ds}", INPUTS), f"models/{args.ds}"
    # LightGBM completes the parameters. They follow from the command line, the target's classes and the image, so a
    # model that is up to date is found without them, and need not wait for LightGBM; nor does --help.
    with Publication(args.data_dir, model, "train", inputs=[processed], parameters=LATER) as publication:
        import fitting
        import lightgbm_parameters

        given = lightgbm_parameters.gather(args.params, args.params_json, args.param)
        return fitting.train_day(processed, publication, given, args.log_every)


def _positive(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--params", type=Path, metavar="FILE", help="LightGBM parameters, a JSON object in a file")
    add("--params-json", metavar="JSON", help="LightGBM parameters, a JSON object; wins over --params")
    add(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one LightGBM parameter, any number of times; wins over both",
    )
    add("--log-every", type=_positive, default=10, metavar="N", help="iterations per log line (default: %(default)s)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit code."""
    command = Command("train", "fit a model to a day's encoded data", run, _configure)
    return run_stage("training", __doc__, [command], argv)


if __name__ == "__main__":
    raise SystemExit(main())
