"""The labels of a raw day, which come in one delivery or several: target.csv, then target-2.csv, target-3.csv, ...

Each delivery is a file of its own that never changes, so what was made before a delivery still has its origin. The mark
says when a file arrived: the `arrived` of the step that published it, or else when that step started.

A raw file may have notes on its lines beside it, see `delivered_lines`.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, option, read_partition
from stagekit.as_of import check_as_of, moment, shown

DATA, TARGET = "data.csv", "target.csv"
BLOCK_BYTES = 1 << 20
DELIVERY = re.compile(r"target(?:-([1-9][0-9]*))?\.csv")


AS_OF = option(
    "--as-of",
    type=moment,
    metavar="TIME",
    help="use only labels that had arrived by then; a day means its end in UTC (default: all that are there)",
)
ARRIVED = option(
    "--arrived",
    type=moment,
    metavar="TIME",
    help="when the labels were known, for deliveries of the past (default: now)",
)


def targets_of(raw: Partition) -> list[str]:
    """The files with labels that are there, in the order of their numbers."""
    found = (DELIVERY.fullmatch(file) for file in raw.meta["outputs"])
    return [match.group() for match in sorted(filter(None, found), key=lambda match: int(match[1] or 1))]


def notes_of(file: str) -> str:
    """The file with the notes on the lines of a raw file."""
    return f"lines-{file}"


def read_raw(root: Path, ds: str, files: Sequence[str]) -> Partition:
    """The verified `files` of raw/{ds}, with the notes on their lines, if there are any."""
    raw = read_partition(root, f"raw/{ds}", [])
    outputs = raw.meta["outputs"]
    # Notes of another step are on an older file.
    noted = [file for file in files if file in outputs and notes_of(file) in outputs]
    notes = [notes_of(file) for file in noted if outputs[notes_of(file)]["step"] == outputs[file]["step"]]
    return read_partition(root, raw.name, [*files, *notes])


def arrival(raw: Partition, file: str) -> str:
    """When a file arrived, such as 2026-11-21T04:00:00Z; empty, and so always known, if its mark does not say."""
    step = raw.step(file)
    return str((step.get("parameters") or {}).get("arrived") or step.get("started") or "")


def read_raw_day(root: Path, ds: str, files: Sequence[str], as_of: str | None) -> Partition:
    """The verified `files` of raw/{ds}, and those with labels that had arrived by `as_of`, the newest first.

    There may be none of the latter. Errors: NotReady if no labels are there at all.
    """
    raw = read_partition(root, f"raw/{ds}", [])
    targets = targets_of(raw)
    if not targets:
        raise NotReady(
            f"partition {raw.name} has no {TARGET} yet: its labels have not arrived",
            expected="a first delivery of labels",
            do="add them (`preprocessing import-target`), or train on an earlier day, one whose labels are there",
        )
    known = [file for file in targets if as_of is None or arrival(raw, file) <= as_of]
    oldest_first = sorted(known, key=lambda file: arrival(raw, file))
    return read_raw(root, ds, [*files, *reversed(oldest_first)])


def require_labels(raw: Partition, as_of: str | None) -> None:
    """Errors: NotReady if none of the labels that are there had arrived by `as_of`."""
    known = targets_of(raw)
    if any(file in raw.files for file in known):
        return
    first = min(arrival(raw, file) for file in known)
    raise NotReady(
        f"no label of {raw.name} had arrived by {as_of}",
        expected=f"a later --as-of: the first delivery arrived at {first}",
        do="leave out --as-of, or train on an earlier day",
    )


def require_prepared_as_of(prepared: Partition, raw: Partition, as_of: str | None, *, newest: bool) -> None:
    """What `prepare` left of a day may be older than its last call, which left the day out, or be of another run.

    Errors: BadInput if train_data.csv was made with another `as_of`, or from labels that arrived after it; with
    `newest` also if it lacks labels that had arrived.
    """
    label, made_from = f"{prepared.name}/train_data.csv", prepared.inputs("train_data.csv")
    check_as_of(prepared, "train_data.csv", as_of, "preprocessing prepare")
    do = f"run `preprocessing prepare` {shown(as_of)} again"
    # A rerun of one step has no labels, and only the marks of what this step reads.
    for file in targets_of(raw):
        arrived = arrival(raw, file)
        known, read = as_of is None or arrived <= as_of, f"{raw.name}/{file}" in made_from
        if read and not known:
            raise BadInput(
                f"{label} was made from {raw.name}/{file}, which arrived at {arrived}",
                expected=f"labels that had arrived by {as_of}",
                do=do,
            )
        if newest and known and not read:
            raise BadInput(
                f"{raw.name}/{file} has arrived since {label} was made", expected="rows that were made from it", do=do
            )


@dataclass(frozen=True)
class Delivery:
    """A delivered file, and where its rows begin in a file of several: on which line, and at which byte.

    `notes` are those on its lines, if there are any.
    """

    file: str
    line: int = 2
    byte: int = 0
    notes: Path | None = None


def delivery(raw: Partition, file: str, line: int = 2, byte: int = 0) -> Delivery:
    """A file of a raw day that `read_raw` has read."""
    notes = notes_of(file)
    return Delivery(file, line, byte, raw / notes if notes in raw.files else None)


def whole_target(raw: Partition, columns: Sequence[str], scratch: Path) -> tuple[Path, list[Delivery]]:
    """A target.csv with the rows of all deliveries that were read, below one header; in `scratch` if there are several.

    The newest delivery comes first, because the first row of a key counts. If there is none, the header is `columns`.
    Also returns the deliveries in this order; target.csv without rows, if there is none.
    """
    files = [file for file in raw.files if DELIVERY.fullmatch(file)]
    if files == [TARGET]:
        return raw / TARGET, [delivery(raw, TARGET)]
    path, found, lines = scratch / TARGET, list[Delivery](), 1
    with path.open("wb") as whole:
        if not files:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerow(columns)
            whole.write(text.getvalue().encode())
        for file in files:
            with (raw / file).open("rb") as delivered:
                header = delivered.readline()
                if not found:
                    whole.write(header.rstrip(b"\r\n") + b"\n")
                found.append(delivery(raw, file, lines + 1, whole.tell()))
                end = b"\n"
                for block in iter(partial(delivered.read, BLOCK_BYTES), b""):
                    whole.write(block)
                    lines, end = lines + block.count(b"\n"), block[-1:]
                if end != b"\n":
                    lines += whole.write(b"\n")
    return path, found or [Delivery(TARGET)]


def deliveries(raw: Partition) -> Mapping[str, Any]:
    """When each file with labels that was read arrived, for parameters and results; nothing for target.csv alone."""
    files = [file for file in raw.files if DELIVERY.fullmatch(file)]
    return {} if files == [TARGET] else {"deliveries": {file: arrival(raw, file) for file in files}}
