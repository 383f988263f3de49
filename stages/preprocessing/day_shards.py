"""The shards of a day: whether it can be in shards, and those that it is merged from. Standard library only."""

from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Any

from stagekit import BadInput, Partition
from stagekit.shards import LINES_FILE, read_shard, shards_to_merge

from table_schema import Schema, unique_beside_key

REJECTED_FILE, COUNTS_FILE = "rejected.csv", "counts.json"


def require_comparable(schema: Schema, columns: Sequence[str], label: str) -> None:
    """Errors: BadInput if rows with different keys must be compared, which are in different shards."""
    if unique := [field.name for field in unique_beside_key(schema.of(columns))]:
        raise BadInput(
            f"{label} declares {', '.join(unique)} unique, and rows of different shards are not compared",
            expected="no unique field but the key, where a day is in shards",
            do="leave out --shards, or remove that constraint",
        )


def read_shards(
    args: Namespace, name: str, file: str, inputs: Iterable[Partition], **parameters: Any
) -> list[Partition]:
    """The shards of the day's partition `name`, which must be made from these inputs; none if it has no shards."""
    hashes = {path: digest for partition in inputs for path, digest in partition.hashes.items()}
    files = [file, REJECTED_FILE, LINES_FILE, COUNTS_FILE]
    return [read_shard(args.data_dir, shard, name, files, hashes, parameters) for shard in shards_to_merge(args)]
