"""Small charts of shares: what was expected beside what came, and a difference with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from svg import Scale, box, drawing, element, label, padded, path, percent, short, signed, tick

STABLE, STRONG = 0.1, 0.25
MOST_BINS = 24
WIDTH, HEIGHT = 300.0, 112.0


def verdict(psi: float) -> str:
    """What a population stability index says, by the usual scale: Siddiqi, Credit Risk Scorecards (2006)."""
    return "stable" if psi < STABLE else "moderate" if psi <= STRONG else "strong"


def distribution(told: Mapping[str, Any], name: str, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """Bars of the day's shares, filled, and over them the expected shares as a line of steps."""
    expected, actual = list(told["expected"][:MOST_BINS]), list(told["actual"][:MOST_BINS])
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
        *_ends(told["labels"][:MOST_BINS], x, height - 4),
    ]
    return drawing(width, height, f"{name}: shares of the bins, expected and on this day", parts)


def _ends(labels: Sequence[str], x: Scale, y: float) -> list[Markup]:
    """The names of the first and the last bin: the others are in the table."""
    if not labels:
        return []
    first = label(x.start, y, labels[0], "t", 18)
    return [first] if len(labels) == 1 else [first, label(x.end, y, labels[-1], "t e", 18)]


def interval(comparison: Mapping[str, Any], width: float = 360.0) -> Markup:
    """The difference as a point with its interval, against zero and the tolerated loss."""
    low, high = comparison["interval"]
    difference = comparison["difference"]
    tolerance = (comparison.get("rule") or {}).get("tolerance") or 0.0
    worse = -tolerance if comparison["metric"] not in ("log_loss", "brier_score") else tolerance
    x = Scale(*padded([low, high, difference, 0.0, worse], 0.12), 12, width - 12)
    middle = 46.0
    parts = [
        *(element("path", d=path([(x(v), 60.0), (x(v), 66.0)]), class_="a") for v in x.ticks()),
        *(label(x(v), 80.0, tick(v), "t m") for v in x.ticks()),
        element("path", d=path([(x.start, 60.0), (x.end, 60.0)]), class_="a"),
        element("path", d=path([(x(0.0), 24.0), (x(0.0), 60.0)]), class_="a"),
        label(x(0.0), 16.0, "no difference", "t m"),
        element("path", d=path([(x(low), middle), (x(high), middle)]), class_="l s0"),
        element(
            "path",
            d=path([(x(low), middle - 5), (x(low), middle + 5)]) + path([(x(high), middle - 5), (x(high), middle + 5)]),
            class_="l s0",
        ),
        element(
            "circle",
            element("title", f"difference {signed(difference)}"),
            cx=x(difference),
            cy=middle,
            r=5,
            class_="b s0",
        ),
    ]
    if worse:
        parts.append(
            element(
                "path",
                element("title", f"tolerated loss {tick(tolerance)}"),
                d=path([(x(worse), 24.0), (x(worse), 60.0)]),
                class_="r",
            )
        )
        if abs(x(worse) - x(0.0)) > 75:
            parts.append(label(x(worse), 16.0, "tolerated", "t m"))
    told = (
        f"difference in {short(comparison['metric'], 40)}: {signed(difference)}, from {signed(low)} to {signed(high)}"
    )
    return drawing(width, 88.0, told, parts)
