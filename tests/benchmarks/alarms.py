"""How often the rules of `monitor` raise a false alarm, and how many days they take to find a fault, by rows a day.

Usage: alarms.py [--quick]. Makes a model and four later days with the stages, draws days of each size from them, and
prints the table of docs/monitoring.md. The same commit gives the same table: nothing here is timed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from lab import MODEL, Lab

# Rows a day; quarters without a fault; trials of each fault.
SIZES = ((30, 20, 20), (100, 20, 20), (1_000, 20, 20), (20_000, 4, 10), (1_000_000, 1, 3))
QUICK_SIZES = ((30, 1, 2), (1_000, 1, 2))
# None is the day of few rows.
DAYS = ("2026-11-21", "2026-11-23", "2026-11-24", "2026-11-27")
FAULTS = {
    "drift": "an amount three times as large",
    "quality": "six scores in ten of other rows",
    "empty": "an empty column",
    "flip": "labels the wrong way round",
    "rejected": "one row in six rejected",
    "unreadable": "three labels in ten unreadable",
}


def found_text(days: Sequence[int | None]) -> str:
    """The median of the days, and how many trials needed at most two."""
    known = [day for day in days if day is not None]
    soon = sum(day <= 2 for day in known)
    middle = f"{median(known):g}" if len(known) * 2 > len(days) else "more than 30"
    return f"{middle} ({soon} of {len(days)})"


def main(argv: Sequence[str] | None = None) -> int:
    """Make the days, draw from them, print the table."""
    parser = argparse.ArgumentParser(description="Count false alarms and days until a fault is found.")
    parser.add_argument("--quick", action="store_true", help="few rows, few days: only shows that the programs work")
    quick = parser.parse_args(argv).quick
    rows = 5_000 if quick else 25_000
    print(f"| rows a day | false alarms a quarter | limits alone | {' | '.join(FAULTS.values())} |")
    print("| ---: " * (3 + len(FAULTS)) + "|")
    with Lab(rows, rows, 1) as lab:
        for ds in DAYS:
            lab.step("label", ds)
        for size, quarters, trials in QUICK_SIZES if quick else SIZES:
            sizes = map(str, (size, quarters, trials))
            said = lab.lines("prediction", "python", "/bench/alarms.py", MODEL, *sizes, *DAYS)
            result: dict[str, Any] = json.loads(said[-1])
            cells = [f"{size:,}", f"{result['with']:.2g}", f"{result['without']:.2g}"]
            print(f"| {' | '.join([*cells, *(found_text(result[fault]) for fault in FAULTS)])} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
