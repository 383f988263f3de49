"""The payments of a day, a minute at a time: every random choice is a lookup in a table of the day."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import count
from random import Random
from typing import NamedTuple

from dirt import spoil_lines
from patterns import NIGHT_HOURS, minute_starts
from tables import CIRCUMSTANCES, LUCK, OFFERS, SPREADS, Tables, make_tables

# Payments are numbered from here, so that all numbers of a day have ten digits without being padded.
FIRST_NUMBER = 10**9
# A random byte as the second within a minute.
SECONDS = [f"{byte * 60 // 256:02d}" for byte in range(256)]


@dataclass(frozen=True)
class Order:
    """Which day to make: together these decide every byte of it."""

    seed: int
    day: date
    rows: int
    dirty: float


class Batch(NamedTuple):
    """Lines of data.csv and target.csv, as the files' bytes, and their counts."""

    data: bytes
    target: bytes
    rows: int
    target_rows: int
    frauds: int
    dirty_rows: Counter[str]


def make_batches(order: Order, minutes: Iterable[int]) -> Iterator[Batch]:
    """Make these minutes of the day. Each draws from sources of its own, so any process may make any minute."""
    tables = make_tables(order.seed, order.day)
    starts = minute_starts(order.day, order.rows)
    for minute in minutes:
        source = f"{order.seed}/{order.day}/{minute}"
        data, target = make_minute(Random(source), order.day, minute, starts[minute], starts[minute + 1], tables)
        dirty = spoil_lines(Random(f"{source}/dirt"), data, target, order.dirty, order.rows)
        labels = _join(target)
        yield Batch(_join(data), labels, len(data), len(target), labels.count(b",1\n"), dirty)


def _join(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode()


def _random_bits(rnd: Random, count: int) -> tuple[int, ...]:
    """So many random integers of sixteen bits: the cheapest randomness there is in plain Python."""
    return struct.unpack(f"<{count}H", rnd.randbytes(2 * count))


def make_minute(
    rnd: Random, day: date, minute: int, first: int, end: int, tables: Tables
) -> tuple[list[str], list[str]]:
    """The lines of data.csv and of target.csv for the payments `first` to `end` - 1, by time."""
    payers, offers_by_night, spreads, luck = tables
    hour, minute = divmod(minute, 60)
    offers = offers_by_night[hour in NIGHT_HOURS]
    prefix = f"T{day.isoformat().replace('-', '')}-"
    times = [f",{day}T{hour:02d}:{minute:02d}:{second}Z," for second in SECONDS]
    seconds = sorted(rnd.randbytes(end - first))
    draws = [_random_bits(rnd, end - first) for _ in range(5)]
    data, target = [], []
    # The one hot loop of the stage: no calls in it but for the two appends.
    for number, second, a, b, c, d, e in zip(count(FIRST_NUMBER + first), seconds, *draws, strict=False):
        who, home, usual, score, per_excess = payers[a]
        what, risk, price, log_price, circumstances = offers[home][b & (OFFERS - 1)]
        where, where_risk = circumstances[c & (CIRCUMSTANCES - 1)]
        factor, log_factor, factor_risk = spreads[d & (SPREADS - 1)]
        score += risk + where_risk + factor_risk
        excess = log_price + log_factor
        if excess > 0:
            score += per_excess * excess
        key = f"{prefix}{number}"
        data.append(f"{key}{times[second]}{who},{what},{where},{usual * price * factor:.2f}")
        target.append(f"{key},1" if score + luck[e & (LUCK - 1)] > 0 else f"{key},0")
    return data, target
