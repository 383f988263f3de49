"""The lineage of a page as a graph: partitions as cards, what was read as edges, from left to right."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

from layout import Layout, Place, arrange
from marks import History, Step
from svg import clean, drawing, element, join, label

WIDTH, GAP, ROW, HEAD = 164.0, 28.0, 15.0, 24.0
APART, SLOT, EDGE = 18.0, 10.0, 14.0
# A wider graph is drawn smaller where the window is not so wide, but not smaller than this.
SHRINKS_TO = 960.0
TAG_DIGITS = 8


def lineage(history: History, target: str) -> Markup:
    """The graph; `target` is the partition that the page is in."""
    steps: dict[str, list[Step]] = defaultdict(list)
    edges: dict[tuple[str, str], list[str]] = defaultdict(list)
    for step in history.steps:
        steps[step.partition].append(step)
        for read in step.reads:
            if read != step.partition:
                edges[read, step.partition].append(step.name)
    nodes = {*steps, *(name for edge in edges for name in edge)}
    layout = arrange(nodes, edges)
    heights = {node: _height(steps.get(node, [])) for node in nodes}
    tops, height = _tops(layout, heights)
    drawn = [
        _edge(names, layout.routes[edge], tops, heights, layout)
        for edge, names in edges.items()
        if edge in layout.routes
    ]
    cards = [
        _card(node, steps.get(node, []), _left(layout, node), tops[node], target, history.gone)
        for node in sorted(nodes)
    ]
    width = len(layout.columns) * (WIDTH + GAP) - GAP + 2 * EDGE
    title = f"{len(nodes)} partitions and the {len(history.steps)} steps that made them, from raw data to this page"
    kind = "chart wide" if width > SHRINKS_TO else "chart natural"
    return drawing(max(width, WIDTH), height, title, [*drawn, *cards], kind)


def _height(steps: list[Step]) -> float:
    return HEAD + max(1, len(steps)) * 2 * ROW + 4


def _tops(layout: Layout, heights: Mapping[str, float]) -> tuple[dict[Place, float], float]:
    """Where each place begins, each column centred; and how high the drawing is."""
    sizes = [[heights.get(p, SLOT) if isinstance(p, str) else SLOT for p in column] for column in layout.columns]
    totals = [sum(column) + APART * (len(column) - 1) for column in sizes]
    tallest = max(totals, default=0.0)
    tops: dict[Place, float] = {}
    for column, size, total in zip(layout.columns, sizes, totals, strict=True):
        y = EDGE + (tallest - total) / 2
        for place, high in zip(column, size, strict=True):
            tops[place] = y
            y += high + APART
    return tops, tallest + 2 * EDGE


def _left(layout: Layout, place: Place) -> float:
    column = next(i for i, column in enumerate(layout.columns) if place in column)
    return EDGE + column * (WIDTH + GAP)


def _edge(
    names: list[str], places: Sequence[Place], tops: Mapping[Place, float], heights: Mapping[str, float], layout: Layout
) -> Markup:
    """What was read, as a line through the places that it passes, with its tip at the reader."""
    points = []
    for place in places:
        x = _left(layout, place)
        y = tops[place] + (heights[place] if isinstance(place, str) else SLOT) / 2
        points += [(x, y), (x + WIDTH, y)]
    points = points[1:-1]
    d = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (x1 - x0) / 2
        d += f"C{x0 + half:.1f} {y0:.1f} {x1 - half:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    x, y = points[-1]
    told = element("title", f"{', '.join(sorted(set(names)))}: reads {places[0]}, writes {places[-1]}")
    return join(
        [element("path", told, d=d, class_="edge"), element("path", d=f"M{x:.1f} {y:.1f}l-7 -3.5v7z", class_="tip")]
    )


def _card(node: str, steps: list[Step], x: float, y: float, target: str, gone: Mapping[str, str]) -> Markup:
    """A partition: its name, and each step that wrote into it with its image."""
    kind = "card end" if node == target else "card gone" if node in gone else "card"
    parts = [
        element("rect", x=x, y=y, width=WIDTH, height=_height(steps), rx=7, class_=kind),
        label(x + 10, y + 17, node, "c", 23),
    ]
    for index, step in enumerate(steps):
        top = y + HEAD + index * 2 * ROW
        files = f"{step.name} wrote {', '.join(step.files)}; {step.image or 'image not recorded'}"
        parts.append(
            element(
                "g",
                element("title", clean(files)[:300]),
                label(x + 10, top + 11, step.name, "t i", 22),
                label(x + 10, top + 24, _tag(step.image), "t mono", 25),
            )
        )
    if not steps:
        parts.append(label(x + 10, y + HEAD + 12, gone.get(node, "not followed further"), "t", 24))
    return join(parts)


def _tag(image: str) -> str:
    name, colon, tag = image.removeprefix("airflow-ml-").rpartition(":")
    return f"{name}{colon}{tag[:TAG_DIGITS]}" or "image not recorded"
