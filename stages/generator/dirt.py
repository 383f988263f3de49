"""Dirty rows, as real feeds have them: each kind breaks one rule of the schema, or of the two files' keys."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random

from payment_schema import DATA_COLUMNS, FIELDS, csv_text

KEY = DATA_COLUMNS.index("transaction_id")
REQUIRED = [
    DATA_COLUMNS.index(field["name"])
    for field in FIELDS
    if field.get("constraints", {}).get("required") and field["role"] == "feature"
]
OUT_OF_RANGE = {
    "amount": ("-12.50", "0", "9999999.99"),
    "card_age_days": ("-1", "40000"),
    "distance_from_home_km": ("-3.0", "50000.0"),
    "transactions_last_24h": ("-2", "5000"),
}
MALFORMED_TIMES = {"time": ("yesterday", "21/11/2026 14:03", "2026-13-45T25:61:00Z", "1795269785")}
WRONG_TYPES = {
    "amount": ("12,50 EUR", "free"),
    "authenticated": ("maybe", "2"),
    "card_age_days": ("12.5", "three"),
    "transactions_last_24h": ("many", "1e"),
}
UNKNOWN_VALUES = {
    "channel": ("carrier pigeon", "ONLINE"),
    "country": ("XX", "Germany"),
    "customer_id": ("42", "customer-42"),
    "merchant_category": ("misc", "Grocery"),
}

Fields = list[str]
Spoiler = Callable[[Random, Fields, str], None]


def _fields(line: str) -> Fields:
    """The fields as they are written, in quotes where they need them."""
    return list(map(csv_text, next(csv.reader([line])))) if '"' in line else line.split(",")


def _other_content(rnd: Random, fields: Fields, before: str) -> None:
    fields[KEY] = _fields(before)[KEY]


def _missing_value(rnd: Random, fields: Fields, before: str) -> None:
    fields[rnd.choice(REQUIRED)] = ""


def _one_of(texts: Mapping[str, tuple[str, ...]]) -> Spoiler:
    written = [(DATA_COLUMNS.index(column), [*map(csv_text, of_column)]) for column, of_column in texts.items()]

    def spoil(rnd: Random, fields: Fields, before: str) -> None:
        place, of_column = rnd.choice(written)
        fields[place] = rnd.choice(of_column)

    return spoil


# What happens to a row, by kind; `before` is the line before it. The last three kinds are about whole lines.
SPOILERS: dict[str, Spoiler] = {
    "duplicate_key": _other_content,
    "malformed_time": _one_of(MALFORMED_TIMES),
    "missing_value": _missing_value,
    "out_of_range": _one_of(OUT_OF_RANGE),
    "unknown_value": _one_of(UNKNOWN_VALUES),
    "wrong_type": _one_of(WRONG_TYPES),
}
DUPLICATE_ROW, NO_TARGET, NO_DATA = "duplicate_row", "row_without_target", "target_without_row"
KINDS = (DUPLICATE_ROW, *SPOILERS, NO_TARGET, NO_DATA)
NEED_A_ROW_BEFORE = {DUPLICATE_ROW, "duplicate_key"}


def spoil_lines(rnd: Random, data: list[str], target: list[str], share: float, rows: int) -> Counter[str]:
    """Make about `share` of the lines dirty, in place; returns how many of each kind.

    Both lists hold the same payments in the same order. `data` keeps its length. A target line that belongs
    to no row gets a key beyond the day's `rows`.
    """
    kinds: Counter[str] = Counter()
    gone = []
    for place in sorted(rnd.sample(range(len(data)), rnd.binomialvariate(len(data), share))):
        kind = rnd.choice(KINDS if place else [kind for kind in KINDS if kind not in NEED_A_ROW_BEFORE])
        kinds[kind] += 1
        if kind == DUPLICATE_ROW:
            data[place] = data[place - 1]
        elif kind in SPOILERS:
            fields = _fields(data[place])
            SPOILERS[kind](rnd, fields, data[place - 1])
            data[place] = ",".join(fields)
        if kind in (DUPLICATE_ROW, "duplicate_key", NO_TARGET):
            gone.append(place)
        elif kind == NO_DATA:
            key, label = target[place].split(",")
            day, number = key.split("-")
            target.append(f"{day}-{rows + int(number)},{label}")
    for place in reversed(gone):
        del target[place]
    return kinds
