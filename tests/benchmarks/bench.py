"""Measures speed and memory of the stages, each beside what it is compared with, in one run on one machine.

Usage: bench.py [--rows N] [--large N] [--waiting N] [--kills N] [--swarm N] [--only NAME ...] [--quick] [--markdown].
Everything runs in the images that dags/images.lock.json names, on data volumes of this run, which go at the end. Prints
tables, writes .cache/bench.json.
Exit codes: 0 every target is met (or --quick), 1 one is missed or a program failed, 2 wrong usage.

Ratios, not seconds, have targets: what else a machine does, and how fast it is, hits both sides.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import comparisons
import rebuild
from cold_start import cold_start
from figures import Line, Row, as_json, describe_machine, markdown_table, text_table
from lab import NAME, ROOT, Lab

QUICK_ROWS, QUICK_LARGE = 3_000, 6_000
BUSY = 1.0


def airflow(lab: Lab) -> list[Row]:
    """What Airflow adds to a task. Imported late: needs the stack."""
    from airflow_overhead import airflow_tasks

    return airflow_tasks(lab.repeats)


def backfill(lab: Lab) -> list[Row]:
    """A month filled in. Imported late: needs the stack."""
    from airflow_overhead import backfill_month

    return backfill_month(lab.repeats)


def waiting(lab: Lab) -> list[Row]:
    """Many tasks that wait. Imported late: needs the stack."""
    from waiting import waiting_tasks

    return waiting_tasks(lab.waiting, lab.repeats)


def kills(lab: Lab) -> list[Row]:
    """Kills of Airflow's services. Imported late: needs the stack."""
    from kills import kills as struck

    return struck(lab.kills)


def shards_on_swarm(lab: Lab) -> list[Row]:
    """A large day in shards on three nodes. Imported late: starts three engines."""
    from shards_on_swarm import shards_on_swarm as measured

    return measured(lab.swarm)


def tuning(lab: Lab) -> list[Row]:
    """What a search gains. Imported late: needs the data sets."""
    from tuning import tuning as gains

    return gains(lab)


# Not part of --quick; and what runs only where it is named.
NEED_AIRFLOW = ("airflow", "backfill", "waiting")
ONLY = ("kills", "shards-on-swarm")
BENCHMARKS: dict[str, Callable[[Lab], Sequence[Line]]] = {
    "generator": comparisons.generator,
    "preprocessing": comparisons.preprocessing,
    "training": comparisons.training,
    "tuning": tuning,
    "scoring": comparisons.scoring,
    "reasons": comparisons.reasons,
    "backtest": comparisons.backtest,
    "tables": comparisons.tables,
    "raw-tables": comparisons.raw_tables,
    "memory": comparisons.memory,
    "shards": comparisons.shards,
    "start": comparisons.start,
    "cold-start": cold_start,
    "rebuild": rebuild.rebuild,
    "airflow": airflow,
    "backfill": backfill,
    "waiting": waiting,
    "kills": kills,
    "shards-on-swarm": shards_on_swarm,
}


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure speed and memory of the stages.")
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, metavar="N", help="rows of a usual day (default: %(default)s)")
    add("--large", type=int, default=10_000_000, metavar="N", help="rows of the large day (default: %(default)s)")
    add("--waiting", type=int, default=100, metavar="N", help="tasks that wait at once (default: %(default)s)")
    add("--kills", type=int, default=50, metavar="N", help="kills of Airflow's services (default: %(default)s)")
    add("--swarm", type=int, default=20_000_000, metavar="N", help="rows of the day on a swarm (default: %(default)s)")
    add("--repeats", type=int, default=3, metavar="N", help="runs of each side, the best counts (default: %(default)s)")
    add("--only", action="append", choices=BENCHMARKS, help="only this benchmark; may be repeated")
    add("--quick", action="store_true", help="few rows, one run, no Airflow: only shows that the programs work")
    add("--markdown", action="store_true", help="print the table as docs/benchmarks.md holds it")
    add("--out", type=Path, default=ROOT / ".cache" / "bench.json", metavar="FILE", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.rows, arguments.large, arguments.repeats = QUICK_ROWS, QUICK_LARGE, 1
    left_out = {*ONLY, *(NEED_AIRFLOW if arguments.quick else ())}
    arguments.only = arguments.only or [name for name in BENCHMARKS if name not in left_out]
    return arguments


def measure(lab: Lab, names: Sequence[str]) -> list[Line]:
    """Run the benchmarks, and print the figures of each as it ends: one that fails later takes no others with it."""
    rows: list[Line] = []
    for name in names:
        started = time.monotonic()
        found = BENCHMARKS[name](lab)
        print(f"==> {name} ({time.monotonic() - started:.0f} s)\n{text_table(found)}\n", file=sys.stderr)
        rows += found
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks; returns the exit code."""
    arguments = parse_arguments(argv)
    # Ended from outside, too, it removes its volumes and images.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    machine = describe_machine()
    if os.getloadavg()[0] > BUSY:
        print(f"warning: this machine is busy (load {machine['load before']}); figures suffer", file=sys.stderr)
    sizes = (arguments.rows, arguments.large, arguments.repeats, arguments.waiting, arguments.kills, arguments.swarm)
    with Lab(*sizes) as lab:
        rows = measure(lab, arguments.only)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"run": NAME, **as_json(rows, machine, lab.images)}
    arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(markdown_table(rows, machine) if arguments.markdown else text_table(rows))
    missed = [row.what for row in rows if row.met is False]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed and not arguments.quick else 0


if __name__ == "__main__":
    sys.exit(main())
