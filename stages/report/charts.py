"""The charts of a model and of a comparison. Pure functions that return SVG."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from stagekit.contract import HIGHER_IS_BETTER

from svg import Scale, box, drawing, element, label, number, padded, path, percent, short, signed, tick

MOST_CLASSES, MOST_IMPORTANCES, MOST_PANELS = 8, 20, 4
LEGEND_LINE, LEGEND_NAME = 17.0, 30
Size = tuple[float, float]
SMALL: Size = (360.0, 270.0)
LEFT, RIGHT, TOP, BOTTOM = 54.0, 12.0, 30.0, 40.0


@dataclass(frozen=True)
class Series:
    """A line: its name in the legend, its points, and a number that gives it a colour and a dash pattern."""

    name: str
    points: Sequence[tuple[float, float]]
    look: int
    thin: bool = False
    dots: bool = False

    @property
    def kind(self) -> str:
        return f"l s{self.look % MOST_CLASSES}" + (" thin" if self.thin else "")


@dataclass(frozen=True)
class Frame:
    """What a chart of lines has around its lines. `x_texts` are texts at places of the x axis, for its numbers."""

    title: str
    x_name: str
    y_name: str
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    diagonal: bool = False
    level: float | None = None
    upright: float | None = None
    x_texts: Sequence[tuple[float, str]] = ()


def lines(frame: Frame, series: Sequence[Series], size: Size = SMALL, note: str = "") -> Markup:
    """A chart of lines with axes, ticks, labels, and a legend where there are several lines."""
    width, height = size
    legend = [one for one in series if one.name] if len(series) > 1 or note else []
    rows = len(legend) + bool(note)
    x = Scale(*frame.x, LEFT, width - RIGHT)
    y = Scale(*frame.y, height - BOTTOM, TOP)
    parts = [
        label(LEFT, 17.0, frame.title, "h", 60),
        *axes(x, y, frame),
        *references(frame, x, y),
        *(one for each in series for one in _line(each, x, y)),
        *_legend(legend, height + 8, note),
    ]
    return drawing(width, height + (rows * LEGEND_LINE + 8 if rows else 0), frame.title, parts)


def axes(x: Scale, y: Scale, frame: Frame) -> Iterable[Markup]:
    """Grid, ticks and names of two axes."""
    grid = "".join(path([(x.start, y(v)), (x.end, y(v))]) for v in y.ticks())
    yield element("path", d=grid, class_="g")
    yield element("path", d=path([(x.start, y.end), (x.start, y.start), (x.end, y.start)]), class_="a")
    for value, text in frame.x_texts or [(value, tick(value)) for value in x.ticks()]:
        # A text at an end of the axis begins or ends there, so that it does not leave the drawing.
        anchor = {x.low: "t", x.high: "t e"}.get(value, "t m") if frame.x_texts else "t m"
        yield label(x(value), y.start + 15, text, anchor)
    for value in y.ticks():
        yield label(x.start - 6, y(value) + 4, tick(value), "t e")
    yield label((x.start + x.end) / 2, y.start + 32, frame.x_name, "t m")
    middle = (y.start + y.end) / 2
    yield label(11.0, middle, frame.y_name, "t m", transform=f"rotate(-90 11 {middle:.1f})")


def references(frame: Frame, x: Scale, y: Scale) -> Iterable[Markup]:
    """What the lines are compared with: chance, perfect calibration, the best iteration."""
    if frame.diagonal:
        most = min(frame.x[1], frame.y[1])
        yield element("path", d=path([(x(0), y(0)), (x(most), y(most))]), class_="r")
    if frame.level is not None:
        yield element("path", d=path([(x.start, y(frame.level)), (x.end, y(frame.level))]), class_="r")
    if frame.upright is not None:
        yield element("path", d=path([(x(frame.upright), y.start), (x(frame.upright), y.end)]), class_="r")


def _line(series: Series, x: Scale, y: Scale) -> Iterable[Markup]:
    points = [(x(a), y(b)) for a, b in series.points]
    if points:
        yield element(
            "path", element("title", short(series.name, 120)) if series.name else "", d=path(points), class_=series.kind
        )
    if series.dots:
        shape = "".join(_dot(a, b, series.look) for a, b in points)
        yield element("path", d=shape, class_=f"p s{series.look % MOST_CLASSES}")


def _dot(x: float, y: float, look: int) -> str:
    """A circle or a square, so that two lines differ without their colours too."""
    if look % 2:
        return f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6z"
    return f"M{x - 3.5:.1f} {y:.1f}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z"


def _legend(series: Sequence[Series], top: float, note: str) -> Iterable[Markup]:
    for row, one in enumerate(series):
        y = top + row * LEGEND_LINE
        yield element("path", d=path([(LEFT, y), (LEFT + 26, y)]), class_=one.kind)
        if one.dots:
            yield element("path", d=_dot(LEFT + 13, y, one.look), class_=f"p s{one.look % MOST_CLASSES}")
        yield label(LEFT + 33, y + 4, one.name, "t", LEGEND_NAME + 12)
    if note:
        yield label(LEFT, top + len(series) * LEGEND_LINE + 4, note, "t", 60)


Curves = Sequence[Mapping[str, Any]]


def curve_series(sets: Sequence[tuple[str, Curves]], kind: str, x: str, y: str) -> tuple[list[Series], str]:
    """A line for each class of each set of curves, and a note on the classes that are not drawn.

    The first set is drawn thick, the second thin. With two classes a set has one line.
    """
    most = MOST_CLASSES if len(sets) == 1 else MOST_CLASSES // 2
    series = []
    for order, (name, curves) in enumerate(sets):
        for index, one in enumerate(curves[:most]):
            several = len(curves) > 1
            of_class = f"class {short(one['class'], LEGEND_NAME - len(name))}" if several else ""
            points = list(zip(one[kind][x], one[kind][y], strict=True))
            series.append(
                Series(" · ".join(filter(None, [of_class, name])), points, index if several else order, thin=order > 0)
            )
    more = max((len(curves) for _, curves in sets), default=0) - most
    return series, f"{more} more classes are not drawn" if more > 0 else ""


def roc(title: str, sets: Sequence[tuple[str, Curves]], size: Size = SMALL) -> Markup:
    """ROC curves, against chance."""
    series, note = curve_series(sets, "roc", "fpr", "tpr")
    frame = Frame(title, "false positive rate", "true positive rate", diagonal=True)
    return lines(frame, series, size, note)


def precision_recall(
    title: str, sets: Sequence[tuple[str, Curves]], level: float | None = None, size: Size = SMALL
) -> Markup:
    """Precision over recall, against the share of positives (`level`)."""
    series, note = curve_series(sets, "precision_recall", "recall", "precision")
    return lines(Frame(title, "recall", "precision", level=level), series, size, note)


def calibration(title: str, sets: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], size: Size = SMALL) -> Markup:
    """How often it came true over the mean score, in bins of about equally many rows."""
    series = [
        Series(name, [(b["mean_predicted"], b["observed"]) for b in bins], order, thin=order > 0, dots=True)
        for order, (name, bins) in enumerate(sets)
    ]
    most = max((value for one in series for point in one.points for value in point), default=1.0)
    end = min(1.0, max(0.1, -(-most * 10 // 1) / 10))
    frame = Frame(title, "mean score", "share that came true", (0.0, end), (0.0, end), diagonal=True)
    return lines(frame, series, size)


def training(curve: Mapping[str, Sequence[float]], best: int | None, size: Size) -> Markup:
    """Each validation metric over the iterations, in a panel of its own, with the best iteration marked."""
    width, height = size
    panels, top = [], 0.0
    for name, values in [(n, v) for n, v in curve.items() if v][:MOST_PANELS]:
        frame = Frame(
            _training_title(name, values, best),
            "iteration",
            short(name, 20),
            (1.0, float(max(2, len(values)))),
            padded(values),
            upright=float(best) if best else None,
        )
        chart = lines(frame, [Series("", list(enumerate(map(float, values), start=1)), 0)], size)
        panels.append(element("g", chart, transform=f"translate(0 {top:.0f})"))
        top += height + 12
    return drawing(
        width,
        max(top, 40.0),
        "Validation metrics over the iterations",
        panels or [label(20.0, 24.0, "No curve was recorded.")],
    )


def _training_title(name: str, values: Sequence[float], best: int | None) -> str:
    if not best or best > len(values):
        return name
    return f"{short(name, 40)}: {number(float(values[best - 1]))} at the best iteration, {best}"


def importances(rows: Sequence[tuple[str, float, float]], title: str, width: float = 720.0) -> Markup:
    """The features with the greatest gain: a bar of the share of the total gain, with the number of splits."""
    total = sum(gain for _, gain, _ in rows) or 1.0
    shown, line, left = rows[:MOST_IMPORTANCES], 22.0, width * 0.34
    most = max((gain / total for _, gain, _ in shown), default=0.0) or 1.0
    x = Scale(0.0, most, left, width - 130)
    parts = [label(12.0, 17.0, title, "h", 90)]
    for index, (name, gain, split) in enumerate(shown):
        y = 34.0 + index * line
        parts.append(label(left - 8, y + 12, name, "t e", int(left / 6.6)))
        parts.append(
            element("rect", x=left, y=y, width=max(0.5, x(gain / total) - left), height=line - 6, rx=2, class_="b s0")
        )
        parts.append(label(x(gain / total) + 7, y + 12, f"{percent(gain / total)}, {split:,.0f} splits"))
    if len(rows) > len(shown):
        parts.append(label(left, 46.0 + len(shown) * line, f"and {len(rows) - len(shown)} more features"))
    return drawing(width, 40.0 + (len(shown) + (len(rows) > len(shown))) * line, title, parts)


def dependence(name: str, bins: Sequence[tuple[str, float | None]], width: float = 300.0) -> Markup:
    """The mean contribution in each bin of a feature as a bar from zero; a bin without rows has none."""
    height, means = 112.0, [mean or 0.0 for _, mean in bins]
    y = Scale(min(0.0, *means), max(0.0, *means) or 1.0, height - 22, 8)
    x = Scale(0.0, float(max(1, len(bins))), 46, width - 4)
    wide = x(1.0) - x(0.0)
    bars = [box(x(i) + 0.1 * wide, y(max(0.0, m)), 0.8 * wide, abs(y(0.0) - y(m))) for i, m in enumerate(means) if m]
    ends = [label(x.start, height - 4, bins[0][0], "t", 18), label(x.end, height - 4, bins[-1][0], "t e", 18)]
    parts = [
        element("path", d="".join(bars), class_="b s0") if bars else "",
        element("path", d=path([(x.start, y(0.0)), (x.end, y(0.0))]), class_="a"),
        *(label(42.0, y(value) + 4, signed(round(value, 2)), "t e") for value in {y.low, y.high} - {0.0}),
        *ends[: len(bins)],
    ]
    return drawing(width, height, f"{name}: mean contribution by value", parts)


def interval(comparison: Mapping[str, Any], width: float = 360.0) -> Markup:
    """The difference of a comparison as a point with its interval, beside zero and the tolerated loss."""
    low, high = comparison["interval"]
    difference, metric = comparison["difference"], comparison["metric"]
    tolerance = (comparison.get("rule") or {}).get("tolerance") or 0.0
    worst = -tolerance if HIGHER_IS_BETTER.get(metric, True) else tolerance
    x = Scale(*padded([low, high, difference, 0.0, worst], 0.12), 12, width - 12)
    title = f"difference in {short(metric, 40)}: {signed(difference)}, from {signed(low)} to {signed(high)}"
    parts = [*_interval_axis(x), *_whisker(x, low, high, difference)]
    if worst:
        tooltip = element("title", f"tolerated loss {tick(tolerance)}")
        parts.append(element("path", tooltip, d=path([(x(worst), 24.0), (x(worst), 60.0)]), class_="r"))
        if abs(x(worst) - x(0.0)) > 75:
            parts.append(label(x(worst), 16.0, "tolerated", "t m"))
    return drawing(width, 88.0, title, parts)


def _interval_axis(x: Scale) -> Iterable[Markup]:
    for value in x.ticks():
        yield element("path", d=path([(x(value), 60.0), (x(value), 66.0)]), class_="a")
        yield label(x(value), 80.0, tick(value), "t m")
    yield element("path", d=path([(x.start, 60.0), (x.end, 60.0)]), class_="a")
    yield element("path", d=path([(x(0.0), 24.0), (x(0.0), 60.0)]), class_="a")
    yield label(x(0.0), 16.0, "no difference", "t m")


def _whisker(x: Scale, low: float, high: float, middle: float) -> Iterable[Markup]:
    y = 46.0
    yield element("path", d=path([(x(low), y), (x(high), y)]), class_="l s0")
    ends = "".join(path([(x(end), y - 5), (x(end), y + 5)]) for end in (low, high))
    yield element("path", d=ends, class_="l s0")
    yield element("circle", element("title", f"difference {signed(middle)}"), cx=x(middle), cy=y, r=5, class_="b s0")


def share_of_positives(metrics: Mapping[str, Any]) -> float | None:
    """The share of the second of two classes in the rows or in their weight: the precision of chance; else None."""
    counts = metrics.get("class_rows") or {}
    if len(metrics["classes"]) != 2 or not sum(counts.values()):
        return None
    if metrics.get("weighted") and (groups := metrics.get("calibration")) and "weight" in groups[0]:
        return float(sum(one["weight"] * one["observed"] for one in groups) / sum(one["weight"] for one in groups))
    return float(counts.get(metrics["classes"][1], 0) / sum(counts.values()))
