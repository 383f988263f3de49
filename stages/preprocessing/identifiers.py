"""Columns whose values identify something, such as a customer, in one row or in several: what the values show of it.

Identifiers are many, each has few rows, and they are handed out: whole numbers are evenly spread over their range,
texts have one form. Amounts and counts crowd at small values, ages have many rows each.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import polars as pl

from column_choice import Choice
from column_values import Column
from draft_keys import is_named_like_a_key
from readings import INTEGER, NUMBER, TEXT, Reading

# Fewer different values are categories. Without a name like customer_id it takes more of them.
LEAST_VALUES, LEAST_UNNAMED = 50, 1000
# A value has so many rows at most, on average.
MOST_ROWS = 20
# This share of the rows, at each end, may be something else, such as a 0 for "nobody".
ENDS = 0.01
# How far the rows may be from an even spread: those of old customers are more than those of new ones.
MOST_UNEVEN = 0.1
# The distance of Kolmogorov and Smirnov, times the root of the number of values, that one of a hundred samples exceeds
# whose values are evenly spread.
KOLMOGOROV = 1.63
# At the beginning of sorted identifiers, steps and rows of a value are at most so many times those of all, or a share.
MOST_UNLIKE = 1.5


@dataclass(frozen=True)
class Signs:
    """What the values show of an identifier. `are_clear`: the column is named like a key too, so it is one."""

    text: str
    are_clear: bool


def signs_of_an_identifier(column: Column, choice: Choice) -> Signs | None:
    """What the values show if they seem to identify something; None if they do not, or if `choice` warns of them."""
    is_named = are_clear = is_named_like_a_key(column.name)
    different = column.most_distinct
    least = LEAST_VALUES if is_named else LEAST_UNNAMED
    if choice.warnings or different < least or column.readable > MOST_ROWS * different:
        return None
    counts = {text.strip(): count for text, count in column.values.counts.items() if text not in column.known.counts}
    form = _form_of_texts(counts) if choice.reading is TEXT else ""
    if choice.reading in (INTEGER, NUMBER):
        numbers = choice.reading.values(pl.Series([*counts], dtype=pl.String)).cast(pl.Float64).to_list()
        by_number = dict(zip(numbers, counts.values(), strict=True))
        form = _form_of_numbers(by_number, are_all=column.distinct is not None)
        if column.distinct is None and _is_sorted(numbers):
            # The first numbers alone say nothing of how the others are spread.
            are_clear = is_named and form != "" and _are_like_the_others(by_number, column, choice.reading)
            are_whole = not any(number % 1 for number in numbers)
            form = "are whole numbers in order" + ", in even steps" * are_clear if is_named and are_whole else ""
    about = f"{different:,}" if column.distinct is not None else f"about {float(f'{different:.2g}'):,.0f}"
    return Signs(f"{about} different values in {column.readable:,} rows {form}", are_clear) if form else None


def _are_like_the_others(counts: Mapping[float, int], column: Column, reading: Reading) -> bool:
    """Whether the first numbers of a sorted column lie as close to each other, and have as many rows, as all."""
    ends = next(fit.extremes for fit in column.fits if fit.reading is reading)
    # Codes such as 999 have no part in the ends: there are none if all values are codes.
    width, different = (ends.greatest or 0) - (ends.least or 0), column.most_distinct
    steps = (max(counts) - min(counts)) / len(counts), width / different
    rows = sum(counts.values()) / len(counts), column.readable / different
    return all(max(pair) <= MOST_UNLIKE * min(pair) for pair in (steps, rows))


def _form_of_texts(counts: Mapping[str, int]) -> str:
    """The form that all texts have; empty if they have no digits, or several forms."""
    forms = {re.sub(r"\d+", "#", text) for text in counts}
    if len(forms) == 1 and "#" in (form := forms.pop()):
        return f"have the form {form!r}, # for digits"
    lengths = {len(text) for text in counts}
    if len(lengths) == 1 and all(re.search(r"\d", text) and not re.search(r"\s", text) for text in counts):
        return f"have {lengths.pop()} characters each"
    return ""


def _is_sorted(numbers: Sequence[float]) -> bool:
    return None not in numbers and [*numbers] in (sorted(numbers), sorted(numbers, reverse=True))


def _form_of_numbers(counts: Mapping[float, int], are_all: bool) -> str:
    """How whole numbers are spread; empty if they are none, or not evenly. Only of all numbers is a range named."""
    if None in counts or any(number < 0 or number % 1 for number in counts):
        return ""
    inner = _without_ends(sorted(counts.items()))
    least, greatest = inner[0][0], inner[-1][0]
    if _unevenness([(number, 1) for number, _ in inner]) > KOLMOGOROV / sqrt(len(inner)):
        return ""
    if _unevenness(inner) > MOST_UNEVEN:
        return ""
    return f"are evenly spread from {least:.0f} to {greatest:.0f}" if are_all else "are evenly spread"


def _without_ends(values: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Sorted numbers and their rows, without those of the first and last rows, up to ENDS of them."""
    rows, before, inner = sum(count for _, count in values), 0, []
    for number, count in values:
        if ENDS * rows <= before + count and before <= (1 - ENDS) * rows:
            inner.append((number, count))
        before += count
    return inner


def _unevenness(values: list[tuple[float, int]]) -> float:
    """The greatest distance between the shares of sorted numbers and those of an even spread between their ends."""
    least, width, rows = values[0][0], values[-1][0] - values[0][0] + 1, sum(count for _, count in values)
    before, distance = 0, 0.0
    for number, count in values:
        begin, end = (number - least) / width, (number - least + 1) / width
        distance = max(distance, abs(before / rows - begin), abs((before + count) / rows - end))
        before += count
    return distance
