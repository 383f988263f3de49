"""Emulates the daily feed of card payments: a day's payments and, in a file of their own, which were fraud.

Reads nothing. Writes /data/raw/{ds}: data.csv (key and features), target.csv (key and label), schema.json.

The same --ds, --seed, --rows and --dirty give the same bytes, wherever and whenever they are made. Customers
and merchants depend on the seed alone, so customers come back; the rest depends on the day as well.

Exit codes: 0 done, 1 failed (cannot write, disk full), 2 wrong usage.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from stagekit import Command, Publication, run_stage

from dirt import KINDS
from patterns import daily_rows
from payment_schema import DATA_COLUMNS, SCHEMA, TARGET_COLUMNS
from payments import Batch, Order
from workers import MOST_PROCESSES, batches, useful_processes

# Keys number twice as many: a target line without a row has a key beyond the day's rows.
MOST_ROWS = 500_000_000
PROGRESS_ROWS = 1_000_000

log = logging.getLogger("generator")


def run(args: argparse.Namespace) -> Mapping[str, Any]:
    """Make and publish the day; returns the counts for the result line."""
    day = date.fromisoformat(args.ds)
    rows = args.rows or daily_rows(args.seed, day)
    order = Order(args.seed, day, rows, args.dirty)
    processes = args.processes or useful_processes(rows)
    parameters = {"rows": rows, "dirty": args.dirty}
    with Publication(args.data_dir, f"raw/{day}", "generate", parameters=parameters, seed=args.seed) as publication:
        log.info("making %s payments of %s with seed %d in %d process(es)", f"{rows:,}", day, args.seed, processes)
        counts = write_lines(publication, batches(order, processes), rows)
        schema = json.dumps(SCHEMA, indent=2)
        publication.path("schema.json").write_text(schema + "\n", encoding="utf-8")
    return {"partition": publication.name, **counts}


def write_lines(publication: Publication, batches: Iterable[Batch], expected_rows: int) -> dict[str, Any]:
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
            if rows // PROGRESS_ROWS < (rows + batch.rows) // PROGRESS_ROWS:
                log.info("%s of %s payments", f"{rows + batch.rows:,}", f"{expected_rows:,}")
            rows, target_rows, frauds = rows + batch.rows, target_rows + batch.target_rows, frauds + batch.frauds
            dirty_rows.update(batch.dirty_rows)
    publication.rows |= {"data.csv": rows, "target.csv": target_rows}
    fraud_rate = round(frauds / target_rows, 5) if target_rows else None
    return {"rows": rows, "target_rows": target_rows, "fraud_rate": fraud_rate, "dirty_rows": dict(dirty_rows)}


def _number(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], Any]:
    """An argument type: a number of this kind from `least` to `most`."""

    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = most + 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind.__name__} from {least} to {most}")
        return number

    return parse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this stage's options."""
    add = parser.add_argument
    add("--rows", type=_number(int, 1, MOST_ROWS), metavar="N", help="exactly N rows (default: about 20,000, by date)")
    add("--seed", type=int, default=42, metavar="N", help="another seed is another world (default: %(default)s)")
    add(
        "--dirty",
        type=_number(float, 0, 1),
        default=0.015,
        metavar="SHARE",
        help="share of dirty rows, 0 to 1 (default: %(default)s)",
    )
    add(
        "--processes",
        type=_number(int, 1, MOST_PROCESSES),
        metavar="N",
        help="does not change the data (default: by rows and processors)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit code."""
    description = "Emulates the daily feed of card payments with a fraud label."
    return run_stage("generator", description, [Command("generate", "make a day of data", run, configure)], argv)


if __name__ == "__main__":
    sys.exit(main())
