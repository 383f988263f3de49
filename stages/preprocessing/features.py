"""`features`: check data.csv row by row, and write the features that a model needs to score the day."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import BadInput, Publication, partition_name, publish, read_partition
from stagekit.contract import read_encoder

from encoder import trained_schema
from table_schema import differences, read_schema, unknown_fields


def features(args: Namespace) -> Mapping[str, Any]:
    """raw/{ds} to features/{ds}, or to shadows/{ds}-v{N}: features.csv and rejected.csv."""
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["data.csv", "schema.json"])
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

    def work(publication: Publication) -> dict[str, Any]:
        from csv_input import in_short
        from day_rows import write_features

        counts = write_features(raw, schema, encoder, publication)
        counts.report(args.max_rejected, raw.name)
        if unknown:
            counts.warnings.append(f"{model.name} does not know these fields, they are not used: {in_short(unknown)}")
        known = {"unknown_fields": unknown} if unknown else {}
        return {**counts.result(), "model": model.name, "features": len(encoder.features), **known}

    parameters = {"max_rejected": args.max_rejected, "model": model.name}
    name = f"shadows/{args.ds}-v{args.shadow}" if args.shadow else f"features/{args.ds}"
    return publish(args, name, "features", work, inputs=[raw, model], parameters=parameters)
