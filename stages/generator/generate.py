"""The command `generate`: makes and publishes a day of data."""

import json
import logging
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from stagekit import Publication, publish, track

from dirt import KINDS
from patterns import daily_rows
from payment_schema import DATA_COLUMNS, SCHEMA, TARGET_COLUMNS
from payments import Batch, Order
from workers import batches, useful_processes

log = logging.getLogger("generator")


def generate(args: Namespace) -> Mapping[str, Any]:
    """Publish raw/{ds}; returns partition, rows, target rows, fraud rate and dirty rows by kind."""
    day = date.fromisoformat(args.ds)
    order = Order(args.seed, day, args.rows or daily_rows(args.seed, day), args.dirty)

    def work(publication: Publication) -> Mapping[str, Any]:
        return {"partition": publication.name, **write_day(order, args.processes, publication)}

    parameters = {"rows": order.rows, "dirty": order.dirty}
    return publish(args, f"raw/{day}", "generate", work, parameters=parameters, seed=order.seed)


def write_day(order: Order, processes: int | None, publication: Publication) -> dict[str, Any]:
    """Write data.csv, target.csv and schema.json; returns the counts. None as `processes`: as many as are useful."""
    count = processes or useful_processes(order.rows)
    log.info("making %s payments of %s with seed %d in %d process(es)", f"{order.rows:,}", order.day, order.seed, count)
    made = track(batches(order, count), "making payments", order.rows, "rows", lambda batch: batch.rows)
    counts = write_lines(publication, made)
    schema = json.dumps(SCHEMA, indent=2)
    publication.path("schema.json").write_text(schema + "\n", encoding="utf-8")
    return counts


def write_lines(publication: Publication, batches: Iterable[Batch]) -> dict[str, Any]:
    """Write data.csv and target.csv; returns rows, target rows, fraud rate and dirty rows by kind."""
    rows = target_rows = frauds = 0
    dirty_rows = Counter(dict.fromkeys(KINDS, 0))
    with (
        publication.path("data.csv").open("wb") as data,
        publication.path("target.csv").open("wb") as target,
    ):
        data.write(f"{','.join(DATA_COLUMNS)}\n".encode())
        target.write(f"{','.join(TARGET_COLUMNS)}\n".encode())
        for batch in batches:
            data.write(batch.data)
            target.write(batch.target)
            rows, target_rows, frauds = rows + batch.rows, target_rows + batch.target_rows, frauds + batch.frauds
            dirty_rows.update(batch.dirty_rows)
    publication.rows |= {"data.csv": rows, "target.csv": target_rows}
    fraud_rate = round(frauds / target_rows, 5) if target_rows else None
    return {"rows": rows, "target_rows": target_rows, "fraud_rate": fraud_rate, "dirty_rows": dict(dirty_rows)}
