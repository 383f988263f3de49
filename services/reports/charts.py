"""Small charts as SVG: one value a day over the same days, each day a link to its page.

A chart is as wide as the page. Shapes are stretched with it, texts are not: they are outside of the stretched part.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from itertools import pairwise

# Few days are not stretched over the whole width.
LEAST_DAYS = 7
# The shapes are drawn on a sheet of so many units; the axis is below it.
HEIGHT, AXIS = 100.0, "85%"
MOST_TICKS = 3
# A model's name has room in so much of the width.
LEAST_LABEL = 0.1
# More days than this have no room for dots and for space between bars.
MOST_SEPARATE = 60


@dataclass(frozen=True)
class Axis:
    """The days of a chart, from the first to the last, with those that have no report."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days there are."""
        return (self.last - self.first).days + 1

    @property
    def is_crowded(self) -> bool:
        """Whether the days are too many to draw each by itself."""
        return self.days > MOST_SEPARATE

    def place(self, ds: str) -> int:
        """The number of a day, from 0."""
        return (date.fromisoformat(ds) - self.first).days

    def day(self, place: int) -> str:
        """The day of a number."""
        return (self.first + timedelta(days=place)).isoformat()


def axis_of(days: Sequence[str]) -> Axis:
    """The axis over days in order, LEAST_DAYS at least."""
    last = date.fromisoformat(days[-1])
    return Axis(
        min(date.fromisoformat(days[0]), last - timedelta(days=min(LEAST_DAYS - 1, last.toordinal() - 1))), last
    )


@dataclass(frozen=True)
class Chart:
    """What a chart shows. `titles` has each day that has a report, in order, with the text to show over it."""

    axis: Axis
    name: str
    titles: Mapping[str, str]

    def draw(self, shapes: str, texts: str = "", labels: str = "") -> str:
        """The chart: labels of the values, and an SVG of gaps, shapes, texts and a link for each day."""
        sheet = (
            f'<svg viewBox="0 0 {self.axis.days} {HEIGHT:g}" preserveAspectRatio="none" height="{AXIS}">'
            f"{self._gaps()}{shapes}</svg>"
        )
        links = f'<svg viewBox="0 0 {self.axis.days} {HEIGHT:g}" preserveAspectRatio="none">{self._links()}</svg>'
        head = f'<svg class="chart" role="img" aria-label="{escape(self.name)}">'
        return f'<div class="plot">{labels}{head}{sheet}{texts}{self._ticks()}{links}</svg></div>'

    def _gaps(self) -> str:
        """A band over each run of days without a report, between the first and the last that have one."""
        places = [self.axis.place(ds) for ds in self.titles]
        gaps = ((before + 1, after - before - 1) for before, after in pairwise(places) if after - before > 1)
        return "".join(rectangle("gap", x, 0, width, HEIGHT) for x, width in gaps)

    def _links(self) -> str:
        return "".join(
            f'<a href="/{ds}/" tabindex="-1"><rect class="hit" x="{self.axis.place(ds)}" width="1" '
            f'height="{HEIGHT:g}"><title>{escape(f"{ds}: {title}")}</title></rect></a>'
            for ds, title in self.titles.items()
        )

    def _ticks(self) -> str:
        last = self.axis.days - 1
        places = sorted({round(last * tick / (MOST_TICKS - 1)) for tick in range(MOST_TICKS)})
        return "".join(self._tick(place, last) for place in places)

    def _tick(self, place: int, last: int) -> str:
        ds = self.axis.day(place)
        anchor, x = {0: ("start", 0.0), last: ("end", 100.0)}.get(place, ("middle", 100 * (place + 0.5) / (last + 1)))
        # A phone has little room between the first and the last, which have the year.
        return text(f"{x:.4g}%", "98%", ds if place in (0, last) else ds[5:], anchor=anchor)


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` on the sheet, with a margin above and below."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        margin = HEIGHT / 10
        return HEIGHT - margin - (value - self.low) / ((self.high - self.low) or 1) * (HEIGHT - 2 * margin)

    def labels(self, show: Callable[[float], str]) -> str:
        """The values at the top and the bottom."""
        return f'<div class="scale"><span>{show(self.high)}</span><span>{show(self.low)}</span></div>'


def rectangle(kind: str, x: float, y: float, width: float, height: float) -> str:
    """A rectangle on the sheet."""
    return f'<rect class="{kind}" x="{x:.6g}" y="{y:.6g}" width="{width:.6g}" height="{height:.6g}"/>'


def text(x: str, y: str, content: str, kind: str = "", anchor: str = "start") -> str:
    """A text, placed in percent of the chart."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def line(kind: str, axis: Axis, values: Mapping[str, float], scale: Scale) -> str:
    """A line through the values; it breaks where a day has none."""
    points = [(axis.place(ds) + 0.5, scale(value)) for ds, value in values.items()]
    parts = "".join("ML"[_follows(points, at)] + f"{x:.6g} {y:.4g}" for at, (x, y) in enumerate(points))
    return f'<path class="{kind}" d="{parts}"/>' if parts else ""


def _follows(points: Sequence[tuple[float, float]], at: int) -> bool:
    return at > 0 and points[at][0] - points[at - 1][0] == 1


def steps(kind: str, axis: Axis, values: Mapping[str, float], scale: Scale) -> str:
    """A level line over each day's width; it breaks where a day has no value."""
    points = [(axis.place(ds), scale(value)) for ds, value in values.items()]
    parts = (f"{'V' if _follows(points, at) else f'M{x} '}{y:.4g}h1" for at, (x, y) in enumerate(points))
    return f'<path class="{kind}" d="{"".join(parts)}"/>' if points else ""


def dots(kind: str, axis: Axis, values: Mapping[str, float], scale: Scale) -> str:
    """A dot at each value: a line without length, whose round ends are not stretched."""
    parts = "".join(f"M{axis.place(ds) + 0.5:.6g} {scale(value):.4g}h0" for ds, value in values.items())
    crowded = " small" if axis.is_crowded else ""
    return f'<path class="{kind}{crowded}" d="{parts}"/>' if parts else ""


def bars(kind: str, axis: Axis, values: Mapping[str, tuple[float, float]], scale: Scale) -> str:
    """A bar from one value to another on each day."""
    space = 0 if axis.is_crowded else 0.1
    return "".join(
        rectangle(kind, axis.place(ds) + space, scale(high), 1 - 2 * space, scale(low) - scale(high))
        for ds, (low, high) in values.items()
        if high > low
    )


def spans(axis: Axis, names: Mapping[str, str]) -> tuple[str, str]:
    """A band for each run of days with the same name, in two shades by turns, and the names that have room."""
    shapes, texts, shade, before = "", "", 1, ""
    for ds, length, name in _runs(axis, names):
        shade, before = shade ^ (name != before), name
        place = axis.place(ds)
        shapes += rectangle(("even", "odd")[shade], place, 0.3 * HEIGHT, length, 0.4 * HEIGHT)
        if length / axis.days >= LEAST_LABEL:
            texts += text(f"{100 * (place + length / 2) / axis.days:.4g}%", "20%", name, "on", "middle")
    return shapes, texts


def _runs(axis: Axis, names: Mapping[str, str]) -> Iterator[tuple[str, int, str]]:
    """The first day, the length and the name of each run of days that follow each other."""
    first, length, current = "", 0, ""
    for ds, name in names.items():
        if length and name == current and axis.place(ds) == axis.place(first) + length:
            length += 1
            continue
        if length:
            yield first, length, current
        first, length, current = ds, 1, name
    if length:
        yield first, length, current
