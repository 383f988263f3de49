"""What a backtest found as backtest.json: figures with intervals, and what each promotion was worth.

An interval of 95 % says what the rows of these days leave open. The rows of different days count as independent.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from auc import Z
from walk import Figure, Outcome, Scored, Strategy

METRIC = "roc_auc"
DIGITS = 10
PAID, REGRETTED, UNCLEAR = "paid", "regretted", "unclear"


def document(ds: str, days: Sequence[str], left_out: Mapping[str, str], outcome: Outcome) -> dict[str, Any]:
    """The content of backtest.json: see docs/use.md."""
    return {
        "version": 1,
        "ds": ds,
        "metric": METRIC,
        "days": list(days),
        "left_out": dict(left_out),
        "scored": [
            {"ds": day, "rows": rows, "positives": positives} for day, (rows, positives) in outcome.scored.items()
        ],
        "models": [
            {
                "window": model.window,
                "trained": model.trained,
                "days": list(model.days),
                "rows": dict(model.rows),
                "iterations": model.iterations,
                "sha256": model.sha256,
            }
            for model in outcome.models
        ],
        "strategies": [_strategy(one) for one in outcome.strategies],
    }


def _strategy(one: Strategy) -> dict[str, Any]:
    return {
        "window": one.window,
        "every": one.every,
        "days": [
            {
                "ds": day.ds,
                "trained": day.trained,
                "value": round(day.area.value, DIGITS),
                "interval": _interval(day.area.value, day.area.variance, 0.0),
            }
            for day in one.scored
        ],
        "mean": _mean([day.area for day in one.scored], 0.0),
        # Over the first model, kept for ever, on the days that another one scored.
        "gain": _mean([day.over_first for day in one.scored if day.over_first], -1.0),
        "promotions": _promotions(one.scored),
        "untrained": one.untrained,
    }


def _promotions(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """For each model but the first: its gain over the one before, kept, on the days that it scored."""
    by_model: dict[str, list[tuple[str, Figure]]] = {}
    for day in scored:
        if day.over_before:
            by_model.setdefault(day.trained, []).append((day.ds, day.over_before))
    found = []
    for trained, days in by_model.items():
        gain = _mean([figure for _, figure in days], -1.0)
        low, high = gain["interval"]
        outcome = PAID if low > 0 else REGRETTED if high < 0 else UNCLEAR
        found.append({"trained": trained, "until": days[-1][0], "gain": gain, "outcome": outcome})
    return found


def _mean(figures: Sequence[Figure], least: float) -> Any:
    """The mean of the figures of days, with the interval that follows from their variances; None of no days."""
    if not figures:
        return None
    number = len(figures)
    value = sum(figure.value for figure in figures) / number
    variance = sum(figure.variance for figure in figures) / number**2
    return {"days": number, "value": round(value, DIGITS), "interval": _interval(value, variance, least)}


def _interval(value: float, variance: float, least: float) -> list[float]:
    width = Z * sqrt(max(0.0, variance))
    return [round(max(least, value - width), DIGITS), round(min(1.0, value + width), DIGITS)]
