"""A model on paper of one day that is larger than one machine, from the figures of docs/benchmarks.md. Runs no stage.

Usage: large_day.py [--rows N] [--hosts N]. Each host has two processors, as the machine of the figures, and works on
one shard. Every shard reads all of the raw data, and keeps its rows; a merge is on one host and one processor. Split
is on one host. Training is in as many ranks as hosts, each with its part of the rows; what a rank loses by waiting for
the others and by reading all of train.csv was not measured. Prints a table, the longest step last, what the shared file
system must give so that nobody waits for it, and what the ranks send each other.
Exit codes: 0 printed; 2 wrong usage.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
MILLION = 1_000_000
PROCESSORS = 2
# Of the figures: rows and shards.
OF = "1,000,000 rows in 8 shards, processor time:"
SHARDS = 8
# Of the days of the generator, in bytes for each row.
RAW = 180
# LightGBM holds a value as one byte.
FEATURES = 13
# For each split of a tree the ranks add up their histograms: a sum of gradients and one of Hessians, two numbers of 8
# bytes, for each bin of each feature (LightGBM's documentation, "Optimization in Network Communication").
ITERATIONS, SPLITS, BINS, BIN_BYTES = 347, 30, 255, 16


def figure(name: str, column: str = "ours") -> float:
    """A figure of a row of the page: 3.6 of `| NAME | 3.6 s |`. Errors: SystemExit if there is none."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        what, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if what == name and len(cells) > 2:
            text = cells[("ours", "compared with", "difference").index(column)]
            return float(text.rpartition(": ")[2].removesuffix(" s").replace(",", ""))
    raise SystemExit(f"error: {PAGE} has no row {name!r}; do: name one that it has")


def in_shards(step: str, hosts: int) -> tuple[float, float]:
    """The processor seconds for a million rows of a shard among so many, and of the merge.

    What all shards do alike, such as reading the raw data, follows from the figures of one container and of a shard.
    """
    whole = figure(f"{step}, {OF} slowest shard", "compared with")
    if hosts == 1:
        return whole, 0
    alike = max(0, (SHARDS * figure(f"{step}, {OF} slowest shard") - whole) / (SHARDS - 1))
    return alike + (whole - alike) / hosts, figure(f"{step}, {OF} merge")


def steps(rows: int, hosts: int) -> dict[str, tuple[float, str]]:
    """The seconds of each step of the day, and what they are made of."""
    millions, size = rows / MILLION, rows / 1e9
    found = {}
    for step in ("prepare", "features", "predict"):
        shard, merge = in_shards(step, hosts)
        made_of = f"a shard {millions * shard / PROCESSORS / 60:.0f}, the merge {millions * merge / 60:.0f}"
        found[step] = (millions * (shard / PROCESSORS + merge), made_of)
    split = figure("split, 1,000,000 rows, processor time") / PROCESSORS
    train = figure(f"train, 1,000,000 rows, {ITERATIONS} iterations") / hosts
    where = "one host" if hosts == 1 else f"{hosts} ranks"
    return {
        **found,
        "split": (millions * split, "one host"),
        "train": (millions * train, f"{where}; the values take {FEATURES * size / hosts:.1f} GB of memory on each"),
    }


def of_the_file_system(rows: int, hosts: int) -> str:
    """The rate at which all hosts together read the raw data while their shards work as fast as they can."""
    seconds = min(rows / MILLION * in_shards(step, hosts)[0] / PROCESSORS for step in ("prepare", "features"))
    read = RAW * rows * hosts
    return f"All shards together read {read / 1e9:,.0f} GB of raw data, {read / seconds / 1e6:,.0f} MB/s."


def of_the_network() -> str:
    """What each rank sends in a training."""
    sent = ITERATIONS * SPLITS * FEATURES * BINS * BIN_BYTES
    return f"Each rank sends {sent / 1e9:.1f} GB in a training, however many rows there are."


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
    print(f"\n{of_the_file_system(arguments.rows, arguments.hosts)}\n{of_the_network()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
