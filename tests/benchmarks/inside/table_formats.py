"""Writes and reads a table of numbers as CSV, Arrow and Parquet with polars; prints seconds and bytes of each.

Usage: table_formats.py TABLE.csv FOLDER REPEATS. Runs in preprocessing's image.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

FORMATS: dict[str, tuple[Callable[[pl.DataFrame, Path], Any], Callable[[Path], pl.DataFrame]]] = {
    "CSV": (lambda frame, path: frame.write_csv(path), pl.read_csv),
    "Arrow": (lambda frame, path: frame.write_ipc(path), lambda path: pl.read_ipc(path)),
    "Parquet": (lambda frame, path: frame.write_parquet(path), pl.read_parquet),
}


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


table, folder, repeats = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
frame = pl.read_csv(table)
found: dict[str, dict[str, float]] = {name: {"write": float("inf"), "read": float("inf")} for name in FORMATS}
for _ in range(repeats):  # in turn, so that what else the machine does hits all
    for name, (write, read) in FORMATS.items():
        path = folder / name
        found[name]["write"] = min(found[name]["write"], seconds(lambda: write(frame, path)))  # noqa: B023 - called here
        found[name]["read"] = min(found[name]["read"], seconds(lambda: read(path)))  # noqa: B023 - called here
        found[name]["bytes"] = path.stat().st_size
assert all(read(folder / name).equals(frame) for name, (_, read) in FORMATS.items())
print(json.dumps(found))
