"""`prepare`: check data.csv and target.csv row by row, join them by key, and write the good and the rejected rows."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish, read_partition

from table_schema import read_schema


def run(args: Namespace) -> Mapping[str, Any]:
    """raw/{ds} to processed/{ds}: train_data.csv and rejected.csv."""
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["data.csv", "target.csv", "schema.json"])
    schema = read_schema(raw / "schema.json", f"{raw.name}/schema.json")

    def work(publication: Publication) -> dict[str, Any]:
        from day_rows import write_joined

        counts = write_joined(raw, schema, publication)
        counts.report(args.max_rejected, raw.name)
        return {"partition": publication.name, **counts.result()}

    return publish(
        args, f"processed/{args.ds}", "prepare", work, inputs=[raw], parameters={"max_rejected": args.max_rejected}
    )
