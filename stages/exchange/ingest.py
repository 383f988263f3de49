"""`ingest`: take in a day's data, its targets or both as they are delivered, and publish them as incoming/{ds}."""

import logging
from argparse import Namespace
from collections.abc import Mapping
from datetime import date
from typing import Any

from stagekit import BadInput, NotReady, Publication, UsageError, publish

from connection import Connection, read_connection
from places import SNAPSHOT, one_of, split_address

log = logging.getLogger(__name__)

DATA, TARGET = "data", "target"
# The day in a query.
DAY = "$1"
LATER = "Labels that come later need a Dag of their own: ingest with the target alone, then import-target --incoming"


def ingest(args: Namespace) -> Mapping[str, Any]:
    """A query's rows in Parquet, or an object's bytes, to incoming/{ds}: data, target or both.

    A target that is not there yet is no error: labels may come later than the data.
    """
    queries = _given({DATA: args.query, TARGET: args.target_query})
    objects = _given({DATA: args.object, TARGET: args.target_object})
    if (args.query and args.target_object) or (args.object and args.target_query):
        raise UsageError(
            "data and target come from two places",
            expected="two queries, or two objects",
            do="name --query with --target-query, or --object with --target-object",
        )
    one_of(("--query or --target-query", queries), ("--object or --target-object", objects))
    sources = queries or objects
    connection = read_connection(args.connection)

    def work(publication: Publication) -> dict[str, Any]:
        take = _take_queries if queries else _take_objects
        return take(connection, sources, args, publication)

    # Labels that come later leave the data as it was taken in.
    step = "ingest" if DATA in sources else "ingest-target"
    # A server may have other data on each call.
    return publish(args, f"incoming/{args.ds}", step, work, reuse=False)


def _given(sources: Mapping[str, str | None]) -> dict[str, str]:
    return {file: source for file, source in sources.items() if source}


def _take_queries(
    connection: Connection, sources: Mapping[str, str], args: Namespace, publication: Publication
) -> dict[str, Any]:
    from columns import plain
    from database import address, session
    from parquet_file import write_parts

    for query in sources.values():
        if DAY not in query and not args.snapshot:
            raise UsageError(
                "a query without $1 gives the same rows on each day",
                expected="$1, the day, a date",
                do=f"write for instance WHERE day = $1{SNAPSHOT}",
            )
    for file, query in sources.items():
        with session(connection) as database:
            day = [date.fromisoformat(args.ds)] if DAY in query else []
            parts = map(plain, database.parts(query, *day))
            publication.rows[file] = write_parts(parts, publication.path(file))
        if publication.rows[file]:
            log.info("%d rows of %s from %s", publication.rows[file], file, address(connection))
            continue
        missing = NotReady(f"the query for {file} gives no rows for {args.ds}", expected="the day's rows",
                           do="wait for them, or correct the query")  # fmt: skip
        _require_only_labels_missing(file, missing, sources)
        del publication.rows[file]
    return {"source": address(connection), "rows": publication.rows}


def _take_objects(
    connection: Connection, sources: Mapping[str, str], args: Namespace, publication: Publication
) -> dict[str, Any]:
    from object_store import Bucket

    found = {}
    for file, source in sources.items():
        bucket, path = split_address(source, args.ds, args.snapshot)
        try:
            found[file] = Bucket(connection, bucket).download(path, publication.path(file))
        except NotReady as missing:
            _require_only_labels_missing(file, missing, sources)
            continue
        if not found[file]["size"]:
            raise BadInput(
                f"the object s3://{bucket}/{path} is empty", expected="a file with rows", do="deliver it again"
            )
        log.info("%d bytes of %s from s3://%s/%s", found[file]["size"], file, bucket, path)
    return {"objects": found}


def _require_only_labels_missing(file: str, missing: NotReady, sources: Mapping[str, str]) -> None:
    """Errors: `missing`, unless it is about the targets: the day can be used without them.

    Targets that are asked for with their data are usually asked for once.
    """
    if file != TARGET:
        raise missing
    if DATA in sources:
        log.warning("no labels yet: %s; the day is taken in without them. %s", missing, LATER)
    else:
        log.info("no labels yet: %s", missing)
