"""Finds the row of a key in a table that `explanation` wrote; prints its cells by column.

Runs inside a container of the base image (`python -c`), so it imports nothing of ours. Reads a JSON request on stdin:
`file`, a CSV file, and `key`, the values of its key columns, which come before `explained_class`.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

FIRST_COLUMN = "explained_class"


def find(file: Path, key: list[str]) -> dict[str, Any]:
    """`columns` of the key, a row's key as an `example`, and the `row` if there is one."""
    csv.field_size_limit(1 << 30)
    with file.open(newline="", encoding="utf-8") as table:
        lines = csv.reader(table)
        header = next(lines)
        width = header.index(FIRST_COLUMN)
        example: list[str] = []
        for line in lines:
            example = example or line[:width]
            if line[:width] == key:
                return {"columns": header[:width], "example": example, "row": dict(zip(header, line, strict=True))}
    return {"columns": header[:width], "example": example, "row": None}


if __name__ == "__main__":
    request = json.load(sys.stdin)
    json.dump(find(Path(request["file"]), request["key"]), sys.stdout)
