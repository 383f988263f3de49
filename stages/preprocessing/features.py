"""`features`: check data.csv row by row, and write the features that a model needs to score the day."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import BadInput, Publication, UsageError, partition_name, publish, read_partition
from stagekit.contract import read_encoder
from stagekit.shards import shard_of

from day_shards import read_shards, require_comparable
from deliveries import read_raw
from encoder import trained_schema
from table_schema import differences, read_schema, unknown_fields


def features(args: Namespace) -> Mapping[str, Any]:
    """raw/{ds} to features/{ds}, or to shadows/{ds}-v{N}: features.csv and rejected.csv.

    With --shards they are merged from the day's shards, which --shard has made.
    """
    name, shard = f"shadows/{args.ds}-v{args.shadow}" if args.shadow else f"features/{args.ds}", shard_of(args)
    if args.shards > 1 and args.shadow:
        raise UsageError("--shadow with --shards", expected="a day in shadow without shards", do="leave out --shards")
    raw = read_raw(args.data_dir, args.ds, ["data.csv", "schema.json"])
    model = read_partition(args.data_dir, partition_name(args.data_dir, args.model), ["encoder.json"])
    schema = read_schema(raw / "schema.json", f"{raw.name}/schema.json", scoring=True)
    encoder = read_encoder(model)
    trained = trained_schema(encoder, model.name)
    if found := differences(schema, trained):
        raise BadInput(
            f"{raw.name}/schema.json differs from the schema of {model.name}: {'; '.join(found)}",
            expected="the same key, feature and time fields as the model was trained on",
            do="correct schema.json, or use a model that was trained on data of this schema",
        )
    unknown = unknown_fields(schema, trained)
    if args.shards > 1:
        require_comparable(schema, schema.data_columns, f"{raw.name}/schema.json")
    shards = read_shards(args, name, "features.csv", [raw, model], model=model.name)

    def work(publication: Publication) -> dict[str, Any]:
        from checked_table import Counts
        from csv_input import in_short
        from day_rows import write_features
        from merged_day import merge_shards, pass_on

        counts = Counts()
        if shards:
            merge_shards(shards, "features.csv", publication, counts)
        else:
            write_features(raw, schema, encoder, publication, counts, shard)
        if shard:
            pass_on(counts, publication)
        else:
            counts.report(args.max_rejected, raw.name)
        if unknown:
            counts.warnings.append(f"{model.name} does not know these fields, they are not used: {in_short(unknown)}")
        known = {"unknown_fields": unknown} if unknown else {}
        return {**counts.result(), "model": model.name, "features": len(encoder.features), **known}

    parameters = {"max_rejected": args.max_rejected, "model": model.name}
    place = shard.place(name) if shard else name
    return publish(args, place, "features", work, inputs=[raw, model, *shards], parameters=parameters)
