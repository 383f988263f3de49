"""When the labels of a prepared day were known."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from stagekit import Partition, read_partition

from deliveries import arrival, targets_of
from window import PreparedDay


@dataclass(frozen=True)
class Delivered:
    """A prepared day, and the files of its labels, the oldest first, with the day on which each was known."""

    day: PreparedDay
    labels: Partition
    known: Mapping[str, date]


def read_delivered(root: Path, ds: str, day: PreparedDay) -> Delivered:
    """When the labels of a day were known: those that were published with its data, on that day."""
    made_from = day.processed.inputs("train_data.csv")
    files = [file for file in targets_of(day.raw) if f"{day.raw.name}/{file}" in made_from]
    files.sort(key=lambda file: arrival(day.raw, file))
    labels = read_partition(root, day.raw.name, files)
    return Delivered(day, labels, {file: _known(labels, file, ds) for file in files})


def _known(raw: Partition, file: str, ds: str) -> date:
    step = raw.step(file)
    if raw.step("data.csv") == step and not (step.get("parameters") or {}).get("arrived"):
        return date.fromisoformat(ds)
    # Of an unknown time, the labels count as known with the day, as `--as-of` has it.
    return max(date.fromisoformat(ds), date.fromisoformat(arrival(raw, file)[:10] or ds))
