"""`parquet`: write a day's predictions in Parquet too, with types and with the model, beside the CSV file."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish

from predictions import read_predictions


def parquet(args: Namespace) -> Mapping[str, Any]:
    """Add predictions.parquet to predictions/{ds}."""
    predictions = read_predictions(args.data_dir, args.ds)

    def work(publication: Publication) -> dict[str, Any]:
        from parquet_file import write_parts
        from predictions import explained

        with explained(predictions):
            rows = write_parts(predictions.parts(), publication.path("predictions.parquet"))
        predictions.require_rows(rows, "predictions.parquet")
        publication.rows["predictions.parquet"] = rows
        return {"rows": rows}

    return publish(
        args, predictions.partition.name, "parquet", work, inputs=[predictions.partition], parameters=predictions.model
    )
