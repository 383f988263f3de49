"""preprocessing: checks, cleans, encodes and splits a day of data.

Reads   prepare            raw/{ds}: data.csv, target.csv, schema.json
        prepare --model    raw/{ds}: data.csv, schema.json; the model's encoder.json
        split              processed/{ds}/train_data.csv, raw/{ds}/schema.json
        encode-validation  processed/{ds}: train_data.csv, val.csv, encoder.json; the model's encoder.json
        import             three files, wherever they are
        infer-schema       CSV files, wherever they are
Writes  prepare            processed/{ds}: train_data.csv, rejected.csv
        prepare --model    features/{ds}: features.csv, rejected.csv
        split              processed/{ds}: train.csv, val.csv, encoder.json
        encode-validation  comparisons/{ds}: val.csv
        import             raw/{ds}: data.csv, target.csv, schema.json
        infer-schema       the file named by --out
Exit    0 done, 1 failed, 2 wrong usage, 3 bad input data, 4 input not there yet
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from stagekit import Command, StageError, run_stage

from commands import run_encode_validation, run_import, run_infer_schema, run_prepare, run_split
from options import (
    configure_encode_validation,
    configure_import,
    configure_infer_schema,
    configure_prepare,
    configure_split,
)

Run = Callable[[argparse.Namespace], Mapping[str, Any]]


def _with_error_numbers(run: Run) -> Run:
    """Give errors of polars' native code their numbers back: it raises them without, and shared messages go by them."""

    @wraps(run)
    def wrapped(args: argparse.Namespace) -> Mapping[str, Any]:
        try:
            return run(args)
        except StageError:
            raise
        except Exception as error:
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None or getattr(error, "errno", None) is not None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error

    return wrapped


COMMANDS = (
    Command(
        "prepare",
        "Check and join a day's data; or, with --model, make its features.",
        _with_error_numbers(run_prepare),
        configure_prepare,
    ),
    Command(
        "split",
        "Split a prepared day in rows to train and rows to validate; fit the encoder.",
        _with_error_numbers(run_split),
        configure_split,
    ),
    Command(
        "encode-validation",
        "Encode the rows to validate once more, for a model that was trained before.",
        _with_error_numbers(run_encode_validation),
        configure_encode_validation,
    ),
    Command(
        "import",
        "Publish own files as a day's raw data: those named, or those that lie in raw/{ds} already.",
        _with_error_numbers(run_import),
        configure_import,
    ),
    Command(
        "infer-schema",
        "Draft a schema.json from CSV files.",
        _with_error_numbers(run_infer_schema),
        configure_infer_schema,
        needs_ds=False,
        publishes=False,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns the exit code."""
    return run_stage("preprocessing", __doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
