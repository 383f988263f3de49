"""The window of a model: the day of a run and the days before it, as far as each can be used."""

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

from stagekit import BadInput, NotReady, Partition, read_partition

from deliveries import require_prepared_as_of
from table_schema import Schema, read_schema

log = logging.getLogger(__name__)

Used = TypeVar("Used")


def days_of(args: Namespace) -> list[str]:
    """The days of the window, in order; the last is that of the run."""
    last = date.fromisoformat(args.ds)
    return [str(last - timedelta(days)) for days in reversed(range(args.days))]


def use_days(days: Sequence[str], use: Callable[[str], Used]) -> tuple[dict[str, Used], dict[str, str]]:
    """What `use` returns for each day, and why the other days are left out.

    Errors: those of the last day, which cannot be left out.
    """
    used: dict[str, Used] = {}
    left_out: dict[str, str] = {}
    for day in days[:-1]:
        try:
            used[day] = use(day)
        except (BadInput, NotReady) as error:
            left_out[day] = error.found
    used[days[-1]] = use(days[-1])
    return used, left_out


def window_result(used: Sequence[str], left_out: Mapping[str, str]) -> dict[str, Any]:
    """What the result line says of a window of several days; empty for one day."""
    if len(used) + len(left_out) == 1:
        return {}
    return {"days": list(used), "left_out": dict(left_out)}


def window_warnings(left_out: Mapping[str, str]) -> list[str]:
    """A sentence for each day that is left out."""
    return [f"{day} is left out: {reason}" for day, reason in left_out.items()]


@dataclass(frozen=True)
class PreparedDay:
    """A day that `prepare` has checked: its rows, what they were made from, and its schema."""

    processed: Partition
    raw: Partition
    schema: Schema


def read_prepared_day(root: Path, ds: str, as_of: str | None, *, all_unchanged: bool = False) -> PreparedDay:
    """The verified train_data.csv of a day, which `prepare` has made with this `as_of`.

    Errors: BadInput if it was made otherwise, or if its schema.json changed since then; with `all_unchanged` also if
    another file that was read changed, or labels have arrived.
    """
    processed = read_partition(root, f"processed/{ds}", ["train_data.csv"])
    raw = read_partition(root, f"raw/{ds}", ["schema.json"])
    made_from = processed.inputs("train_data.csv")
    schema = f"{raw.name}/schema.json"
    published = {f"{raw.name}/{file}": output["sha256"] for file, output in raw.meta["outputs"].items()}
    # A rerun of one step has those of the files that this step reads.
    for label in sorted(published.keys() & {schema, *made_from}) if all_unchanged else [schema]:
        if made_from.get(label) != published[label]:
            raise BadInput(
                f"{label} has changed since {processed.name}/train_data.csv was made",
                expected="the files that the data was checked from",
                do="run `preprocessing prepare` again",
            )
    require_prepared_as_of(processed, raw, as_of, newest=all_unchanged)
    return PreparedDay(processed, raw, read_schema(raw / "schema.json", f"{raw.name}/schema.json"))


def read_earlier_day(root: Path, ds: str, as_of: str | None, last: PreparedDay) -> PreparedDay:
    """A day before `last`.

    Errors: BadInput also if its schema, or the limit on rejected rows that it was prepared with, is not that of `last`.
    """
    day = read_prepared_day(root, ds, as_of, all_unchanged=True)
    if (day.schema.fields, day.schema.missing) != (last.schema.fields, last.schema.missing):
        raise BadInput(
            f"{day.raw.name}/schema.json differs from that of {last.raw.name}",
            expected="the same fields in the same order",
            do="take fewer --days",
        )
    limits = [(one.processed.step("train_data.csv").get("parameters") or {}).get("max_rejected") for one in (day, last)]
    if limits[0] != limits[1]:
        raise BadInput(
            f"{day.processed.name}/train_data.csv was made with --max-rejected {limits[0]}",
            expected=f"{limits[1]}, as of {last.processed.name}",
            do="run `preprocessing prepare` again for all days",
        )
    return day
