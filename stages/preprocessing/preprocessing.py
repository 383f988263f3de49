"""preprocessing: checks, cleans, encodes and splits a day of data.

Reads   prepare          raw/{ds}: data.csv, target.csv, schema.json
        prepare --model  raw/{ds}: data.csv, schema.json; the model's encoder.json
        split            processed/{ds}/train_data.csv, raw/{ds}/schema.json
        import           three files, wherever they are
        infer-schema     CSV files, wherever they are
Writes  prepare          processed/{ds}: train_data.csv, rejected.csv
        prepare --model  features/{ds}: features.csv, rejected.csv
        split            processed/{ds}: train.csv, val.csv, encoder.json
        import           raw/{ds}: data.csv, target.csv, schema.json
        infer-schema     the file named by --out
Exit    0 done, 1 failed, 2 wrong usage, 3 bad input data, 4 input not there yet
"""

import argparse
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from stagekit import (
    BadInput,
    Command,
    Partition,
    Publication,
    StageError,
    UsageError,
    partition_name,
    read_partition,
    run_stage,
)

from table_schema import MOST_CATEGORIES, Schema, columns_kept, differences, read_schema

# What needs polars is imported where it is used: `--help` does without, and while a command's inputs are verified,
# polars is loaded beside.
if TYPE_CHECKING:
    import polars as pl

    from encoder import Encoder
    from prepare import Counts

log = logging.getLogger(__name__)

Run = Callable[[argparse.Namespace], Mapping[str, Any]]


def run_prepare(args: argparse.Namespace) -> dict[str, Any]:
    """raw to processed, or with --model to features."""
    return _prepare_features(args) if args.model else _prepare_training(args)


def _prepare_training(args: argparse.Namespace) -> dict[str, Any]:
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["data.csv", "target.csv", "schema.json"])
    schema = read_schema(raw / "schema.json", f"{raw.name}/schema.json")
    names = columns_kept(schema)
    with Publication(
        args.data_dir, f"processed/{args.ds}", "prepare", inputs=[raw], parameters={"max_rejected": args.max_rejected}
    ) as publication:
        counts = _write(args, publication, raw, schema, "train_data.csv", lambda rows: rows.select(names), target=True)
    return _told(counts, publication)


def _prepare_features(args: argparse.Namespace) -> dict[str, Any]:
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["data.csv", "schema.json"])
    model = read_partition(args.data_dir, partition_name(args.data_dir, args.model), ["encoder.json"])
    schema = read_schema(raw / "schema.json", f"{raw.name}/schema.json", scoring=True)
    from encoder import read_encoder

    encoder = read_encoder(model / "encoder.json", f"{model.name}/encoder.json")
    _require_same_schema(schema, encoder, raw, model)
    with Publication(
        args.data_dir,
        f"features/{args.ds}",
        "features",
        inputs=[raw, model],
        parameters={"max_rejected": args.max_rejected, "model": model.name},
    ) as publication:
        counts = _write(
            args, publication, raw, schema, "features.csv", lambda rows: encoder.encode(rows, encoder.key), target=False
        )
    return {**_told(counts, publication), "model": model.name, "features": len(encoder.features)}


def _require_same_schema(schema: Schema, encoder: "Encoder", raw: Partition, model: Partition) -> None:
    if found := differences(schema, encoder.schema):
        raise BadInput(
            f"{raw.name}/schema.json differs from the schema of {model.name}: {'; '.join(found)}",
            expected="the same key, feature and time fields as the model was trained on",
            do="correct schema.json, or use a model that was trained on data of this schema",
        )


def _write(
    args: argparse.Namespace,
    publication: Publication,
    raw: Partition,
    schema: Schema,
    output: str,
    columns: "Callable[[pl.DataFrame], pl.DataFrame]",
    *,
    target: bool,
) -> "Counts":
    from prepare import prepare, require_enough

    # Below the publication's own temporary folder: a killed run leaves nothing that the next one does not remove.
    scratch = publication.path("scratch")
    outputs = publication.path(output), publication.path("rejected.csv")
    counts = prepare(raw.path, raw.name, schema, scratch, outputs, columns, with_target=target)
    shutil.rmtree(scratch)
    require_enough(counts, args.max_rejected, raw.name)
    publication.rows = {output: counts.written, "rejected.csv": sum(counts.rejected.values())}
    return counts


def _told(counts: "Counts", publication: Publication) -> dict[str, Any]:
    return {
        "partition": publication.name,
        "rows_in": counts.rows["data.csv"],
        "rows_out": counts.written,
        "rejected": counts.rejected,
        "reasons": dict(sorted(counts.reasons.items())),
    }


def run_split(args: argparse.Namespace) -> dict[str, Any]:
    """train_data.csv to train.csv, val.csv and encoder.json."""
    processed = read_partition(args.data_dir, f"processed/{args.ds}", ["train_data.csv"])
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["schema.json"])
    made_with = processed.meta["steps"]["prepare"]["inputs"].get(f"{raw.name}/schema.json")
    if made_with != raw.hashes[f"{raw.name}/schema.json"]:
        raise BadInput(
            f"{raw.name}/schema.json has changed since {processed.name}/train_data.csv was made",
            expected="the schema that the data was checked with",
            do="run `preprocessing prepare` again",
        )
    from split import TrainData, split

    schema = read_schema(raw / "schema.json", f"{raw.name}/schema.json")
    parameters = {"val_fraction": args.val_fraction, "max_categories": args.max_categories}
    with Publication(
        args.data_dir, processed.name, "split", inputs=[processed, raw], parameters=parameters, seed=args.seed
    ) as publication:
        scratch = publication.path("scratch")
        data = TrainData(processed / "train_data.csv", schema, f"{processed.name}/train_data.csv", scratch)
        outputs = publication.path("train.csv"), publication.path("val.csv"), publication.path("encoder.json")
        told = split(data, args.val_fraction, args.seed, args.max_categories, outputs)
        shutil.rmtree(scratch)
        publication.rows = {"train.csv": told["train_rows"], "val.csv": told["val_rows"]}
    return {"partition": processed.name, **told}


def run_import(args: argparse.Namespace) -> dict[str, Any]:
    """Own files to raw; with no file named, those that lie in raw/{ds} already get their commit mark."""
    from own_data import import_files

    named = {"data.csv": args.data, "target.csv": args.target, "schema.json": args.schema}
    return import_files(args.data_dir, args.ds, {name: path for name, path in named.items() if path})


def run_infer_schema(args: argparse.Namespace) -> dict[str, Any]:
    """A first draft of schema.json."""
    if args.out.exists() and not args.force:
        raise UsageError(f"{args.out} is there already", do="name another file with --out, or add --force")
    from own_data import infer_schema

    schema = infer_schema(args.data, args.target, args.key, args.entity, args.missing)
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    args.out.write_text(text, encoding="utf-8")
    roles = {field["name"]: f"{field['role']} ({field['type']})" for field in schema["fields"]}
    return {"schema": str(args.out), "fields": roles}


def _fraction(text: str, *, open_ends: bool) -> float:
    value = float(text)
    if (0 < value < 1) if open_ends else (0 <= value <= 1):
        return value
    raise argparse.ArgumentTypeError(
        f"{text} is not {'between' if open_ends else 'from'} 0 {'and' if open_ends else 'to'} 1"
    )


def _categories(text: str) -> int:
    if 1 <= int(text) <= MOST_CATEGORIES:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_CATEGORIES}")


def _configure_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-rejected",
        type=lambda text: _fraction(text, open_ends=False),
        default=0.1,
        metavar="FRACTION",
        help="fail when more than this fraction of a file's rows is rejected (default: %(default)s)",
    )
    parser.add_argument(
        "--model", metavar="PARTITION", help="prepare unlabelled data for this model, such as models/2026-11-21"
    )


def _configure_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--val-fraction",
        type=lambda text: _fraction(text, open_ends=True),
        default=0.2,
        metavar="FRACTION",
        help="how many of the rows validate the model (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides which rows these are (default: %(default)s)")
    parser.add_argument(
        "--max-categories",
        type=_categories,
        default=MOST_CATEGORIES,
        metavar="N",
        help="values of a text feature that are told apart (default and most: %(default)s)",
    )


def _configure_import(parser: argparse.ArgumentParser) -> None:
    for name, what in (
        ("data", "the rows to learn from or to score"),
        ("target", "what is to be predicted, by key; not for a day that is only scored"),
        ("schema", "the Table Schema of both"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)


def _configure_infer_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="a data.csv")
    parser.add_argument("--target", type=Path, metavar="FILE", help="its target.csv")
    parser.add_argument(
        "--key", action="append", default=[], metavar="COLUMN", help="identifies a row; may be repeated"
    )
    parser.add_argument("--entity", metavar="COLUMN", help="what rows belong to, such as a customer")
    parser.add_argument(
        "--missing", action="append", default=[], metavar="TEXT", help='means "missing", such as NA; may be repeated'
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the schema")
    parser.add_argument("--force", action="store_true", help="overwrite that file")


def _with_polars(run: Run) -> Run:
    """Load polars beside the first steps of a command, and give the errors of its native code their numbers back:
    it raises them without, and the shared messages go by them."""

    @wraps(run)
    def wrapped(args: argparse.Namespace) -> Mapping[str, Any]:
        Thread(target=import_module, args=("polars",), name="polars").start()
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
        _with_polars(run_prepare),
        _configure_prepare,
    ),
    Command(
        "split",
        "Split a prepared day in rows to train and rows to validate; fit the encoder.",
        _with_polars(run_split),
        _configure_split,
    ),
    Command(
        "import",
        "Publish own files as a day's raw data: those named, or those that lie in raw/{ds} already.",
        _with_polars(run_import),
        _configure_import,
    ),
    Command(
        "infer-schema",
        "Draft a schema.json from CSV files.",
        _with_polars(run_infer_schema),
        _configure_infer_schema,
        needs_ds=False,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns the exit code."""
    return run_stage("preprocessing", __doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
