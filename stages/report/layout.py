"""Places the nodes of a graph without cycles in columns, left to right, so that edges hardly cross.

Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981): ranks, then
stand-ins where an edge passes a column, then an order within each column by the mean place of the neighbours.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Node = str
# A stand-in for an edge that passes a column: where it comes from, and the column.
StandIn = tuple[str, int]
Place = Node | StandIn
SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """The places of each column from top to bottom, and for each edge the places that it passes."""

    columns: Sequence[Sequence[Place]]
    routes: Mapping[tuple[Node, Node], Sequence[Place]]


def arrange(nodes: Iterable[Node], edges: Iterable[tuple[Node, Node]]) -> Layout:
    """The layout of a graph; an edge that closes a cycle is left out."""
    named = sorted(nodes)
    ranks, kept = _ranks(named, sorted(set(edges)))
    columns: list[list[Place]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for node in named:
        columns[ranks[node]].append(node)
    routes: dict[tuple[Node, Node], list[Place]] = {}
    for start, end in kept:
        passed: list[Place] = [(start, rank) for rank in range(ranks[start] + 1, ranks[end])]
        routes[start, end] = [start, *passed, end]
        for place in passed:
            column = columns[ranks[start] + 1 + passed.index(place)]
            if place not in column:
                column.append(place)
    _untangle(columns, routes.values())
    return Layout(columns, routes)


def _ranks(
    nodes: Sequence[Node], edges: Sequence[tuple[Node, Node]]
) -> tuple[dict[Node, int], list[tuple[Node, Node]]]:
    """The column of each node: after all that it comes from; what comes from nothing stands before its first user."""
    sources: dict[Node, list[Node]] = defaultdict(list)
    for start, end in edges:
        if start != end:
            sources[end].append(start)
    ranks: dict[Node, int] = {}
    under_way: set[Node] = set()

    def rank(node: Node) -> int:
        if node not in ranks:
            under_way.add(node)
            before = [rank(source) for source in sources[node] if source not in under_way]
            under_way.discard(node)
            ranks[node] = max(before, default=-1) + 1
        return ranks[node]

    for node in nodes:
        rank(node)
    kept = [(start, end) for start, end in edges if start != end and ranks[start] < ranks[end]]
    for node in nodes:
        users = [ranks[end] for start, end in kept if start == node]
        if not any(end == node for _, end in kept) and users:
            ranks[node] = min(users) - 1
    return ranks, kept


def _untangle(columns: list[list[Place]], routes: Iterable[Sequence[Place]]) -> None:
    """Order each column by the mean place of the neighbours, forth and back."""
    left: dict[Place, set[Place]] = defaultdict(set)
    right: dict[Place, set[Place]] = defaultdict(set)
    for route in routes:
        for a, b in pairwise(route):
            right[a].add(b)
            left[b].add(a)
    for sweep in range(SWEEPS):
        neighbours = left if sweep % 2 == 0 else right
        for column in columns if sweep % 2 == 0 else reversed(columns):
            _sort(column, neighbours, {place: i for c in columns for i, place in enumerate(c)})


def _sort(column: list[Place], neighbours: Mapping[Place, set[Place]], position: Mapping[Place, int]) -> None:
    def mean(place: Place) -> float:
        near = [position[one] for one in neighbours.get(place, ())]
        return sum(near) / len(near) if near else float(position[place])

    column.sort(key=lambda place: (mean(place), str(place)))
