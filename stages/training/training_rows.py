"""Which rows a model of a backtest learns from, and which validate it: of a window, and only what was known then."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoded_days import DayRows

# The share of rows that validates, as `preprocessing split` has it by default.
FRACTION = 0.2
# Spreads the hashes of entities over 32 bits (Knuth, The Art of Computer Programming 3, 6.4), so that which entities
# validate follows from no order of theirs.
GOLDEN = np.uint64(0x9E3779B1)


@dataclass(frozen=True)
class Side:
    """Rows that train or that validate."""

    features: Any
    codes: Any
    weights: Any


def choose_rows(window: Mapping[str, DayRows], at: int) -> tuple[Side, Side, list[str]] | str:
    """The rows that train, the rows that validate, and the days they are of; or why there is no model.

    `window` are the days in order, none of them after `at`, in days since 1970-01-01. Only rows whose label was known
    by the end of that day are looked at. As in `split`, the last day with labels validates, and no entity is on both
    sides; of one day, a share of the entities validates.
    """
    usable = {day: rows.known <= at for day, rows in window.items()}
    days = [day for day, known in usable.items() if known.any()]
    if not days:
        return "no label of the window was known"
    group = np.concatenate([window[day].group[usable[day]] for day in days])
    codes = np.concatenate([window[day].codes[usable[day]] for day in days])
    last = np.arange(len(group)) >= len(group) - int(usable[days[-1]].sum())
    place = (group * GOLDEN) % np.uint64(1 << 32) / float(1 << 32)
    if len(days) == 1:
        validates = place < FRACTION
        trains = ~validates
    else:
        of_last = np.isin(group, group[last])
        chosen = of_last & (place < FRACTION * len(group) / int(of_last.sum()))
        validates, trains = last & chosen, ~last & ~chosen
    for chosen, what in ((trains, "train"), (validates, "validate")):
        if len(np.unique(codes[chosen])) < 2:
            return f"of {len(codes)} rows with known labels, those that {what} have one class or none"
    features = np.concatenate([window[day].features[usable[day]] for day in days])
    weights = None
    if window[days[0]].weights is not None:
        weights = np.concatenate([window[day].weights[usable[day]] for day in days])
    train, val = (
        Side(features[side], codes[side], None if weights is None else weights[side]) for side in (trains, validates)
    )
    return train, val, days
