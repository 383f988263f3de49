"""How much more the threshold of costs costs in a later week than the best one in hindsight, and what its noise is.

Usage: python -m tests.benchmarks.thresholds [--seeds N] [--from SEED] [--quick]. Each seed is a world of its own with
a model, and with the rows of seven days, made by the stages as one day a week later. Five sets of 5,900 validation
rows choose for each pair of costs, by the labels of the rows and as `validate` does. Prints a line of figures for
each seed, then the table of docs/decisions/0040-costs-are-rules.md. The same commit gives the same table: nothing
here is timed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import mean, pstdev

from tests.harness import CONFINED, data_volume, docker, images

INSIDE = Path(__file__).parent / "inside"
FIRST_DAY, DAYS_BETWEEN, LATER = date(2026, 1, 5), 13, 7
FIRST_SEED, SEEDS = 100, 20
# Rows of the day, those of them that train, rows of a set that validates, rows later.
SIZES, QUICK_SIZES = (54_500, 24_000, 5_900, 140_000), (9_000, 4_000, 2_000, 14_000)
DAYS = 7
WAYS = ("labels", "chances", "all", "of days", "best of days")
Found = Mapping[str, Mapping[str, Sequence[float]]]


def measure(seed: int, sizes: Sequence[int]) -> Found:
    """What inside/thresholds.py finds for a world."""
    rows, trained, validated, later_rows = sizes
    first = FIRST_DAY + timedelta(days=DAYS_BETWEEN * (seed - FIRST_SEED))
    ds, later = str(first), str(first + timedelta(days=LATER))
    with data_volume("thresholds") as data:
        data.generate(ds, f"--rows={rows}", f"--seed={seed}")
        data.prepare(ds)
        data.split(ds, f"--val-fraction={1 - trained / rows:.3f}")
        data.train(ds)
        data.validate(ds)
        data.generate(later, f"--rows={later_rows}", f"--seed={seed}")
        data.score(later, f"models/{ds}")
        data.label(later)
        program = [
            "--entrypoint=python",
            images()["prediction"],
            "/bench/thresholds.py",
            ds,
            later,
            str(validated),
            str(DAYS),
        ]
        options = [data.mount, f"--volume={INSIDE}:/bench:ro", "--env=PYTHONPATH=/opt/stage"]
        said = docker("run", *CONFINED, *options, *program).stdout
    return dict(json.loads(said.splitlines()[-1]))


def table(found: Sequence[Found]) -> str:
    """Mean, spread and worst of the sets of all seeds, and means of what they are compared with, in percent."""
    lines = [
        "| false positive / false negative | a week, by labels: mean, spread, worst | a week, as `validate` "
        "| a week, labels of all rows | a day, as `validate` | a day, the week's best |",
        "|---|---|---|---|---|---|",
    ]
    for costs in found[0]:
        sets = {way: [100 * value for one in found for value in one[costs][way]] for way in WAYS}
        spread = [f"{mean(v):.1f}, {pstdev(v):.1f}, {max(v):.1f} %" for v in (sets["labels"], sets["chances"])]
        others = [f"{mean(sets[way]):.1f} %" for way in WAYS[2:]]
        lines.append(f"| {costs} | {' | '.join([*spread, *others])} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the worlds, print the table."""
    parser = argparse.ArgumentParser(description="Measure the thresholds of costs on later days.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many worlds (default: {SEEDS})")
    parser.add_argument("--from", type=int, default=FIRST_SEED, dest="first", help=f"the first (default: {FIRST_SEED})")
    parser.add_argument("--quick", action="store_true", help="few rows: only shows that the programs work")
    args = parser.parse_args(argv)
    found = []
    for seed in range(args.first, args.first + args.seeds):
        found.append(measure(seed, QUICK_SIZES if args.quick else SIZES))
        means = {costs: [round(mean(ways[way]), 4) for way in WAYS] for costs, ways in found[-1].items()}
        print(json.dumps({"seed": seed, **means}), flush=True)
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
