"""What each command does: verify what it reads, have the work done, publish what came of it.

A day that was made before, in the same way from the same inputs, ends when its publication is opened. So whatever
needs polars is imported after that: such a day does not load it, nor does `--help`.
"""

import argparse
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stagekit import BadInput, Partition, Publication, UsageError, partition_name, read_partition

from encoder import read_encoder, what_cannot_be_compared
from own_data import import_files
from table_schema import Schema, columns_kept, differences, read_schema

if TYPE_CHECKING:
    import polars as pl

    from prepare import Counts

log = logging.getLogger(__name__)

SHOWN_DIFFERENCES, SHOWN_CHARACTERS = 5, 200


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
    encoder = read_encoder(model / "encoder.json", f"{model.name}/encoder.json")
    _require_same_schema(schema, encoder.schema, raw, model)
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


def _require_same_schema(schema: Schema, trained_on: Schema, raw: Partition, model: Partition) -> None:
    if found := differences(schema, trained_on):
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
    schema = read_schema(raw / "schema.json", f"{raw.name}/schema.json")
    parameters = {"val_fraction": args.val_fraction, "max_categories": args.max_categories}
    with Publication(
        args.data_dir, processed.name, "split", inputs=[processed, raw], parameters=parameters, seed=args.seed
    ) as publication:
        from split import TrainData, split

        scratch = publication.path("scratch")
        data = TrainData(processed / "train_data.csv", schema, f"{processed.name}/train_data.csv", scratch)
        outputs = publication.path("train.csv"), publication.path("val.csv"), publication.path("encoder.json")
        told = split(data, args.val_fraction, args.seed, args.max_categories, outputs)
        shutil.rmtree(scratch)
        publication.rows = {"train.csv": told["train_rows"], "val.csv": told["val_rows"]}
    return {"partition": processed.name, **told}


def run_encode_validation(args: argparse.Namespace) -> dict[str, Any]:
    """The rows of val.csv in a model's encoding, so that this model can be measured on them.

    Data changes in the life of a model: where this day's has other fields or classes, that is what is told.
    """
    if not args.model:
        return {"champion": None}
    processed = read_partition(args.data_dir, f"processed/{args.ds}", ["train_data.csv", "val.csv", "encoder.json"])
    model = read_partition(args.data_dir, partition_name(args.data_dir, args.model), ["encoder.json"])
    own = read_encoder(processed / "encoder.json", f"{processed.name}/encoder.json")
    encoder = read_encoder(model / "encoder.json", f"{model.name}/encoder.json")
    if found := what_cannot_be_compared(own, encoder):
        log.warning("%s cannot be measured on %s: %s", model.name, processed.name, "; ".join(found))
        return {"champion": model.name, "incomparable": _in_short(found)}
    fraction, seed = _recorded_split(processed)
    with Publication(
        args.data_dir,
        f"comparisons/{args.ds}",
        "encode",
        inputs=[processed, model],
        parameters={"model": model.name, "val_fraction": fraction},
        seed=seed,
    ) as publication:
        from encode_validation import encode_validation
        from split import TrainData

        scratch = publication.path("scratch")
        data = TrainData(processed / "train_data.csv", own.schema, f"{processed.name}/train_data.csv", scratch)
        val = processed / "val.csv", f"{processed.name}/val.csv"
        rows = encode_validation(data, own.classes, fraction, seed, val, encoder, publication.path("val.csv"))
        shutil.rmtree(scratch)
        publication.rows = {"val.csv": rows}
    told = {"rows": rows, "features": len(encoder.features)}
    return {"partition": publication.name, "champion": model.name, "incomparable": None, **told}


def _in_short(found: Sequence[str]) -> str:
    """The first differences, for a text that travels on command lines."""
    more = f"; and {len(found) - SHOWN_DIFFERENCES} more" if len(found) > SHOWN_DIFFERENCES else ""
    return "; ".join(text[:SHOWN_CHARACTERS] for text in found[:SHOWN_DIFFERENCES]) + more


def _recorded_split(processed: Partition) -> tuple[float, int]:
    """The fraction and the seed that val.csv was made with."""
    record = processed.meta["steps"].get("split", {})
    fraction, seed = record.get("parameters", {}).get("val_fraction"), record.get("seed")
    if not isinstance(fraction, float) or not isinstance(seed, int):
        raise BadInput(
            f"the mark of {processed.name} does not say how val.csv was chosen: "
            f"val_fraction is {fraction!r}, seed is {seed!r}",
            expected="both in its step `split`",
            do="run `preprocessing split` again",
        )
    return fraction, seed


def run_import(args: argparse.Namespace) -> dict[str, Any]:
    """Own files to raw; with no file named, those that lie in raw/{ds} already get their commit mark."""
    named = {"data.csv": args.data, "target.csv": args.target, "schema.json": args.schema}
    return import_files(args.data_dir, args.ds, {name: path for name, path in named.items() if path})


def run_infer_schema(args: argparse.Namespace) -> Mapping[str, Any]:
    """A first draft of schema.json."""
    if args.out.exists() and not args.force:
        raise UsageError(f"{args.out} is there already", do="name another file with --out, or add --force")
    from schema_draft import infer_schema

    schema = infer_schema(args.data, args.target, args.key, args.entity, args.missing)
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    args.out.write_text(text, encoding="utf-8")
    roles = {field["name"]: f"{field['role']} ({field['type']})" for field in schema["fields"]}
    return {"schema": str(args.out), "fields": roles}
