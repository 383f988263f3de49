"""Rows of a raw file that are no rows, many or few: the image that Airflow starts reads them in bounded memory."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.harness import data_folder

DS = "2026-11-21"
SCHEMA = {
    "fields": [
        {"name": "id", "type": "integer", "role": "key"},
        {"name": "x", "type": "string", "role": "feature"},
        {"name": "y", "type": "string", "role": "target"},
    ]
}
GOOD = [f"{number},x{number % 7},{'ab'[number % 2]}\n" for number in range(8000)]
# The texts at these places of the file, and what is said of them.
ODD: Mapping[str, tuple[Mapping[int, str], int, str]] = {
    "two rows with a field too many": ({1000: "9000,x,a,1\n", 5000: "9001,x,a,1\n"}, 0, "malformed rows: 2"),
    "millions of newlines in a quoted field": (
        {7000: '9000,"' + 3_000_000 * "\n" + '",a\n'},
        3,
        "inside a quoted field",
    ),
    "millions of newlines": ({7000: 3_000_000 * "\n"}, 3, "do not fit its header"),
    "millions of rows of commas": ({7000: 1_000_000 * ",,,,,,,,,\n"}, 3, "do not fit its header"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_rows_need_little_memory(tmp_path: Path, name: str) -> None:
    """Such files needed more than 2 GB, and two rows ended in a panic of polars."""
    places, code, message = ODD[name]
    data = data_folder(tmp_path / "data")
    lines = [*GOOD]
    for place, text in sorted(places.items(), reverse=True):
        lines.insert(place, text)
    own = tmp_path / "own"
    own.mkdir()
    (own / "data.csv").write_text("".join(["id,x,y\n", *lines]))
    (own / "schema.json").write_text(json.dumps(SCHEMA))
    files = ("--data=/own/data.csv", "--schema=/own/schema.json")
    limits = (f"--volume={own}:/own:ro", "--memory=400m", "--memory-swap=400m", "--env=POLARS_MAX_THREADS=2")
    run = data.stage("preprocessing", "import", f"--ds={DS}", *files, code=code, options=limits)
    assert message in run.log
    if not code:
        prepared = data.prepare(DS)
        assert prepared.line["rows_out"] == len(GOOD)
        kept = csv.DictReader(io.StringIO(data.read(f"processed/{DS}/train_data.csv")))
        assert [",".join(row.values()) + "\n" for row in kept] == GOOD
