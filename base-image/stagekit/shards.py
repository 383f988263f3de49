"""A day in shards: parts that containers work on at the same time, and how their tables become the day's.

A row's shard follows from its key, so equal keys meet, and the number of hosts changes nothing. The third of eight
shards of features/2026-11-21 is the partition shards/2026-11-21-features-3of8. A table of it holds some of the day's
rows, in their order there. `lines.csv` has, for each row, the line of the raw file on which it begins: by these the
tables are merged, so the day's table has the bytes that it would have without shards.
"""

import os
from argparse import Namespace
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

from stagekit.errors import BadInput, StageError, UsageError
from stagekit.options import option, whole_number
from stagekit.partition import Partition, read_partition
from stagekit.progress import progress

MOST_SHARDS = 256
LINES_FILE = "lines.csv"
# How many lines of each shard, and bytes of a table, are in memory.
WINDOW, BLOCK_BYTES = 1 << 16, 1 << 20

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

    The first of them must have been made from `inputs`, hashes by path, and from nothing else, by the present image
    with these parameters.
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
    made_from = shard.inputs(file)
    found = [
        *(f"another {path}" for path, digest in inputs.items() if made_from.get(path) != digest),
        *(f"{path}, which the day is not made from" for path in sorted(made_from.keys() - inputs.keys())),
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


class _Lines:
    """The lines of the rows of a shard, WINDOW of them in memory: `next`."""

    def __init__(self, file: BinaryIO) -> None:
        next(file)
        self._lines = map(int, file)
        self.next: list[int] = []
        self._fill()

    def _fill(self) -> None:
        self.next = self.next or list(islice(self._lines, WINDOW))

    def take(self, last: int) -> list[int]:
        """Take the lines up to `last` out of the window."""
        end = bisect_right(self.next, last)
        taken, self.next = self.next[:end], self.next[end:]
        self._fill()
        return taken


def merge_tables(tables: Sequence[tuple[Path, Path]], path: Path) -> int:
    """Merge tables, each with the path of its `lines.csv`, into one; returns the number of rows.

    Errors: StageError if the tables do not belong together.
    """
    rows, shards = 0, len(tables)
    size = sum(table.stat().st_size for table, _ in tables)
    with ExitStack() as stack, path.open("wb") as file, progress(f"merging {path.name}", size, "bytes") as advance:
        lines = [_Lines(stack.enter_context(path_of_lines.open("rb"))) for _, path_of_lines in tables]
        records = [read_records(stack, table) for table, _ in tables]
        headers = [next(part) for part in records]
        file.write(_header(headers, path))
        advance(sum(map(len, headers)))
        while any(part.next for part in lines):
            last = min(part.next[-1] for part in lines if part.next)
            # A place names the shard too. They are sorted runs, which Python merges fast.
            places = [line * shards + shard for shard, part in enumerate(lines) for line in part.take(last)]
            places.sort()
            found = [next(records[place % shards], b"") for place in places]
            if b"" in found:  # every record has a line end
                raise StageError(f"a shard of {path.name} has fewer rows than its {LINES_FILE}")
            file.writelines(found)
            rows += len(found)
            advance(sum(map(len, found)))
        if any(next(part, None) for part in records):
            raise StageError(f"a shard of {path.name} has more rows than its {LINES_FILE}")
    return rows


def write_merged(parts: Iterable[tuple[bytes, Iterable[tuple[Any, bytes]]]], path: Path) -> int:
    """Merge parts, each a header and its rows with their places, in the order of the places; returns the rows.

    Errors: StageError if the headers differ.
    """
    headers, rows = zip(*parts, strict=True)
    counted = 0
    with path.open("wb") as file:
        file.write(_header(headers, path))
        for _, record in merge(*rows, key=itemgetter(0)):
            file.write(record)
            counted += 1
    return counted


def _header(headers: Iterable[bytes], path: Path) -> bytes:
    header, *others = {*headers}
    if others:
        raise StageError(f"the shards of {path.name} have different headers: {header!r}, {others}")
    return header


def read_records(stack: ExitStack, table: Path) -> Iterator[bytes]:
    """The records of a table with their line ends, the header first; `stack` closes the file."""
    file = stack.enter_context(table.open("rb"))
    if not any(b'"' in block for block in iter(partial(file.read, BLOCK_BYTES), b"")):
        file.seek(0)
        return file
    file.seek(0)
    return _quoted_records(file)


def _quoted_records(file: BinaryIO) -> Iterator[bytes]:
    for line in file:
        record = line
        while record.count(b'"') % 2:  # a line end inside of quotes
            record += next(file)
        yield record
