"""Parameters that the stage `tuning` has found: those of the newest search, if it is young enough."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from stagekit import NotReady, Partition, read_partition
from stagekit.as_of import as_of_of, shown
from stagekit.contract import read_document

FILE = "best.json"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

log = logging.getLogger("training")


@dataclass(frozen=True)
class Tuned:
    """What a search has found: its partition, the number of the best trial, and that trial's parameters."""

    partition: Partition
    trial: int
    parameters: Mapping[str, Any]

    def used(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the result says: where parameters come from, which ones, and which a person has replaced."""
        names = sorted(self.parameters)
        return {
            "partition": self.partition.name,
            "trial": self.trial,
            "parameters": [name for name in names if name not in given],
            "replaced": [name for name in names if name in given],
        }


def find_tuned(
    root: Path, ds: str, processed: Partition, most_days: int | None, as_of: str | None = None
) -> Tuned | None:
    """The newest search of `ds` or of one of the `most_days` days before it; None without `most_days`, or if none is.

    Of the day itself a search counts only if it has seen the training rows as they are: after another split, the rows
    that validate may be among those that it used. With `as_of` a search counts only if its labels had arrived by then.
    Errors: BadInput if the files of the search are damaged.
    """
    if most_days is None:
        return None
    last = date.fromisoformat(ds)
    for day in sorted(_days(root / "tuning"), reverse=True):
        age = (last - date.fromisoformat(day)).days
        if not 0 <= age <= most_days:
            continue
        try:
            found = read_partition(root, f"tuning/{day}", [FILE])
        except NotReady:
            continue
        if age == 0 and not _same_rows(found, processed):
            log.warning("%s was made from other rows of this day, and is not used: tune again", found.name)
            continue
        bound = as_of_of(found, FILE)
        if as_of and (bound is None or bound > as_of):
            log.warning("%s was made %s, and is not used %s", found.name, shown(bound), shown(as_of))
            continue
        return _read(found)
    log.info("there is no tuning of %s or of the %d days before it: the defaults count", ds, most_days)
    return None


def _days(folder: Path) -> list[str]:
    """The days that have a folder."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return [name for name in names if DAY.fullmatch(name) and _is_date(name)]


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _same_rows(found: Partition, processed: Partition) -> bool:
    path = f"{processed.name}/train.csv"
    return found.inputs(FILE).get(path) == processed.hashes[path]


def _read(found: Partition) -> Tuned:
    content = read_document(found, FILE)
    return Tuned(found, content["trial"], content["parameters"])
