"""Text for people: tables whose columns are as wide as their widest cell, sizes, times."""

from collections.abc import Sequence
from datetime import datetime, timezone

UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """The rows as lines; the last column is not filled up."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return [indent + "  ".join(row).rstrip() for row in cells]


def size_text(number: int) -> str:
    """A number of bytes for people, such as 12.3 MB."""
    for unit, name in UNITS:
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} bytes"


def time_text(moment: str) -> str:
    """A time of Airflow or MLflow to the second, in UTC, such as 2026-11-22T03:00:01Z; what is no time stays."""
    try:
        # Python 3.10 does not read the Z.
        found = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return moment
    return f"{found.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}" if found.tzinfo else moment
