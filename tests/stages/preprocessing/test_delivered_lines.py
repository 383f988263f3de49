"""Rejected rows of a file that was translated: with the lines, reasons and texts of the file that a person has."""

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from conftest import DATA_HEADER, DS, Day, flock, graded, put, sheep, to_csv
from hypothesis import given
from hypothesis import strategies as st
from stagekit import Publication

from tests.hostile import RUNS

HEADER = [*DATA_HEADER, "grade"]
STRAY = "a quote that is not around a whole field"
# What a record of the file is: good, with a line break or a fault in a value, without a good label, or malformed.
OF_FIELDS = ("too many", "too few", "empty")
KINDS = ["good", "good", "two lines", "two lines, bad label", "bad value", "bad label", "stray", *OF_FIELDS]


def record(kind: str, number: int, delimiter: str) -> tuple[str, list[tuple[str, str]]]:
    """The text of a record, and the file and reason for each row of it that is rejected."""
    values = [*sheep(number), graded(number)[1]]
    if "two lines" in kind:
        values[7] = '"one\ntwo"'
    if kind == "bad value":
        values[4] = "-5"
    if "bad label" in kind:
        values[8] = "Z"
    text = delimiter.join(values)
    malformed = {
        "too many": (f"{text}{delimiter}x", "10 fields, expected 9"),
        "too few": (f"tag-{number}", "1 field, expected 9"),
        "stray": (text.replace("tag", 't"ag', 1), STRAY),
        "empty": ("", "1 field, expected 9"),
    }
    if kind in malformed:
        text, reason = malformed[kind]
        return text, [("data.csv", reason)]
    if kind == "bad value":
        return text, [("data.csv", "lambs: '-5' below minimum 0")]
    if "bad label" in kind:
        of_label = "its row in target.csv was rejected (line {line})"
        return text, [("data.csv", of_label), ("target.csv", "grade: 'Z' is none of A, B, C")]
    return text, []


def one_file(kinds: Sequence[str], delimiter: str) -> tuple[str, list[tuple[str, str, str, str]]]:
    """The text of a file with the label inside, and the rejected rows: file, line, reason, and text if malformed."""
    line, texts, rejected = 2, [delimiter.join(HEADER)], []
    for number, kind in enumerate(kinds):
        text, reasons = record(kind, number, delimiter)
        own = text if kind in ("stray", *OF_FIELDS) else ""
        rejected += [(file, str(line), reason.format(line=line), own) for file, reason in reasons]
        texts.append(text)
        line += 1 + text.count("\n")
    return "".join(f"{text}\n" for text in texts), sorted(rejected, key=lambda row: row[0])


@RUNS
@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=25),
    delimiter=st.sampled_from([",", ";", "\t"]),
    is_compressed=st.booleans(),
    shards=st.sampled_from([1, 1, 3]),
    block=st.sampled_from([200, 16 << 20]),
)
def test_rejected_rows_lead_to_the_lines_of_the_delivered_file(
    day: Day, files: dict[str, Path], kinds: list[str], delimiter: str, is_compressed: bool, shards: int, block: int
) -> None:
    """`1 field, expected 8` with a line of the raw file was said of every malformed row, and of labels another line."""
    text, expected = one_file(["good"] * 30 + kinds, delimiter)
    put(files, "", "")
    content = text.encode()
    files["data.csv"].write_bytes(gzip.compress(content) if is_compressed else content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("csv_input.BLOCK_BYTES", block)
        run = day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"]))
        assert run.code == 0, run.log
        for shard in range(1, shards + 1) if shards > 1 else []:
            assert day.run("prepare", "--shards", str(shards), "--shard", str(shard)).code == 0
        run = day.run("prepare", "--max-rejected", "1", "--shards", str(shards))
    assert run.code == 0, run.log
    malformed = {text for *_, text in expected}
    found = [
        (row["file"], row["line"], row["reason"], row["row"] if row["row"] in malformed else "")
        for row in day.rows(f"processed/{DS}/rejected.csv")
    ]
    assert found == expected
    assert f"rejected {found[0][0]} line {found[0][1]}: {found[0][2]}" in run.log if found else True
    assert run.result["reasons"].get("quotes", 0) == kinds.count("stray")
    assert run.result["reasons"].get("number of fields", 0) == sum(map(kinds.count, OF_FIELDS))


def test_scoring_names_the_lines_and_the_notes_are_inputs(day: Day, files: dict[str, Path]) -> None:
    text, expected = one_file(["good"] * 40 + ["too many", "two lines", "bad value"], ";")
    put(files, text, "")
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    assert day.file(f"raw/{DS}/lines-data.csv").read_text() == (
        'line,delivered,kind,reason\n42,42,number of fields,"10 fields, expected 9"\n'
    )
    assert (day.run("prepare").code, day.run("split").code) == (0, 0)
    day.publish_model()
    run = day.run("features", "--model", "models/2026-11-01")
    found = [tuple(row.values())[:3] for row in day.rows(f"features/{DS}/rejected.csv")]
    assert (run.code, found) == (0, [row[:3] for row in expected])
    for name, step in (("processed", "prepare"), ("features", "features")):
        mark = json.loads(day.file(f"{name}/{DS}/_meta.json").read_text())
        assert f"raw/{DS}/lines-data.csv" in mark["steps"][step]["inputs"]
    # A day that came again without faults has no notes, and an older one never had any.
    put(files, one_file(["good"] * 40, ";")[0], "")
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    assert "lines-data.csv" not in json.loads(day.file(f"raw/{DS}/_meta.json").read_text())["outputs"]
    assert day.run("prepare").result["rejected"] == {"data.csv": 0, "target.csv": 0}


def test_notes_on_a_file_that_another_step_has_replaced_are_not_used(day: Day, files: dict[str, Path]) -> None:
    put(files, one_file(["good"] * 5 + ["stray"] + ["good"] * 40, ";")[0], "")
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    lines = flock(46)[0].splitlines()
    lines[6] = "other"
    with Publication(day.root, f"raw/{DS}", "generate") as publication:
        publication.path("data.csv").write_text("\n".join([*lines, ""]))
    assert day.run("prepare").code == 0
    first = day.rows(f"processed/{DS}/rejected.csv")[0]
    assert (first["line"], first["reason"], first["row"]) == ("7", "1 field, expected 8", "other")


def test_row_of_parquet_is_named_by_its_number_below_a_header(day: Day, files: dict[str, Path]) -> None:
    """Values with line breaks made the line of the raw file another number."""
    rows = [sheep(number) for number in range(40)]
    for number in (3, 5, 8):
        rows[number][7] = "one\ntwo"
    rows[20][4] = "-5"
    put(files, "", to_csv(["tag", "grade"], map(graded, range(40))))
    content = io.BytesIO()
    pl.DataFrame(rows, schema=DATA_HEADER, orient="row").write_parquet(content)
    files["data.csv"].write_bytes(content.getvalue())
    named = [text for name, path in files.items() for text in (f"--{name.partition('.')[0]}", str(path))]
    assert day.run("import", *named).code == 0
    assert day.run("prepare").code == 0
    (row,) = day.rows(f"processed/{DS}/rejected.csv")
    assert (row["line"], row["reason"]) == ("22", "lambs: '-5' below minimum 0")
