"""Reads a raw data.csv as `prepare` does, checks its rows as `prepare` does, and reads the same table as Parquet.

Usage: raw_readers.py RAW_FOLDER FOLDER REPEATS. Prints processor seconds of each, the least of all runs. Runs in
preprocessing's image. Parquet is read with the values that polars recognises in the texts.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from checks import FieldChecks
from csv_input import CsvFile
from parallel import in_order
from table_schema import read_schema

raw, folder, repeats = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
data, parquet = raw / "data.csv", folder / "data.parquet"
schema = read_schema(raw / "schema.json", "schema.json")
fields = schema.of(schema.data_columns)
pl.read_csv(data, try_parse_dates=True, infer_schema_length=None).write_parquet(parquet)


def read_csv() -> int:
    file = CsvFile(data, "data.csv")
    return sum(batch.rows.height for batch in in_order(file.parse, file.blocks()))


def read_and_check_csv() -> int:
    file, checks = CsvFile(data, "data.csv"), FieldChecks(fields, schema.missing, [], "schema.json")
    return sum(
        checked.good.height + checked.bad.height
        for checked in in_order(lambda block: checks.apply(file.parse(block)), file.blocks())
    )


def read_parquet() -> int:
    return sum(frame.height for frame in pl.scan_parquet(parquet).collect_batches(chunk_size=1 << 17))


READERS: dict[str, Callable[[], int]] = {
    "csv": read_csv, "csv and checks": read_and_check_csv, "parquet": read_parquet
}  # fmt: skip
found = dict.fromkeys(READERS, float("inf"))
rows = set()
for _ in range(repeats):
    for name, read in READERS.items():
        started = time.process_time()
        rows.add(read())
        found[name] = min(found[name], time.process_time() - started)
assert len(rows) == 1, rows
print(json.dumps(found))
