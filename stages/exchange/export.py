"""`export`: bring a day's predictions to a table or an object. What is there of that day is replaced, in one step."""

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from connection import Connection, read_connection
from places import one_of, split_address

log = logging.getLogger(__name__)


def export(args: Namespace) -> Mapping[str, Any]:
    """predictions/{ds} with the model's version and run to a table of Postgres, or to an object in Parquet."""
    one_of(("--table", args.table), ("--object", args.object))
    place = split_address(args.object, args.ds) if args.object else None
    connection = read_connection(args.connection)
    from predictions import read_predictions

    predictions = read_predictions(args.data_dir, args.ds)
    if place:
        return _to_object(connection, *place, predictions)
    from table import replace_day

    result = replace_day(connection, args.table, predictions)
    log.info("%d rows to %s, %d replaced", result["rows"], result["table"], result["replaced"])
    return {**result, **predictions.model}


def _to_object(connection: Connection, bucket: str, path: str, predictions: Any) -> Mapping[str, Any]:
    from object_store import Bucket
    from parquet_file import write_parts
    from predictions import explained

    address = f"s3://{bucket}/{path}"
    with Bucket(connection, bucket).writer(path) as file, explained(predictions):
        rows = write_parts(predictions.parts(), file)
        predictions.require_rows(rows, address)
    log.info("%d rows to %s", rows, address)
    return {"object": address, "rows": rows, **predictions.model}
