"""Reads the CSV files of a report: the importances of a model and the rejected rows of a day."""

import csv
import math
from collections.abc import Sequence
from itertools import islice

from stagekit import BadInput, Partition

IMPORTANCE_FILE, IMPORTANCE_COLUMNS = "feature_importance.csv", ("feature", "gain", "split")
REJECTED_FILE, REJECTED_COLUMNS = "rejected.csv", ("file", "line", "reason")
MOST_REJECTED = 2000


def read_importances(model: Partition) -> list[tuple[str, float, float]]:
    """Feature, gain and number of splits, the greatest gain first. Errors: BadInput if a gain is no number."""
    name = f"{model.name}/{IMPORTANCE_FILE}"
    rows = [
        (row["feature"], *_numbers(name, row["gain"], row["split"]))
        for row in read_rows(model, IMPORTANCE_FILE, IMPORTANCE_COLUMNS)
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def read_rejected(features: Partition) -> list[dict[str, str]]:
    """File, line and reason of the first MOST_REJECTED rejected rows. The text of the rows is not read."""
    return read_rows(features, REJECTED_FILE, REJECTED_COLUMNS, MOST_REJECTED)


def read_rows(partition: Partition, file: str, columns: Sequence[str], most: int | None = None) -> list[dict[str, str]]:
    """The first rows of a CSV file, all if `most` is None. Errors: BadInput if it is no CSV or has no such column."""
    name = f"{partition.name}/{file}"
    csv.field_size_limit(1 << 30)
    with (partition / file).open(newline="", encoding="utf-8", errors="replace") as lines:
        reader = csv.DictReader(lines)
        try:
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                raise _bad(f"{name} has no column {missing[0]}", ", ".join(columns), name)
            return [{column: row[column] or "" for column in columns} for row in islice(reader, most)]
        except csv.Error as error:
            raise _bad(f"{name} line {reader.line_num}: {error}", "CSV", name) from None


def _numbers(name: str, gain: str, split: str) -> tuple[float, float]:
    """Two fields of a CSV row. Errors: BadInput if one is no finite number."""
    try:
        values = float(gain), float(split)
    except ValueError:
        values = math.nan, math.nan
    if all(map(math.isfinite, values)):
        return values
    raise _bad(f"{name} holds {f'{gain}, {split}'[:80]!r}", "finite numbers", name)


def _bad(found: str, expected: str, name: str) -> BadInput:
    return BadInput(found, expected=expected, do=f"run the step that writes {name} again, with the images in use")
