"""The payments of a day, a minute at a time: each puts together outcomes from the tables of the day."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain, cycle, repeat
from random import Random
from typing import NamedTuple, TypeVar

from dirt import spoil_lines
from patterns import NIGHT_HOURS, minute_starts
from payment_schema import as_bytes
from tables import PAYERS, Tables, make_tables

# Payments are numbered from here, so that all numbers of a day have ten digits without being padded.
FIRST_NUMBER = 10**9
# A random byte as the second within a minute.
SECONDS = bytes(byte * 60 // 256 for byte in range(256))

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Order:
    """Which day to make: together these decide every byte of it.

    `rows` is the number of payments, `dirty` the share of dirty lines, from 0 to 1.
    """

    seed: int
    day: date
    rows: int
    dirty: float


class Batch(NamedTuple):
    """Lines of data.csv and target.csv, as the files' bytes, without headers, and their counts.

    `frauds` are target lines with the label 1, `dirty_rows` dirty lines by kind.
    """

    data: bytes
    target: bytes
    rows: int
    target_rows: int
    frauds: int
    dirty_rows: Counter[str]


def make_batches(order: Order, minutes: Iterable[int]) -> Iterator[Batch]:
    """Make these minutes of the day, each from 0 to 1439; yields one batch a minute, in their order.

    Each minute draws from sources of its own, so any process may make any minute.
    """
    tables = make_tables(order.seed, order.day)
    starts = minute_starts(order.day, order.rows)
    for minute in minutes:
        rnd = Random(f"{order.seed}/{order.day}/{minute}")
        data, target = make_minute(rnd, order.day, minute, starts[minute], starts[minute + 1], tables)
        dirty = spoil_lines(rnd, data, target, order.dirty, order.rows)
        labels = _join(target)
        yield Batch(_join(data), labels, len(data), len(target), labels.count(b",1\n"), dirty)


def _join(lines: list[str]) -> bytes:
    return as_bytes("\n".join([*lines, ""]))


def _random_bits(rnd: Random, count: int) -> tuple[int, ...]:
    """So many random integers of sixteen bits: the cheapest randomness there is in plain Python."""
    return struct.unpack(f"<{count}H", rnd.randbytes(2 * count))


def _stretch(rnd: Random, table: list[Outcome], length: int) -> Iterator[Outcome]:
    """At least so many outcomes, in order from a random place on: nothing reads memory faster."""
    place = rnd.randrange(len(table))
    return chain(table[place : place + length], cycle(table))


def _times(rnd: Random, day: date, minute: int, count: int) -> Iterator[str]:
    """The field time of so many payments within a minute, in order, with the commas around it."""
    start = f"{day}T{minute // 60:02d}:{minute % 60:02d}"
    seconds = rnd.randbytes(count).translate(SECONDS)
    return chain.from_iterable(repeat(f",{start}:{second:02d}Z,", seconds.count(second)) for second in range(60))


def make_minute(
    rnd: Random, day: date, minute: int, first: int, end: int, tables: Tables
) -> tuple[list[str], list[str]]:
    """The lines of data.csv and of target.csv for the payments `first` to `end` - 1, by time.

    `minute` counts from 0 at midnight UTC. A line has the columns of the file in their order, and no line break; the
    amount is in euros with two digits, the label 1 for fraud.
    """
    count = end - first
    head = f"T{day.isoformat().replace('-', '')}-"
    keys = [f"{head}{number}" for number in range(FIRST_NUMBER + first, FIRST_NUMBER + end)]
    payments = zip(
        keys,
        _times(rnd, day, minute, count),
        _random_bits(rnd, count),
        _stretch(rnd, tables.by_night if minute // 60 in NIGHT_HOURS else tables.by_day, count),
        _stretch(rnd, tables.spreads, count),
        _stretch(rnd, tables.luck, count),
        strict=False,
    )
    data: list[str] = []
    target = [f"{key},0" for key in keys]
    # The one hot loop of the stage: no calls in it except the append.
    for key, time, bits, (payers, what, risk, price, log_price), (factor, log_factor, factor_risk), luck in payments:
        who, usual, score, per_excess = payers[bits & (PAYERS - 1)]
        score += risk + factor_risk + luck
        excess = log_price + log_factor
        if excess > 0:
            score += per_excess * excess
        if score > 0:
            target[len(data)] = f"{key},1"
        data.append(f"{key}{time}{who}{what}{usual * price * factor:.2f}")
    return data, target
