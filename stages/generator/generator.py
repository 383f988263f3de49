"""Emulates the daily feed of card payments: a day's payments and, in a file of their own, which were fraud.

Reads nothing. Writes /data/raw/{ds}: data.csv (features and key), target.csv (key and label), schema.json.

The same --ds, --seed, --rows and --dirty give the same bytes, wherever and whenever they are made. Customers
and merchants depend on the seed alone, so customers come back; the rest depends on the day as well.

Exit codes: 0 done, 1 failed (cannot write, disk full), 2 wrong usage.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from random import Random
from typing import Any

from calendar_patterns import daily_rows
from dirt import spoil_lines
from payment_schema import DATA_COLUMNS, SCHEMA, TARGET_COLUMNS
from payments import make_minutes, make_tables
from pools import make_customers, make_merchants
from stagekit import Command, Publication, run_stage

# Keys have nine digits, and a target line without a row has a key beyond the day's rows.
MOST_ROWS = 500_000_000
PROGRESS_ROWS = 1_000_000

log = logging.getLogger("generator")


def run(args: argparse.Namespace) -> Mapping[str, Any]:
    """Write and publish the day; returns the counts for the result line."""
    day = date.fromisoformat(args.ds)
    rows = daily_rows(args.seed, day) if args.rows is None else args.rows
    log.info("making %s payments of %s with seed %s", f"{rows:,}", day, args.seed)
    parameters = {"rows": rows, "dirty": args.dirty}
    with Publication(args.data_dir, f"raw/{day}", "generate", parameters=parameters, seed=args.seed) as publication:
        counts = write_day(publication, args.seed, day, rows, args.dirty)
        schema = json.dumps(SCHEMA, indent=2, ensure_ascii=False)
        publication.path("schema.json").write_text(schema + "\n", encoding="utf-8")
    return {"partition": publication.name, **counts}


def write_day(publication: Publication, seed: int, day: date, rows: int, dirty: float) -> dict[str, Any]:
    """Write data.csv and target.csv a minute at a time; returns rows, target rows, fraud rate, dirty rows."""
    tables = make_tables(seed, day, make_customers(seed), make_merchants(seed))
    kinds: Counter[str] = Counter()
    written = targets = frauds = 0
    with (
        publication.path("data.csv").open("w", encoding="utf-8", newline="") as data_file,
        publication.path("target.csv").open("w", encoding="utf-8", newline="") as target_file,
    ):
        data_file.write(",".join(DATA_COLUMNS) + "\n")
        target_file.write(",".join(TARGET_COLUMNS) + "\n")
        for minute, (data, target) in enumerate(make_minutes(seed, day, rows, tables)):
            kinds += spoil_lines(Random(f"{seed}/{day}/{minute}/dirt"), data, target, dirty, rows)
            data_file.write("\n".join(data) + "\n")
            target_file.write("\n".join(target) + "\n")
            if (written + len(data)) // PROGRESS_ROWS > written // PROGRESS_ROWS:
                log.info("%s of %s rows", f"{written + len(data):,}", f"{rows:,}")
            written, targets = written + len(data), targets + len(target)
            frauds += sum(line[-1] == "1" for line in target)
    publication.rows |= {"data.csv": written, "target.csv": targets}
    return {
        "rows": written,
        "target_rows": targets,
        "fraud_rate": round(frauds / max(1, targets), 5),
        "dirty_rows": dict(sorted(kinds.items())),
    }


def _row_count(text: str) -> int:
    rows = int(text)
    if not 1 <= rows <= MOST_ROWS:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {MOST_ROWS:,}")
    return rows


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return share


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this stage's options."""
    parser.add_argument(
        "--rows", type=_row_count, metavar="N", help="exactly so many rows (default: by date, 20,000 or so)"
    )
    parser.add_argument(
        "--seed", type=int, default=42, metavar="N", help="another seed, another world (default: %(default)s)"
    )
    parser.add_argument(
        "--dirty",
        type=_share,
        default=0.015,
        metavar="SHARE",
        help="share of dirty rows, 0 to 1 (default: %(default)s)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit code."""
    description = "Emulates the daily feed of card payments with a fraud label."
    return run_stage("generator", description, [Command("generate", "make a day of data", run, configure)], argv)


if __name__ == "__main__":
    sys.exit(main())
