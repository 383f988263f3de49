"""infer-schema: the draft fits the files that it was made from, and the stage then takes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_HEADER, Day, field, flock, graded, put, sheep, to_csv
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import RUNS


def infer(day: Day, files: dict[str, Path], *options: str) -> dict[str, Any]:
    out = files["schema.json"]
    out.unlink(missing_ok=True)
    named = ["--data", str(files["data.csv"]), "--target", str(files["target.csv"])]
    run = day.run("infer-schema", *named, "--out", str(out), *options, ds=None)
    assert run.code == 0, run.log
    schema: dict[str, Any] = json.loads(out.read_text())
    assert all(f["description"] for f in schema["fields"])
    return {**schema, "fields": [{k: v for k, v in f.items() if k != "description"} for f in schema["fields"]]}


COLUMNS = {
    "whole": (["1", "-20", ""], field("", "integer", "feature")),
    "broken": (["1", "2.5", "1e-3"], field("", "number", "feature")),
    "flag": (["true", "false", ""], field("", "boolean", "feature")),
    "zero or one": (["0", "1"], field("", "integer", "feature")),
    "day": (["2026-11-21", "2026-02-28"], field("", "date", "time")),
    "moment": (["2026-11-21T10:11:12Z", "2026-11-21T10:11:12+01:00"], field("", "datetime", "time")),
    "spaced moment": (["2026-11-21 10:11:12"], {**field("", "datetime", "time"), "format": "%Y-%m-%d %H:%M:%S"}),
    "postcode": (["01234", "56789"], field("", "string", "feature")),
    "word": (["red", "green", "7"], field("", "string", "feature")),
    "endless": (["1.5", "inf"], field("", "string", "feature")),
    "nothing": ([""], field("", "string", "ignore")),
    "own name": ([f"x{number}" for number in range(60)], field("", "string", "ignore")),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_inferred_type_is_the_narrowest_that_fits(day: Day, files: dict[str, Path], name: str) -> None:
    values, expected = COLUMNS[name]
    rows = [[number, values[number % len(values)], "a"] for number in range(60)]
    put(files, to_csv(["id", name, "z"], rows), to_csv(["id", "y"], [[number, number % 2] for number in range(60)]))
    schema = infer(day, files)
    assert schema["fields"] == [
        field("id", "integer", "key", required=True),
        {**expected, "name": name},
        field("z", "string", "feature"),
        {**field("y", "integer", "target", required=True), "positiveClass": 1},
    ]
    assert schema["primaryKey"] == ["id"]


def test_inferred_roles_follow_the_options(day: Day, files: dict[str, Path]) -> None:
    data, target = flock(60)
    put(files, data.replace("merino", "NA"), target)
    schema = infer(day, files, "--entity", "farm", "--missing", "NA")
    assert {f["name"]: (f["role"], f["type"]) for f in schema["fields"]} == {
        "tag": ("key", "string"),
        "farm": ("entity", "string"),
        "weighed": ("time", "datetime"),
        "kilos": ("feature", "number"),
        "lambs": ("feature", "integer"),
        "breed": ("feature", "string"),
        "organic": ("feature", "boolean"),
        "memo": ("feature", "string"),
        "grade": ("target", "string"),
    }
    assert schema["missingValues"] == ["", "NA"]


@pytest.mark.parametrize(
    ("target", "options", "code", "message"),
    [
        ("other,grade\n1,A\n", [], 2, "no column in common"),
        ("tag,grade\nx,A\n", ["--key", "label"], 2, "there is no column 'label'"),
        ("tag,grade,colour\nx,A,red\n", [], 3, "expected: the key and exactly one column"),
        ("tag\nx\n", [], 3, "beside the key tag that is nothing"),
    ],
)
def test_infer_schema_asks_for_what_it_cannot_know(
    day: Day, files: dict[str, Path], target: str | None, options: list[str], code: int, message: str
) -> None:
    put(files, flock(5)[0], target or "")
    files["schema.json"].unlink()
    named = ["--data", str(files["data.csv"]), *(["--target", str(files["target.csv"])] if target else [])]
    run = day.run("infer-schema", *named, "--out", str(files["schema.json"]), *options, ds=None)
    assert run.code == code
    assert message in run.log
    assert not files["schema.json"].exists()


def test_infer_schema_overwrites_only_with_force(day: Day, files: dict[str, Path]) -> None:
    put(files, *flock(5))
    options = ["--data", str(files["data.csv"]), "--key", "tag", "--out", str(files["schema.json"])]
    before = files["schema.json"].read_text()
    assert day.run("infer-schema", *options, ds=None).code == 2
    assert files["schema.json"].read_text() == before
    assert day.run("infer-schema", *options, "--force", ds=None).code == 0


CELLS = {
    "integer": st.integers(-(2**40), 2**40).map(str),
    "number": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "word": st.sampled_from(["red", "green", "", "a,b", 'say "x"', "two\nlines", "é"]),
    "flag": st.sampled_from(["true", "false"]),
    "date": st.dates().map(str),
    "moment": st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat()),
}


@RUNS
@given(data=st.data(), names=st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4), rows=st.integers(8, 30))
def test_clean_data_passes_the_schema_inferred_from_it(
    day: Day, files: dict[str, Path], data: st.DataObject, names: list[str], rows: int
) -> None:
    header = ["id", "constant", *(f"{name}_{position}" for position, name in enumerate(names))]
    table = [[f"id {n}", "1", *(data.draw(CELLS[name]) for name in names)] for n in range(rows)]
    classes = data.draw(st.sampled_from([["no", "yes"], ["0", "1"], ["1.5", "2", "x"]]))
    options = put(
        files, to_csv(header, table), to_csv(["id", "y"], [[f"id {n}", classes[n % len(classes)]] for n in range(rows)])
    )
    infer(day, files)
    assert day.run("import", *options).code == 0
    run = day.run("prepare", "--max-rejected", "0")
    assert run.code == 0, run.log
    assert (run.result["rows_out"], run.result["rejected"]) == (rows, {"data.csv": 0, "target.csv": 0})
    assert day.run("split").code == 0


def test_multiclass_with_text_labels_goes_all_the_way(day: Day, files: dict[str, Path]) -> None:
    data, target = to_csv(DATA_HEADER, map(sheep, range(90))), to_csv(["tag", "grade"], map(graded, range(90)))
    options = put(files, data, target)
    infer(day, files)
    assert day.run("import", *options).code == 0
    assert day.run("prepare").result["rows_out"] == 90
    assert set(day.run("split").result["classes"]) == {"A", "B", "C"}


def test_folder_of_the_schema_is_made(day: Day, files: dict[str, Path]) -> None:
    put(files, "id,x,y\n1,2,a\n2,3,b\n", "")
    out = files["data.csv"].parent / "schemas" / "payments.json"
    run = day.run("infer-schema", "--data", str(files["data.csv"]), "--target-column", "y", "--out", str(out), ds=None)
    assert run.code == 0, run.log
    assert out.exists()
