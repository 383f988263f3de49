"""Checks, cleans, encodes and splits a day of data.

Reads   prepare            raw/{ds}: data.csv, schema.json, target.csv and its later deliveries
        split              processed/{ds}: train_data.csv; raw/{ds}: schema.json; the same of the days before
        features           raw/{ds}: data.csv, schema.json; the model's encoder.json
        label              raw/{ds}: labels, schema.json; predictions/{ds}, and encoder.json of the model that it names
        encode-validation  processed/{ds}: val_data.csv, encoder.json; the model's encoder.json
        encode-days        processed/{day}: train_data.csv; raw/{day}: schema.json, target.csv and its later deliveries
        import             CSV or Parquet files and a schema.json, in any folder; or incoming/{ds}
        import-target      a CSV or Parquet file, in any folder, or incoming/{ds}; raw/{ds}: data.csv, schema.json
        late-labels        the marks of raw, labels, features, predictions and reports
        infer-schema       CSV or Parquet files, in any folder
Writes  prepare            processed/{ds}: train_data.csv, rejected.csv
        split              processed/{ds}: train.csv, val.csv, val_data.csv, encoder.json
        features           features/{ds}: features.csv, rejected.csv; with --shadow N in shadows/{ds}-v{N}
        label              labels/{ds}: labels.csv, rejected.csv
        encode-validation  comparisons/{ds}: val.csv
        encode-days        backtests/{ds}: {day}.csv for each day, encoder.json, left_out.json
        import             raw/{ds}: data.csv, target.csv, schema.json
        import-target      raw/{ds}: target.csv; target-2.csv and so on for later deliveries
        infer-schema       the file that --out names
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input data, 4 input not there yet.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from stagekit import Command, option, run_stage
from stagekit.as_of import MADE_AS_OF
from stagekit.options import fraction, inner_fraction, or_empty, version, whole_number
from stagekit.shards import SHARD, SHARDS

from container_options import DELIMITER, ENCODING
from deliveries import ARRIVED, AS_OF
from infer_schema import assumption
from table_schema import MOST_CATEGORIES, MOST_REJECTED

MAX_REJECTED = option(
    "--max-rejected",
    type=fraction,
    default=MOST_REJECTED,
    metavar="FRACTION",
    help="fail if more than this fraction of a file's rows is rejected (default: %(default)s)",
)
MOST_DAYS, MOST_LATE = 366, 100
# The examples of what reads own files.
OWN_FILES = '-v "$PWD":/own:ro'

DAYS = option(
    "--days",
    type=whole_number(1, MOST_DAYS),
    default=1,
    metavar="N",
    help="how many days, up to the day; an earlier one that cannot be used is left out (default: %(default)s)",
)

COMMANDS = (
    Command(
        "prepare",
        "check a day's data and target, and join them",
        run="prepare:prepare",
        options=(DAYS, AS_OF, MAX_REJECTED, SHARDS, SHARD),
    ),
    Command(
        "split",
        "split a prepared day into rows that train and rows that validate, and fit the encoder",
        run="split:split",
        options=(
            DAYS,
            MADE_AS_OF,
            option(
                "--min-days",
                type=whole_number(1, MOST_DAYS),
                default=1,
                metavar="N",
                help="fail if fewer days can be used (default: %(default)s)",
            ),
            option(
                "--val-fraction",
                type=inner_fraction,
                default=0.2,
                metavar="FRACTION",
                help="which fraction of the rows validates the model, at most with several days (default: %(default)s)",
            ),
            option("--seed", type=int, default=0, help="decides which rows these are (default: %(default)s)"),
            option(
                "--max-categories",
                type=whole_number(1, MOST_CATEGORIES),
                default=MOST_CATEGORIES,
                metavar="N",
                help="how many values of a text feature the encoder keeps (default and most: %(default)s)",
            ),
        ),
    ),
    Command(
        "features",
        "check a day's data and make the features that a model needs to score it",
        run="features:features",
        example="--model models/2026-11-14",
        options=(
            option("--model", required=True, metavar="PARTITION", help="the model, such as models/2026-11-21"),
            option(
                "--shadow",
                type=or_empty(version),
                metavar="N",
                help="for version N in shadow: into shadows/{ds}-v{N}, not features/{ds}",
            ),
            MAX_REJECTED,
            SHARDS,
            SHARD,
        ),
    ),
    Command(
        "label",
        "check a scored day's labels, and write their classes as the model names them",
        run="label:label",
        options=(AS_OF, SHARDS, SHARD),
    ),
    Command(
        "encode-validation",
        "encode the rows that validate for another model",
        run="encode_validation:encode_validation",
        example="--model models/2026-11-14",
        options=(
            option(
                "--model",
                metavar="PARTITION",
                help="the model, such as models/2026-11-15; without one, or if it is empty, nothing is written",
            ),
        ),
    ),
    Command(
        "encode-days",
        "encode prepared days for a backtest, each row with the day on which its label was known",
        run="encode_days:encode_days",
        example="--days 60",
        options=(DAYS,),
    ),
    Command(
        "import",
        "publish your own files as a day's raw data: the files named, or the files that are in raw/{ds} already",
        run="import_:import_",
        example="--data /own/data.csv --target /own/target.csv --schema /data/schema.json",
        docker=OWN_FILES,
        options=(
            option(
                "--data",
                type=Path,
                metavar="FILE",
                help="the rows to learn from or to score, in CSV or Parquet, also with the label inside",
            ),
            option(
                "--target",
                type=Path,
                metavar="FILE",
                help="the classes by key, if they are not in the data; not for a day that is only scored",
            ),
            option("--schema", type=Path, metavar="FILE", help="schema.json: a Table Schema; see `infer-schema`"),
            option("--incoming", action="store_true", help="data and target are what `exchange ingest` has taken in"),
            ARRIVED,
            DELIMITER,
            ENCODING,
        ),
    ),
    Command(
        "import-target",
        "publish labels that came after a day's data; in several deliveries, the newest label of a key counts",
        run="import_target:import_target",
        example="--target /own/target.csv",
        docker=OWN_FILES,
        options=(
            option("--target", type=Path, metavar="FILE", help="the classes by key, in CSV or Parquet"),
            option("--incoming", action="store_true", help="they are what `exchange ingest` has taken in"),
            ARRIVED,
            DELIMITER,
            ENCODING,
        ),
    ),
    Command(
        "late-labels",
        "name the evaluated days whose labels have changed since; reads marks, writes nothing",
        run="late_labels:late_labels",
        publishes=False,
        options=(
            option(
                "--most",
                type=whole_number(1, MOST_LATE),
                default=30,
                metavar="N",
                help="how many days, the newest of them (default: %(default)s)",
            ),
        ),
    ),
    Command(
        "infer-schema",
        "draft a schema.json from your own files, with the reasons in it",
        run="infer_schema:infer_schema",
        example="--data /own/data.csv --target /own/target.csv --key id --out /data/schema.json",
        docker=OWN_FILES,
        needs_ds=False,
        publishes=False,
        options=(
            option("--data", type=Path, required=True, metavar="FILE", help="the rows, in CSV or Parquet"),
            option("--target", type=Path, metavar="FILE", help="the key and the target, if they are in their own file"),
            option("--target-column", metavar="COLUMN", help="the target, if it is a column of the data"),
            option("--key", action="append", default=[], metavar="COLUMN", help="identifies a row; can be repeated"),
            option("--entity", metavar="COLUMN", help="what rows belong to, such as a customer"),
            option("--weight", metavar="COLUMN", help="how much each row counts, a number above 0; no feature"),
            option(
                "--missing",
                action="append",
                default=[],
                metavar="TEXT",
                help='a text that means "missing", such as NA; can be repeated',
            ),
            option(
                "--assume",
                action="append",
                type=assumption,
                default=[],
                metavar="COLUMN=FORMAT",
                help="how to read a column: string, integer, number, boolean, date, datetime, epoch, epoch-ms, "
                "decimal-comma (1.234,5), decimal-point (1,234.5) or a pattern such as %%d/%%m/%%Y; can be repeated",
            ),
            DELIMITER,
            ENCODING,
            option("--out", type=Path, required=True, metavar="FILE", help="where to write the schema"),
            option("--force", action="store_true", help="overwrite that file"),
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns the exit code."""
    return run_stage("preprocessing", __doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
