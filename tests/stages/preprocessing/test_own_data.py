"""Own data: import publishes files, infer-schema drafts their schema, and the stage then takes them as they are."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import IO, Any

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, field, flock, graded, sheep, to_csv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "mine"
    folder.mkdir()
    return {name: folder / name for name in ("data.csv", "target.csv", "schema.json")}


def put(files: dict[str, Path], data: str, target: str, schema: Any = SCHEMA) -> list[str]:
    """Write the files; returns the options of import."""
    files["data.csv"].write_text(data)
    files["target.csv"].write_text(target)
    files["schema.json"].write_text(json.dumps(schema))
    return [text for name, path in files.items() for text in (f"--{name.partition('.')[0]}", str(path))]


def test_imported_files_go_through_prepare_and_split(day: Day, files: dict[str, Path]) -> None:
    run = day.run("import", *put(files, *flock(60)))
    assert run.code == 0
    assert run.result["rows"] == {"data.csv": 60, "target.csv": 60}
    assert day.file(f"raw/{DS}/data.csv").read_bytes() == files["data.csv"].read_bytes()
    assert (day.run("prepare").code, day.run("split").code) == (0, 0)


ODD_NAMES = [
    *(
        'say "hi"',
        '"',
        '""',
        "a,b",
        ",",
        " before",
        "after ",
        " ",
        "Größe €",
        "日本",
        "it's",
        "a;b",
        "a\tb",
        "#",
        "0",
        "null",
    ),
    *("^a", "a$", "**", "{}", "\\", "a/b", "a.b", "literal", "len", "count"),
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_columns_may_have_any_name(day: Day, files: dict[str, Path], name: str) -> None:
    names = {column: f"{name}{number}" if number else name for number, column in enumerate(reversed(DATA_HEADER))}
    names["grade"] = f"grade of {name}"
    columns = [{**f, "name": names[f["name"]]} for f in SCHEMA["fields"]]
    data = to_csv([names[column] for column in DATA_HEADER], map(sheep, range(60)))
    target = to_csv([names["tag"], names["grade"]], map(graded, range(60)))
    schema = {**SCHEMA, "fields": columns, "primaryKey": [names["tag"]]}
    assert day.run("import", *put(files, data, target, schema)).code == 0
    assert [day.run(command).code for command in ("prepare", "split")] == [0, 0]
    day.publish_model()
    assert day.run("features", "--model", "models/2026-11-01").code == 0
    assert day.run("encode-validation", "--model", "models/2026-11-01").code == 0
    assert day.file(f"comparisons/{DS}/val.csv").read_bytes() == day.file(f"processed/{DS}/val.csv").read_bytes()
    kept = [f["name"] for f in columns if f["role"] != "ignore"]
    rows = day.rows(f"processed/{DS}/train_data.csv")
    assert list(rows[0]) == kept
    assert [[row[names["tag"]], row[names["grade"]]] for row in rows] == [graded(number) for number in range(60)]
    encoder = json.loads(day.file(f"processed/{DS}/encoder.json").read_text())
    features = [feature["name"] for feature in encoder["features"]]
    assert list(day.rows(f"processed/{DS}/train.csv")[0]) == [names["grade"], *features]
    assert list(day.rows(f"features/{DS}/features.csv")[0]) == [names["tag"], *features]


@pytest.mark.parametrize("name", ["*", "^kilos$"])
def test_name_that_polars_reads_as_a_pattern_is_refused(day: Day, files: dict[str, Path], name: str) -> None:
    data, target = (text.replace("kilos", name, 1) for text in flock(60))
    fields = [{**f, "name": name if f["name"] == "kilos" else f["name"]} for f in SCHEMA["fields"]]
    run = day.run("import", *put(files, data, target, {**SCHEMA, "fields": fields}))
    assert run.code == 3
    assert f"field {name!r}: its name is a pattern" in run.log


def test_name_of_two_lines_is_refused(day: Day, files: dict[str, Path]) -> None:
    data, target = (text.replace("kilos", '"kilos\nof meat"', 1) for text in flock(60))
    run = day.run("import", *put(files, data, target))
    assert run.code == 3
    assert "the header of" in run.log
    assert "is not CSV" in run.log


def test_files_that_lie_in_raw_already_get_their_mark(day: Day) -> None:
    folder = day.file(f"raw/{DS}")
    folder.mkdir(parents=True)
    put({name: folder / name for name in ("data.csv", "target.csv", "schema.json")}, *flock(60))
    assert day.run("prepare").code == 4
    assert day.run("import").code == 0
    assert (day.run("prepare").code, day.run("split").code) == (0, 0)


def test_day_to_be_scored_is_imported_without_target(day: Day, files: dict[str, Path]) -> None:
    options = put(files, flock(60)[0], "", {**SCHEMA, "fields": SCHEMA["fields"][:-1]})
    del options[2:4]
    run = day.run("import", *options)
    assert (run.code, run.result["rows"]) == (0, {"data.csv": 60})
    run = day.run("prepare")
    assert run.code == 4
    assert "has no target.csv" in run.log


def test_mark_tells_what_was_imported_by_content(day: Day, files: dict[str, Path]) -> None:
    """The command line names files only: what they held must show, so that a changed file is imported again."""
    told = []
    for rows in (60, 61):
        assert day.run("import", *put(files, *flock(rows))).result["rows"]["data.csv"] == rows
        mark = json.loads(day.file(f"raw/{DS}/_meta.json").read_text())
        told.append(mark["steps"]["import"]["parameters"]["files"])
        for name, path in files.items():
            content = path.read_bytes()
            assert day.file(f"raw/{DS}/{name}").read_bytes() == content
            assert told[-1][name] == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    assert told[0]["data.csv"] != told[1]["data.csv"]
    assert told[0]["schema.json"] == told[1]["schema.json"]


def test_file_that_grows_while_it_is_imported_is_refused(
    day: Day, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = put(files, *flock(60))
    copy = shutil.copyfileobj

    def copy_late(source: IO[bytes], to: IO[bytes]) -> None:
        with files["data.csv"].open("a") as writer:
            writer.write("tag-99,farm 1,,1.0,1,,,\n")
        copy(source, to)

    monkeypatch.setattr("import_.shutil.copyfileobj", copy_late)
    run = day.run("import", *options)
    assert run.code == 3
    assert f"{files['data.csv']} changed while it was imported" in run.log
    assert not list(day.file("raw").iterdir())


def test_data_may_be_called_like_a_target(day: Day, files: dict[str, Path]) -> None:
    files["data.csv"] = files["data.csv"].with_name("no_target.csv")
    schema = {**SCHEMA, "fields": SCHEMA["fields"][:-1]}
    for rows in (60, 61):
        put(files, flock(rows)[0], "", schema)
        options = ["--data", str(files["data.csv"]), "--schema", str(files["schema.json"])]
        assert day.run("import", *options).code == 0


def test_import_never_pairs_new_data_with_an_old_target(day: Day, files: dict[str, Path]) -> None:
    day.publish(*flock(60))
    options = put(files, *flock(60))
    del options[2:4]
    run = day.run("import", *options)
    assert run.code == 2
    assert "target.csv" in run.log


@pytest.mark.parametrize(
    ("data", "schema", "code", "message"),
    [
        ("", SCHEMA, 3, "is empty (0 bytes)"),
        (",".join(DATA_HEADER) + "\n", SCHEMA, 3, "has a header but no rows"),
        ("a,b\n1,2\n", SCHEMA, 3, "lacks tag"),
        (flock(5)[0].replace("farm 3", "farm \0"), SCHEMA, 3, "a NUL byte"),
        (flock(5)[0], {"fields": []}, 3, "no list of fields"),
    ],
)
def test_import_refuses_what_prepare_could_not_read(
    day: Day, files: dict[str, Path], data: str, schema: Any, code: int, message: str
) -> None:
    run = day.run("import", *put(files, data, flock(5)[1], schema))
    assert run.code == code
    assert message in run.log
    assert str(files["schema.json" if schema != SCHEMA else "data.csv"]) in run.log
    assert not day.file("raw").exists() or not list(day.file("raw").iterdir())


def test_import_of_a_file_that_is_not_there_is_wrong_usage(day: Day, files: dict[str, Path]) -> None:
    options = put(files, *flock(5))
    files["data.csv"].unlink()
    run = day.run("import", *options)
    assert run.code == 2
    assert f"there is no file {files['data.csv']}" in run.log


def infer(day: Day, files: dict[str, Path], *options: str) -> dict[str, Any]:
    out = files["schema.json"]
    out.unlink(missing_ok=True)
    named = ["--data", str(files["data.csv"]), "--target", str(files["target.csv"])]
    run = day.run("infer-schema", *named, "--out", str(out), *options, ds=None)
    assert run.code == 0, run.log
    return json.loads(out.read_text())


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
        field("y", "integer", "target", required=True),
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
        (None, [], 2, "without --target no column is known as the key"),
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


def test_infer_schema_overwrites_only_when_told(day: Day, files: dict[str, Path]) -> None:
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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
