"""What a shard passes on beside its tables, and the tables of the day that are merged from its shards."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

from stagekit import Partition, Publication, StageError
from stagekit.shards import LINES_FILE, merge_tables, read_records, write_merged

from checked_table import SHOWN_REJECTS, Counts
from day_shards import COUNTS_FILE, REJECTED_FILE
from row_shards import hash_sample

# Of Counts: those that all shards have alike, and those that are put in order.
ALIKE, LISTS = ("seen", "files", "extra_columns", "other_order"), ("contradictory", "given_up")


def pass_on(counts: Counts, publication: Publication) -> None:
    """Write the counts of a shard for the day, and by which hash its rows are in it."""
    names = (*counts.SUMS, *counts.TOTALS, *ALIKE, *LISTS, "examples")
    content = {"hash_sample": hash_sample(), **{name: getattr(counts, name) for name in names}}
    publication.path(COUNTS_FILE).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def merge_shards(shards: Sequence[Partition], file: str, publication: Publication, counts: Counts) -> None:
    """Write `file` and rejected.csv of the day, with the bytes that they have without shards; `counts` are new."""
    _add_up([shard.json(COUNTS_FILE) for shard in shards], counts)
    rows = merge_tables([(shard / file, shard / LINES_FILE) for shard in shards], publication.path(file))
    places = {name.encode(): place for place, name in enumerate(counts.files)}
    with ExitStack() as stack:
        parts = [_rejected(read_records(stack, shard / REJECTED_FILE), places) for shard in shards]
        rejected = write_merged(parts, publication.path(REJECTED_FILE))
    publication.rows = {file: rows, REJECTED_FILE: rejected}
    if (rows, rejected) != (counts.written, sum(counts.rejected.values())):
        counted = f"{counts.written} and {sum(counts.rejected.values())} were counted"
        raise StageError(f"{rows} good and {rejected} rejected rows were merged, {counted}")
    counts.warn()


def _add_up(parts: Sequence[Mapping[str, Any]], counts: Counts) -> None:
    for name in ALIKE:
        setattr(counts, name, parts[0][name])
    for part in parts:
        if part["seen"] != counts.seen:
            raise StageError(f"the shards have read {part['seen']} rows and {counts.seen} rows of the same files")
        for name in counts.TOTALS:
            setattr(counts, name, getattr(counts, name) + part[name])
        for name in counts.SUMS:
            sums = getattr(counts, name)
            for key, number in part[name].items():
                sums[key] = sums.get(key, 0) + number
    if counts.rows != counts.seen:
        raise StageError(f"the shards have {counts.rows} rows of the {counts.seen} rows of the day")
    for name in LISTS:
        setattr(counts, name, _in_order((part[name] for part in parts), counts.files))
    for file in counts.rows:
        examples = _in_order((part["examples"].get(file, []) for part in parts), counts.files)
        counts.examples[file] = examples[:SHOWN_REJECTS]


def _in_order(parts: Iterable[Sequence[Sequence[Any]]], files: Sequence[str]) -> list[Any]:
    """What the shards have, each a file, a line and more, in the order of the files and lines."""
    return sorted(map(tuple, chain.from_iterable(parts)), key=lambda one: (files.index(one[0]), one[1]))


def _rejected(
    records: Iterator[bytes], places: Mapping[bytes, int]
) -> tuple[bytes, Iterator[tuple[tuple[int, int], bytes]]]:
    """The header of a shard's rejected.csv, and its rows with their places: the file, and the line there."""

    def placed() -> Iterator[tuple[tuple[int, int], bytes]]:
        for record in records:
            file, line, _ = record.split(b",", 2)
            yield (places[file], int(line)), record

    return next(records), placed()
