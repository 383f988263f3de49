"""What people compare first between two runs: parameters, figures, numbers of rows, each on both sides."""

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_ml.lineage.compare import Comparison, Pair, role
from airflow_ml.lineage.graph import short
from airflow_ml.text_table import aligned

ABSENT = "-"
# Figures of a result that count rows; those are in a table of their own.
ROWS = ("rows", "rows_in", "rows_out")
PARAMETERS = ("argument", "parameter", "seed")
# A step can say very much, such as how often it met each reason.
MOST_FIGURES = 20
Row = tuple[str, ...]


def tables(comparison: Comparison) -> Iterator[str]:
    """A table for each kind of difference, below an empty line; none if nothing of the kind differs."""
    pairs = comparison.different
    for title, rows in (
        ("Figures", [row for pair in pairs for row in figures(pair)]),
        ("Parameters", [row for pair in pairs for row in parameters(pair)]),
        ("Rows", list(dict.fromkeys(row for pair in pairs for row in row_counts(pair)))),
    ):
        if rows:
            header = (title, "", "A", "B", *(["B - A"] if len(rows[0]) == 5 else []))
            yield from ("", *aligned([header, *(("  " + row[0], *row[1:]) for row in rows)]))


def figures(pair: Pair) -> list[Row]:
    """The numbers of the results of two steps that differ: step, name, A, B, difference.

    Steps that made the same bytes said the same of them.
    """
    if not pair.outputs:
        return []
    a, b = (dict(_numbers(step.recorded("result"))) for step in (pair.a, pair.b))
    names = [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name) and name not in ROWS]
    rows = [(pair.a.name, name, *_sides(a.get(name), b.get(name))) for name in names[:MOST_FIGURES]]
    more = len(names) - len(rows)
    return [*rows, *([(pair.a.name, f"and {more} more", "", "", "")] if more else [])]


def _numbers(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in result.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, value


def parameters(pair: Pair) -> Iterator[Row]:
    """The arguments, parameters and seeds of two steps that differ: step, name, A, B."""
    days = (pair.a.partition.rpartition("/")[2], pair.b.partition.rpartition("/")[2])
    for change in pair.own:
        # The day of each side is in the name of its partition.
        if change.kind in PARAMETERS and (change.name, change.a, change.b) != ("ds", *days):
            yield pair.a.name, change.name, value_text(change.a), value_text(change.b)


def row_counts(pair: Pair) -> Iterator[Row]:
    """The files of two steps that have other numbers of rows: step, file, A, B, difference."""
    a, b = ({role(path): output.get("rows") for path, output in step.outputs.items()} for step in (pair.a, pair.b))
    for name in sorted(a.keys() & b.keys()):
        if a[name] != b[name]:
            yield pair.a.name, name, *_sides(a[name], b[name])


def _sides(a: float | None, b: float | None) -> Row:
    """Both sides, and by how much B is more."""
    difference = "" if a is None or b is None else number_text(b - a, sign="+")
    return number_text(a), number_text(b), difference


def number_text(number: float | None, sign: str = "") -> str:
    """A number for people; `-` for none."""
    if number is None:
        return ABSENT
    return f"{number:{sign},}" if isinstance(number, int) else f"{number:{sign}.6g}"


def value_text(value: Any) -> str:
    """A value of a parameter for people; of a file its name and the first digits of its hash."""
    if value is None:
        return ABSENT
    if isinstance(value, dict) and "file" in value:
        return f"{value['file']} ({short(value['sha256'])})" if value.get("sha256") else str(value["file"])
    return short(value) if isinstance(value, str) and value.startswith("sha256:") else str(value)
