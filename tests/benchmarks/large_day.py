"""A model on paper of one day that is larger than one machine, from the figures of docs/benchmarks.md. Runs no stage.

Usage: large_day.py [--rows N] [--hosts N]. Each host is the machine of the figures. A shard has ten million rows, the
largest day whose memory was measured; a host works on one shard after the other. Training is on one host, as stages are
today. Prints a table, the longest step last. Exit codes: 0 printed; 2 wrong usage.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
MILLION = 1_000_000
SHARD = 10 * MILLION
# Tasks of a shard: prepare, split, features, predict, label, evaluate.
TASKS = 6
# Of the days of the generator, in bytes for each row: raw data, prepared data with its tables, scores.
RAW, PREPARED, SCORES = 180, 175, 40
# LightGBM holds a value as one byte.
FEATURES = 13


def figure(name: str, column: str = "ours") -> float:
    """A figure of a row of the page: 3.6 of `| NAME | 3.6 s |`. Errors: SystemExit if there is none."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        what, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if what == name and len(cells) > 2:
            text = cells[("ours", "compared with", "difference").index(column)]
            return float(text.removesuffix(" s").replace(",", ""))
    raise SystemExit(f"error: {PAGE} has no row {name!r}; do: name one that it has")


def steps(rows: int, hosts: int) -> dict[str, tuple[float, str]]:
    """The seconds of each step of the day, and what they are made of."""
    shards = math.ceil(rows / SHARD)
    of_host = math.ceil(shards / hosts) * SHARD / MILLION
    prepare = figure("prepare + split, 1,000,000 rows")
    predict = figure("predict, 1,000,000 rows, file to file")
    train = figure("train, 1,000,000 rows, 347 iterations")
    added = figure("a task in Airflow, of 3 in a chain", "difference")
    size = rows / 1e9
    spread = f"{shards} shards on {hosts} hosts"
    return {
        "Airflow": (shards * TASKS * added, f"at most: {TASKS} tasks a shard, {added:.2f} s each, one after the other"),
        "prepare, split": (of_host * prepare, f"{spread}; {RAW * size:.0f} GB read, {PREPARED * size:.0f} GB written"),
        "features": (of_host * prepare, f"{spread}; at most what prepare and split take"),
        "predict": (of_host * predict, f"{spread}; {SCORES * size:.0f} GB written"),
        "train": (rows / MILLION * train, f"one host; its values alone take {FEATURES * size:.0f} GB of memory"),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000 * MILLION, metavar="N", help="default: %(default)s")
    parser.add_argument("--hosts", type=int, default=20, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if min(arguments.rows, arguments.hosts) < 1:
        parser.error("--rows and --hosts must be 1 at least")
    alone, found = (steps(arguments.rows, hosts) for hosts in (1, arguments.hosts))
    print(f"| step | minutes on {arguments.hosts} hosts | on one | |\n| --- | --- | --- | --- |")
    for name, (seconds, why) in sorted(found.items(), key=lambda step: step[1][0]):
        print(f"| {name} | {seconds / 60:.0f} | {alone[name][0] / 60:.0f} | {why} |")
    together = [sum(seconds for seconds, _ in one.values()) / 60 for one in (found, alone)]
    print(f"| together, one after the other | {together[0]:.0f} | {together[1]:.0f} | |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
