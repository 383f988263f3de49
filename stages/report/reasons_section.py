"""What the page says of the reasons of the scores."""

from collections.abc import Mapping
from typing import Any

import charts
from reasons import ExplainedRow, Reasons
from svg import number, short, signed
from timeline import Bar
from words import plural

MOST_BARS, MOST_CARDS, MOST_BINS = 20, 6, 24


def reasons_section(reasons: Reasons | str) -> dict[str, Any]:
    """How strong each feature is, why the highest scores are high, and how the score depends on a feature."""
    if isinstance(reasons, str):
        return {"missing": reasons, "bars": []}
    moved = [one for one in reasons.features if one["mean_absolute"] > 0]
    most = max((one["mean_absolute"] for one in moved), default=1.0)
    cards = [_card(one) for one in moved if one.get("bins")]
    left = len(moved) - MOST_BARS
    return {
        "missing": "",
        "bars": [
            Bar(one["name"], one["mean_absolute"] / most, number(one["mean_absolute"])) for one in moved[:MOST_BARS]
        ],
        "left": f"and {plural(left, 'more feature')}." if left > 0 else "",
        "explains": "the second class" if reasons.classes == 2 else "the class that is predicted",
        "highest": [_shown(row, reasons.classes) for row in reasons.highest()],
        "cards": cards[:MOST_CARDS],
    }


def _shown(row: ExplainedRow, classes: int) -> dict[str, Any]:
    return {
        "key": row.key,
        "score": number(row.score),
        "of_class": row.of_class if classes > 2 else "",
        "parts": [(name, value or "missing", signed(part)) for name, value, part in row.parts],
    }


def _card(feature: Mapping[str, Any]) -> dict[str, Any]:
    bins = feature["bins"]
    rows = list(zip(bins["labels"], bins["rows"], bins["means"], strict=True))[:MOST_BINS]
    chart = charts.dependence(short(feature["name"], 60), [(label, mean) for label, _, mean in rows])
    return {
        "name": feature["name"],
        "strength": number(feature["mean_absolute"]),
        "chart": chart,
        "bins": [(label, f"{count:,}", "–" if mean is None else signed(mean)) for label, count, mean in rows],
    }
