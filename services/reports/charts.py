"""Small charts as SVG: one value a day over the same days, each day a link to its page.

A chart is as wide as the page. Shapes are stretched with it, texts are not: they are outside of the stretched part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from itertools import pairwise

# The shapes are drawn on a sheet of so many units; the axis is below it.
HEIGHT, AXIS = 100.0, "85%"
MOST_TICKS = 3
# A row of a heat map and the axis below it, in em; where a cell of each level begins and ends, as shares of its row.
ROW, ROW_AXIS = 1.5, 1.4
CELLS = ((0.45, 0.55), (0.36, 0.64), (0.22, 0.78), (0.08, 0.92), (0.22, 0.78), (0.36, 0.64))
# A model's name has room in so much of the width.
LEAST_LABEL = 0.12
# More days than this have no room for dots, for space between bars and for upright lines over the whole height.
MOST_SEPARATE = 60
SHORT_MARK = HEIGHT / 20


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
    """The axis over days in order."""
    return Axis(date.fromisoformat(days[0]), date.fromisoformat(days[-1]))


@dataclass(frozen=True)
class Chart:
    """What a chart shows. `titles` has each day that has a report, in order, with the text to show over it.

    `rows` is the number of rows of a heat map, 0 for other charts.
    """

    axis: Axis
    name: str
    titles: Mapping[str, str]
    rows: int = 0

    def draw(self, shapes: str, texts: str = "", labels: str = "") -> str:
        """The chart: labels of the values, and an SVG of gaps, shapes, texts and a link for each day."""
        whole = ROW * self.rows + ROW_AXIS
        below = f"{100 * ROW * self.rows / whole:.4g}%" if self.rows else AXIS
        sheet = (
            f'<svg viewBox="0 0 {self.axis.days} {HEIGHT:g}" preserveAspectRatio="none" height="{below}">'
            f"{self._gaps()}{shapes}</svg>"
        )
        links = f'<svg viewBox="0 0 {self.axis.days} {HEIGHT:g}" preserveAspectRatio="none">{self._links()}</svg>'
        height = f' height="{whole:g}em"' if self.rows else ""
        head = f'<svg class="chart" role="img" aria-label="{escape(self.name)}"{height}>{sheet}{texts}{self._ticks()}'
        return f'<div class="plot{" rows" if self.rows else ""}">{labels}{head}{links}</svg></div>'

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


def dashes(axis: Axis, days: Sequence[str], kind: str = "none", above: float = 3) -> str:
    """A dash for each of the days, so far above the bottom; without another kind, they are days that have no value."""
    parts = "".join(f"M{axis.place(ds) + 0.1:.6g} {HEIGHT - above:g}h0.8" for ds in days)
    return f'<path class="{kind}" d="{parts}"/>' if parts else ""


def bars(kind: str, axis: Axis, values: Mapping[str, tuple[float, float]], scale: Scale) -> str:
    """A bar from one value to another on each day."""
    space = 0 if axis.is_crowded else 0.1
    return "".join(
        rectangle(kind, axis.place(ds) + space, scale(high), 1 - 2 * space, scale(low) - scale(high))
        for ds, (low, high) in values.items()
        if high > low
    )


def whiskers(axis: Axis, intervals: Mapping[str, tuple[float, float]], scale: Scale) -> str:
    """An upright line over the interval of each day."""
    parts = "".join(
        f"M{axis.place(ds) + 0.5:.6g} {scale(low):.4g}V{scale(high):.4g}" for ds, (low, high) in intervals.items()
    )
    crowded = " small" if axis.is_crowded else ""
    return f'<path class="interval{crowded}" d="{parts}"/>' if parts else ""


def marks(axis: Axis, names: Mapping[str, str]) -> tuple[str, str]:
    """A line before each day whose name is not that of the day before, and those names that have room."""
    shapes, texts, free = "", "", 0.0
    end, below = (SHORT_MARK, "13%") if axis.is_crowded else (HEIGHT, "7%")
    for (_, before), (ds, name) in pairwise(names.items()):
        if name == before:
            continue
        share = axis.place(ds) / axis.days
        shapes += f"M{axis.place(ds)} 0V{end:g}"
        if free <= share <= 1 - LEAST_LABEL:
            free = share + LEAST_LABEL
            texts += text(f"{100 * share + 0.5:.4g}%", below, name, "on")
    return (f'<path class="mark" d="{shapes}"/>' if shapes else ""), texts


def cells(axis: Axis, rows: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """A heat map: for each row the kind of its cells, and the level of each day.

    The cell of level 1 is low, of 2 higher, of 3 as high as the row; level 0 is a dash: not measured. So colour is not
    the only sign. Levels 4 and 5 are as high as 2 and 1, in another colour or of another meaning.
    """
    room, space = HEIGHT / len(rows), 0 if axis.is_crowded else 0.06
    paths: dict[str, str] = {}
    for number, (kind, levels) in enumerate(rows):
        for ds, level in levels.items():
            low, high = CELLS[level]
            x, y = axis.place(ds) + space, (number + low) * room
            path = f"M{x:.6g} {y:.4g}h{1 - 2 * space:g}v{(high - low) * room:.4g}h{2 * space - 1:g}z"
            paths[f"{kind}{level}"] = paths.get(f"{kind}{level}", "") + path
    return "".join(f'<path class="cell {kind}" d="{path}"/>' for kind, path in paths.items())


def row_names(names: Sequence[str]) -> str:
    """The names of a heat map's rows."""
    return f'<div class="names">{"".join(f"<span><bdi>{name}</bdi></span>" for name in names)}</div>'
