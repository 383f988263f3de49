"""`ingest`: take in a day's data as it is delivered, and publish it as incoming/{ds}."""

import logging
from argparse import Namespace
from collections.abc import Mapping
from datetime import date
from typing import Any

from stagekit import BadInput, NotReady, Publication, UsageError, publish

from connection import Connection, read_connection
from places import one_of, split_address

log = logging.getLogger(__name__)

DATA, TARGET = "data", "target"


def ingest(args: Namespace) -> Mapping[str, Any]:
    """A query's rows in Parquet, or an object's bytes, to incoming/{ds}: data, and target if it comes by itself."""
    one_of(("--query", args.query), ("--object", args.object))
    if (args.target_query and not args.query) or (args.target_object and not args.object):
        raise UsageError("data and target come from two places", expected="two queries, or two objects", do="do so")
    sources = {DATA: args.query or args.object, TARGET: args.target_query or args.target_object}
    sources = {file: source for file, source in sources.items() if source}
    connection = read_connection(args.connection)

    def work(publication: Publication) -> dict[str, Any]:
        take = _take_queries if args.query else _take_objects
        return take(connection, sources, args.ds, publication)

    # A server may have other data on each call.
    return publish(args, f"incoming/{args.ds}", "ingest", work, reuse=False)


def _take_queries(
    connection: Connection, sources: Mapping[str, str], ds: str, publication: Publication
) -> dict[str, Any]:
    from columns import plain
    from database import address, session
    from parquet_file import write_parts

    for query in sources.values():
        if "$1" not in query:
            raise UsageError("a query without $1 gives the same rows on each day", expected="$1, the day, a date",
                             do="write for instance WHERE day = $1")  # fmt: skip
    for file, query in sources.items():
        with session(connection) as database:
            parts = map(plain, database.parts(query, date.fromisoformat(ds)))
            publication.rows[file] = write_parts(parts, publication.path(file))
        if not publication.rows[file]:
            raise NotReady(f"the query for {file} gives no rows for {ds}", expected="the day's rows",
                           do="wait for them, or correct the query")  # fmt: skip
        log.info("%d rows of %s from %s", publication.rows[file], file, address(connection))
    return {"source": address(connection), "rows": publication.rows}


def _take_objects(
    connection: Connection, sources: Mapping[str, str], ds: str, publication: Publication
) -> dict[str, Any]:
    from object_store import Bucket

    found = {}
    for file, source in sources.items():
        bucket, path = split_address(source, ds)
        found[file] = Bucket(connection, bucket).download(path, publication.path(file))
        if not found[file]["size"]:
            raise BadInput(
                f"the object s3://{bucket}/{path} is empty", expected="a file with rows", do="deliver it again"
            )
        log.info("%d bytes of %s from s3://%s/%s", found[file]["size"], file, bucket, path)
    return {"objects": found}
