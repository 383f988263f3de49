"""The command `generate`: makes and publishes a day of data."""

import json
import logging
from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from datetime import date, timedelta
from typing import Any

from stagekit import META, BadInput, Partition, Publication, UsageError, publish, read_partition, track
from stagekit.call import for_day

from dirt import KINDS
from patterns import daily_rows
from payment_schema import DATA_COLUMNS, SCHEMA, TARGET_COLUMNS
from payments import Batch, Order
from workers import batches, useful_processes

DATA, TARGET = "data", "target"
COLUMNS = {DATA: DATA_COLUMNS, TARGET: TARGET_COLUMNS}
# Not `generate`: the target is another step, if it comes later.
TARGET_STEP = "generate-target"

log = logging.getLogger("generator")


def generate(args: Namespace) -> Mapping[str, Any]:
    """Publish raw/{ds}; returns partition, rows, target rows, fraud rate and dirty rows by kind.

    With --label-delay the target of the day is left out, and that of an earlier day is published; each step is recorded
    as if it had been called for itself. Errors: UsageError if --only is given too.
    """
    if not args.label_delay:
        return deliver_target(args) if args.only == TARGET else make_day(args)
    if args.only:
        raise UsageError("--label-delay and --only are both given", expected="one of them", do="leave one out")
    made = make_day(for_day(args, args.ds, label_delay=0, only=DATA))
    before = str(date.fromisoformat(args.ds) - timedelta(days=args.label_delay))
    if not (args.data_dir / "raw" / before / META).is_file():
        log.info("there is no data of %s, so no target of it is delivered", before)
        return {**made, "delivered": None}
    return {**made, "delivered": deliver_target(for_day(args, before, label_delay=0, only=TARGET))}


def make_day(args: Namespace) -> Mapping[str, Any]:
    """Publish the day, or with --only data the day without its target."""
    day = date.fromisoformat(args.ds)
    order = Order(args.seed, day, args.rows or daily_rows(args.seed, day), args.dirty)
    files = [DATA] if args.only else [DATA, TARGET]

    def work(publication: Publication) -> Mapping[str, Any]:
        publication.path("schema.json").write_text(json.dumps(SCHEMA, indent=2) + "\n", encoding="utf-8")
        return write_day(order, args.processes, publication, files)

    parameters = {"rows": order.rows, "dirty": order.dirty}
    return publish(args, f"raw/{day}", "generate", work, parameters=parameters, seed=order.seed)


def deliver_target(args: Namespace) -> Mapping[str, Any]:
    """Publish the target of a day whose data is there; rows, seed and dirt are those of the data.

    Errors: NotReady if the data is not there; BadInput if something else made it.
    """
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["data.csv"])
    if raw.step("target.csv") and raw.meta["outputs"]["target.csv"]["step"] != TARGET_STEP:
        log.info("%s has a target.csv already", raw.name)
        return {"partition": raw.name, "cached": True}
    order = _order_of(raw, date.fromisoformat(args.ds))

    def work(publication: Publication) -> Mapping[str, Any]:
        return write_day(order, args.processes, publication, [TARGET])

    parameters = {"rows": order.rows, "dirty": order.dirty}
    return publish(args, raw.name, TARGET_STEP, work, inputs=[raw], parameters=parameters, seed=order.seed)


def _order_of(raw: Partition, day: date) -> Order:
    """What the data of a day was made by, as its mark says."""
    step = raw.step("data.csv")
    parameters, seed = step.get("parameters") or {}, step.get("seed")
    rows, dirty = parameters.get("rows"), parameters.get("dirty")
    if not (isinstance(seed, int) and isinstance(rows, int) and isinstance(dirty, int | float)):
        raise BadInput(
            f"the mark of {raw.name} does not say with which rows, seed and dirt data.csv was made",
            expected="data that `generator` has made",
            do="deliver labels of own data with `preprocessing import-target`",
        )
    return Order(seed, day, rows, dirty)


def write_day(order: Order, processes: int | None, publication: Publication, files: Collection[str]) -> dict[str, Any]:
    """Write `files`, of data and target; returns the counts. None as `processes`: as many as are useful."""
    count = processes or useful_processes(order.rows)
    log.info("making %s payments of %s with seed %d in %d process(es)", f"{order.rows:,}", order.day, order.seed, count)
    made = track(batches(order, count), "making payments", order.rows, "rows", lambda batch: batch.rows)
    return write_lines(publication, made, files)


def write_lines(publication: Publication, batches: Iterable[Batch], files: Collection[str]) -> dict[str, Any]:
    """Write data.csv, target.csv or both; returns rows, target rows, fraud rate and dirty rows by kind."""
    rows = target_rows = frauds = 0
    dirty_rows = Counter(dict.fromkeys(KINDS, 0))
    with ExitStack() as opened:
        written = {name: opened.enter_context(publication.path(f"{name}.csv").open("wb")) for name in files}
        for name, file in written.items():
            file.write(f"{','.join(COLUMNS[name])}\n".encode())
        for batch in batches:
            for name, file in written.items():
                file.write(getattr(batch, name))
            rows, target_rows, frauds = rows + batch.rows, target_rows + batch.target_rows, frauds + batch.frauds
            dirty_rows.update(batch.dirty_rows)
    publication.rows |= {f"{name}.csv": {DATA: rows, TARGET: target_rows}[name] for name in files}
    fraud_rate = round(frauds / target_rows, 5) if target_rows else None
    return {"rows": rows, "target_rows": target_rows, "fraud_rate": fraud_rate, "dirty_rows": dict(dirty_rows)}
