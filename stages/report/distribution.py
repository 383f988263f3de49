"""The small chart of a feature: the expected share of each bin and the share of the day. And the words for a PSI."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from svg import Scale, box, drawing, element, label, path, percent

STABLE, STRONG = 0.1, 0.25
MOST_BINS = 24
WIDTH, HEIGHT = 300.0, 112.0


def verdict(drift: Mapping[str, Any]) -> str:
    """The word for a population stability index beyond what chance explains in so few rows.

    The scale is the usual one: Siddiqi, Credit Risk Scorecards (2006).
    """
    psi = drift["psi"] - (drift.get("by_chance") or 0.0)
    return "stable" if psi < STABLE else "moderate" if psi <= STRONG else "strong"


def distribution(drift: Mapping[str, Any], name: str, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """The day's shares as bars, and over them the expected shares as a line of steps."""
    expected, actual = list(drift["expected"][:MOST_BINS]), list(drift["actual"][:MOST_BINS])
    most = max([*expected, *actual], default=0.0) or 1.0
    y = Scale(0.0, most * 1.04, height - 18, 6)
    x = Scale(0.0, float(max(1, len(actual))), 42, width - 4)
    wide = x(1.0) - x(0.0)
    bars = "".join(box(x(i) + 0.1 * wide, y(v), 0.8 * wide, y.start - y(v)) for i, v in enumerate(actual) if v > 0)
    steps = "".join(f"V{y(v):.1f}H{x(i + 1.0):.1f}" for i, v in enumerate(expected))
    parts = [
        element("path", d=path([(x.start, y(most)), (x.end, y(most))]), class_="g"),
        element("path", d=bars, class_="b s0") if bars else "",
        element("path", d=f"M{x.start:.1f} {y(expected[0]):.1f}{steps}", class_="o") if expected else "",
        element("path", d=path([(x.start, y.start), (x.end, y.start)]), class_="a"),
        label(38.0, y(most) + 5, percent(most), "t e"),
        label(38.0, y.start, "0%", "t e"),
        *_ends(drift["labels"][:MOST_BINS], x, height - 4),
    ]
    return drawing(width, height, f"{name}: shares of the bins, expected and on this day", parts)


def _ends(labels: Sequence[str], x: Scale, y: float) -> list[Markup]:
    """The names of the first and the last bin. The table has all names."""
    if not labels:
        return []
    first = label(x.start, y, labels[0], "t", 18)
    return [first] if len(labels) == 1 else [first, label(x.end, y, labels[-1], "t e", 18)]
