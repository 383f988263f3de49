"""A day in shards: parts that containers work on at the same time, and how their tables become the day's.

A row's shard follows from its key, so equal keys meet, and the number of hosts changes nothing. The third of eight
shards of features/2026-11-21 is the partition shards/2026-11-21-features-3of8. A table of it holds some of the day's
rows, in their order there. `lines.csv` has, for each row, the line of the raw file on which it begins: by these the
tables are merged, so the day's table has the bytes that it would have without shards.
"""

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

from stagekit.errors import BadInput, StageError, UsageError
from stagekit.options import option, whole_number
from stagekit.partition import Partition, read_partition

MOST_SHARDS = 256
LINES_FILE = "lines.csv"

SHARDS = option(
    "--shards",
    type=whole_number(1, MOST_SHARDS),
    default=1,
    metavar="N",
    help="publish the day from its N shards, which must be there; 1: from its rows (default: %(default)s)",
)
SHARD = option(
    "--shard",
    type=whole_number(1, MOST_SHARDS),
    metavar="K",
    help="with --shards: make the K-th of these shards, not the day",
)


@dataclass(frozen=True)
class Shard:
    """One of the shards of a day; the first has the `number` 1."""

    number: int
    of: int

    def place(self, name: str) -> str:
        """The partition of this shard, for the day's partition `name`, such as features/2026-11-21."""
        kind, day = name.split("/")
        return f"shards/{day}-{kind}-{self.number}of{self.of}"


def shard_of(args: Namespace) -> Shard | None:
    """The shard that a command makes; None for the day. Errors: UsageError if there is no such shard."""
    if args.shard is None:
        return None
    if args.shards == 1 or args.shard > args.shards:
        raise UsageError(
            f"--shard {args.shard} is none of --shards {args.shards}",
            expected="--shards of 2 or more, and a shard from 1 to that number",
            do=f"name such a shard, or leave out --shard: the day is then published {_from(args.shards)}",
        )
    return Shard(args.shard, args.shards)


def _from(shards: int) -> str:
    return "without shards" if shards == 1 else f"from its {shards} shards"


def shards_to_merge(args: Namespace) -> list[Shard]:
    """The shards that a command publishes the day from; none if it works on the rows themselves."""
    if args.shard is not None or args.shards == 1:
        return []
    return [Shard(number, args.shards) for number in range(1, args.shards + 1)]


def read_shard(
    root: Path, shard: Shard, name: str, files: Sequence[str], inputs: Mapping[str, str], parameters: Mapping[str, Any]
) -> Partition:
    """The verified `files` of a shard of the day's partition `name`.

    The first of them must have been made from `inputs`, hashes by path, by the present image with these parameters.
    Errors: as `read_partition`; BadInput if it was not.
    """
    partition = read_partition(root, shard.place(name), files)
    _check_made_from(partition, files[0], inputs, parameters, f"run the same command with --shard {shard.number}")
    return partition


def _check_made_from(
    shard: Partition, file: str, inputs: Mapping[str, str], parameters: Mapping[str, Any], do: str
) -> None:
    record = shard.step(file)
    image = (record.get("image") or {}).get("name")
    found = [
        *(f"another {path}" for path, digest in inputs.items() if shard.inputs(file).get(path) != digest),
        *(
            f"another {name}"
            for name, value in parameters.items()
            if (record.get("parameters") or {}).get(name) != value
        ),
        *([f"the image {image}"] if image != (os.environ.get("ML_IMAGE") or None) else []),
    ]
    if found:
        raise BadInput(
            f"{shard.name}/{file} was made with {', '.join(found)}",
            expected="shards that were made as the day would be made now",
            do=do,
        )


def merge_tables(tables: Iterable[tuple[Path, Path]], path: Path) -> int:
    """Merge tables, each with the path of its `lines.csv`, into one; returns the number of rows.

    Errors: StageError if the tables do not belong together.
    """
    with ExitStack() as stack:
        parts = []
        for table, lines in tables:
            numbers, records = stack.enter_context(lines.open("rb")), read_records(stack, table)
            next(numbers)
            parts.append((next(records), zip(map(int, numbers), records, strict=True)))
        try:
            return write_merged(parts, path)
        except ValueError as error:
            raise StageError(f"a table has not as many rows as its {LINES_FILE}: {error}") from None


def write_merged(parts: Iterable[tuple[bytes, Iterable[tuple[Any, bytes]]]], path: Path) -> int:
    """Merge parts, each a header and its rows with their places, in the order of the places; returns the rows.

    Errors: StageError if the headers differ.
    """
    headers, rows = zip(*parts, strict=True)
    if len({*headers}) != 1:
        raise StageError(f"the shards of {path.name} have different headers: {sorted({*headers})}")
    counted = 0
    with path.open("wb") as file:
        file.write(headers[0])
        for _, record in merge(*rows, key=itemgetter(0)):
            file.write(record)
            counted += 1
    return counted


def read_records(stack: ExitStack, table: Path) -> Iterator[bytes]:
    """The records of a table with their line ends, the header first; `stack` closes the file."""
    file = stack.enter_context(table.open("rb"))
    for line in file:
        record = line
        while record.count(b'"') % 2:  # a line end inside of quotes
            record += next(file)
        yield record
