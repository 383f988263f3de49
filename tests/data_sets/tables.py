"""Small tables as people have them: from packages, and made here; each as texts, before a quirk is added."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from tests.data_sets.packages import package_file
from tests.harness import images, python

START = datetime(2026, 1, 1)
# A customer who spends little leaves.
LOYAL_SPEND = 60
FROM_SCIKIT_LEARN = """
import sklearn.datasets as datasets
bunch = datasets.load_{name}(as_frame=True)
table = bunch.data.assign({target}=[bunch.target_names[code] for code in bunch.target])
print(table.to_csv(index=False), end="")
"""


@dataclass(frozen=True)
class Table:
    """Columns, and rows of texts in their order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def with_column(self, name: str, cells: Iterable[str]) -> "Table":
        """The table with other cells in a column, or with one more column, which is the first but one."""
        values = list(cells)
        if name not in self.columns:
            rows = zip(self.rows, values, strict=True)
            return Table((self.columns[0], name, *self.columns[1:]), tuple((r[0], v, *r[1:]) for r, v in rows))
        at = self.columns.index(name)
        return replace(self, rows=tuple((*r[:at], v, *r[at + 1 :]) for r, v in zip(self.rows, values, strict=True)))

    def mapped(self, name: str, change: Callable[[str], str]) -> "Table":
        """The table with each cell of a column changed."""
        return self.with_column(name, map(change, self.column(name)))

    def named(self, **names: str) -> "Table":
        """The table with other names for columns."""
        return replace(self, columns=tuple(names.get(name, name) for name in self.columns))

    def only(self, *names: str) -> "Table":
        """The table with these columns alone."""
        places = [self.columns.index(name) for name in names]
        return Table(names, tuple(tuple(row[place] for place in places) for row in self.rows))


def read_csv(text: str) -> Table:
    """A table from CSV with a header."""
    header, *rows = csv.reader(io.StringIO(text))
    return Table(tuple(header), tuple(map(tuple, rows)))


@cache
def from_scikit_learn(name: str, target: str) -> Table:
    """A data set that scikit-learn ships, with its classes as texts."""
    return read_csv(python(images()["prediction"], FROM_SCIKIT_LEARN.format(name=name, target=target)).stdout)


@cache
def from_package(path: str) -> Table:
    """A CSV file of a package."""
    return read_csv(package_file(path).read_text(encoding="utf-8"))


@cache
def from_json(path: str) -> Table:
    """A JSON file of a package: a list of objects; null is an empty cell."""
    records = json.loads(package_file(path).read_text(encoding="utf-8"))
    columns = tuple(records[0])
    cells = [["" if record[name] is None else str(record[name]) for name in columns] for record in records]
    return Table(columns, tuple(map(tuple, cells)))


@cache
def churn(rows: int = 400, leavers: float = 0.3, seed: int = 0) -> Table:
    """Customers, and whether they left: a key, numbers, a category, a time, a yes or no, the label."""
    chance = random.Random(seed)
    found = []
    for number in range(rows):
        churned = chance.random() < leavers
        spend = max(chance.gauss(LOYAL_SPEND / 2 if churned else LOYAL_SPEND * 2, 25), 1.0)
        found.append((
            f"C{number:05d}",
            str(chance.randint(18, 90)),
            f"{spend:.2f}",
            chance.choice(("basic", "family", "business")),
            (START + timedelta(minutes=chance.randint(0, 400_000))).strftime("%Y-%m-%dT%H:%M:%S"),
            chance.choice(("yes", "no")),
            "yes" if churned else "no",
        ))  # fmt: skip
    return Table(("customer", "age", "spend", "plan", "last_seen", "newsletter", "churned"), tuple(found))


def written(table: Table, path: Path, *, delimiter: str = ",", encoding: str = "utf-8", newline: str = "\n") -> Path:
    """Write a table as CSV; quotes where they are needed."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=newline)
        writer.writerows([table.columns, *table.rows])
    return path
