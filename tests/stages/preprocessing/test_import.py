"""import: own files become raw/{ds}, with a mark that holds their hashes."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, flock, graded, in_order, put, sheep, to_csv, with_one_column_more
from stagekit import Publication


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


def test_columns_that_the_schema_does_not_name_are_a_warning(day: Day, files: dict[str, Path]) -> None:
    data, target = flock(60)
    run = day.run("import", *put(files, with_one_column_more(data, "wool"), target))
    assert run.code == 0, run.log
    assert run.result["extra_columns"] == {"data.csv": ["wool"]}
    assert run.result["warnings"] == ["data.csv has columns that schema.json does not name, they are not used: wool"]
    assert run.log.count(run.result["warnings"][0]) == 1
    assert day.run("prepare").result["warnings"] == run.result["warnings"]


def test_columns_in_another_order_than_in_the_schema_are_a_warning(day: Day, files: dict[str, Path]) -> None:
    data, target = flock(60)
    run = day.run("import", *put(files, in_order(data, DATA_HEADER[::-1]), target))
    assert run.code == 0, run.log
    said = "has its columns in another order than schema.json: number 1 is memo, not tag; they are read by their names"
    assert [warning.endswith(said) for warning in run.result["warnings"]] == [True]
    assert day.run("prepare").result["warnings"] == [f"data.csv {said}"]


def test_mark_holds_the_hashes_of_the_imported_files(day: Day, files: dict[str, Path]) -> None:
    """The command line names files only: what they held must show, so that a changed file is imported again."""
    found = []
    for rows in (60, 61):
        assert day.run("import", *put(files, *flock(rows))).result["rows"]["data.csv"] == rows
        mark = json.loads(day.file(f"raw/{DS}/_meta.json").read_text())
        found.append(mark["steps"]["import"]["parameters"]["files"])
        for name, path in files.items():
            content = path.read_bytes()
            assert day.file(f"raw/{DS}/{name}").read_bytes() == content
            assert found[-1][name] == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    assert found[0]["data.csv"] != found[1]["data.csv"]
    assert found[0]["schema.json"] == found[1]["schema.json"]


def test_file_that_grows_while_it_is_imported_is_refused(
    day: Day, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = put(files, *flock(60))
    copy = shutil.copyfile

    def copy_late(source: Path, to: Path) -> None:
        with files["data.csv"].open("a") as writer:
            writer.write("tag-99,farm 1,,1.0,1,,,\n")
        copy(source, to)

    monkeypatch.setattr("import_.shutil.copyfile", copy_late)
    run = day.run("import", *options)
    assert run.code == 3
    assert f"{files['data.csv']} changed while it was imported" in run.log
    assert not list(day.file("raw").glob("[!.]*"))


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
    assert "name one with --target; or copy its labels elsewhere" in run.log


@pytest.mark.parametrize("mark", ["{", '{"outputs": 3}', '{"outputs": ' + "[" * 100_000])
def test_import_replaces_a_damaged_mark(day: Day, files: dict[str, Path], mark: str) -> None:
    day.publish(*flock(60))
    day.file(f"raw/{DS}/_meta.json").write_text(mark)
    options = put(files, *flock(60))
    del options[2:4]
    run = day.run("import", *options)
    assert run.code == 0, run.log
    assert len(day.rows(f"raw/{DS}/data.csv")) == 60


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
    assert not day.file("raw").exists() or not list(day.file("raw").glob("[!.]*"))


def test_import_of_a_file_that_is_not_there_is_wrong_usage(day: Day, files: dict[str, Path]) -> None:
    options = put(files, *flock(5))
    files["data.csv"].unlink()
    run = day.run("import", *options)
    assert run.code == 2
    assert f"there is no file {files['data.csv']}" in run.log


@pytest.mark.parametrize("name", ["prediction", "probability_A"])
def test_feature_may_be_called_like_a_column_of_predictions(day: Day, files: dict[str, Path], name: str) -> None:
    """It is in another file than the predictions. A key is not: see test_lenient_input."""
    fields = [{**f, "name": name} if f["name"] == "kilos" else f for f in SCHEMA["fields"]]
    data, target = (content.replace("kilos", name, 1) for content in flock(60))
    run = day.run("import", *put(files, data, target, {**SCHEMA, "fields": fields}))
    assert (run.code, day.run("prepare").code, day.run("split").code) == (0, 0, 0)
    day.publish_model()
    assert day.run("features", "--model", "models/2026-11-01").code == 0


def ingest(day: Day, *rows: str) -> None:
    """What `exchange ingest` leaves: the bytes that were delivered, under names without an ending."""
    with Publication(day.root, f"incoming/{DS}", "ingest") as publication:
        for name, text in zip(("data", "target"), rows, strict=False):
            publication.path(name).write_text(text)


def test_what_was_taken_in_from_elsewhere_is_imported(day: Day, files: dict[str, Path]) -> None:
    data, target = flock(60)
    ingest(day, data, target)
    put(files, data, target)
    run = day.run("import", "--incoming", "--schema", str(files["schema.json"]))
    assert (run.code, run.result["rows"]) == (0, {"data.csv": 60, "target.csv": 60})
    inputs = json.loads(day.file(f"raw/{DS}/_meta.json").read_text())["steps"]["import"]["inputs"]
    assert inputs.keys() == {f"incoming/{DS}/data", f"incoming/{DS}/target"}
    assert day.run("import", "--incoming", "--schema", str(files["schema.json"]), reuse=True).result["cached"]


def test_a_day_without_a_target_is_imported_for_scoring(day: Day, files: dict[str, Path]) -> None:
    ingest(day, flock(60)[0])
    put(files, *flock(60))
    run = day.run("import", "--incoming", "--schema", str(files["schema.json"]))
    assert run.result["rows"] == {"data.csv": 60}


def test_labels_that_came_later_are_no_part_of_what_is_imported(day: Day, files: dict[str, Path]) -> None:
    data, target = flock(60)
    ingest(day, data)
    with Publication(day.root, f"incoming/{DS}", "ingest-target") as publication:
        publication.path("target").write_text(target)
    put(files, data, target)
    assert day.run("import", "--incoming", "--schema", str(files["schema.json"])).result["rows"] == {"data.csv": 60}


def test_incoming_and_a_file_are_refused(day: Day, files: dict[str, Path]) -> None:
    assert day.run("import", "--incoming", *put(files, *flock(60))).code == 2
    assert day.run("import", "--incoming", "--schema", str(files["schema.json"])).code == 4


@pytest.mark.parametrize(
    ("name", "properties", "message"),
    [
        ("weighed", {"format": "%Y-%m-%d %H:%M:%S %Z"}, "the format '%Y-%m-%d %H:%M:%S %Z' cannot be followed: %Z is"),
        ("kilos", {"constraints": {"minimum": "light"}}, "field 'kilos', minimum: 'light' is no number"),
        (
            "lambs",
            {"type": "boolean", "constraints": {"enum": ["maybe"]}},
            "field 'lambs', enum: 'maybe' is no boolean",
        ),
        ("grade", {"type": "integer", "positiveClass": "A", "constraints": {}}, "positiveClass: 'A' is no integer"),
        ("kilos", {"constraints": {"minimum": 5, "maximum": 1}}, "field 'kilos': minimum 5 is above maximum 1;"),
        ("kilos", {"constraints": {"minimum": 5, "enum": [1, 2]}}, "exclude each other: kilos: '1' below minimum 5"),
        ("kilos", {"role": "weight", "constraints": {"maximum": 0}}, "its minimum and maximum exclude every weight"),
        ("kilos", {"role": "weight", "constraints": {"minimum": 1e39}}, "its minimum and maximum exclude every weight"),
        ("kilos", {"role": "weight", "constraints": {"enum": [0, 1e39]}}, "kilos: '0' is no weight, which is a number"),
        (
            "weighed",
            {"constraints": {"minimum": "2026-11-21T00:00:00", "maximum": "2026-11-20T23:59:59"}},
            "minimum 2026-11-21T00:00:00 is above maximum 2026-11-20T23:59:59",
        ),
        ("memo", {"constraints": {"minLength": 5, "maxLength": 2}}, "field 'memo': minLength 5 is above maxLength 2"),
        ("breed", {"constraints": {"enum": ["a", "b"], "minLength": 2}}, "breed: 'a' is shorter than 2 characters"),
        ("breed", {"constraints": {"enum": ["a", "b"], "pattern": "[0-9]"}}, "breed: 'a' does not match [0-9]"),
        ("breed", {"constraints": {"enum": ["n/a"]}}, "'breed': each value of its enum means missing (missingValues);"),
        ("kilos", {"missingValues": ["-9"], "constraints": {"enum": [-9.0]}}, "each value of its enum means missing"),
        ("breed", {"constraints": {"enum": ["a", 1]}}, "field 'breed': its enum has 1; expected: texts alone"),
        ("breed", {"constraints": {"enum": [["a"]]}}, "field 'breed': its enum has [\"a\"]; expected: texts alone"),
        (
            "memo",
            {"sensitve": True},
            "field 'memo': its property 'sensitve' is unknown; expected: sensitive, a property",
        ),
    ],
)
def test_import_refuses_a_schema_that_cannot_be_followed_or_that_no_row_can_satisfy(
    day: Day, files: dict[str, Path], name: str, properties: dict[str, Any], message: str
) -> None:
    fields = [{**field, **properties} if field["name"] == name else field for field in SCHEMA["fields"]]
    run = day.run("import", *put(files, *flock(5), {**SCHEMA, "fields": fields}))
    assert run.code == 3
    assert message in run.log
    assert not day.file(f"raw/{DS}/_meta.json").exists()


@pytest.mark.parametrize(
    ("name", "constraints"),
    [
        ("kilos", {"minimum": 5, "maximum": 5}),
        ("kilos", {"maximum": -1}),
        ("kilos", {"enum": [1, "2.5", 300], "maximum": 200}),
        ("lambs", {"enum": ["0", 1, 2, 3]}),
        ("organic", {"enum": [True, "false"]}),
        ("breed", {"enum": ["n/a", "texel"], "minLength": 5, "maxLength": 5}),
        ("memo", {"minLength": 2, "maxLength": 2}),
    ],
)
def test_import_takes_constraints_that_some_value_satisfies(
    day: Day, files: dict[str, Path], name: str, constraints: dict[str, Any]
) -> None:
    fields = [{**field, "constraints": constraints} if field["name"] == name else field for field in SCHEMA["fields"]]
    run = day.run("import", *put(files, *flock(5), {**SCHEMA, "fields": fields}))
    assert run.code == 0, run.log


@pytest.mark.parametrize(
    "constraints", [{"maximum": 1e39}, {"minimum": -5, "maximum": 1e39}, {"minimum": 1e38, "maximum": 1e39}]
)
def test_import_takes_bounds_of_a_weight_that_are_no_weights_themselves(
    day: Day, files: dict[str, Path], constraints: dict[str, Any]
) -> None:
    """A maximum beyond single precision was refused, though 1 fits."""
    weight = {"role": "weight", "constraints": constraints}
    fields = [{**field, **weight} if field["name"] == "kilos" else field for field in SCHEMA["fields"]]
    run = day.run("import", *put(files, *flock(5), {**SCHEMA, "fields": fields}))
    assert run.code == 0, run.log


def test_properties_that_mean_nothing_here_are_named_in_one_warning(day: Day, files: dict[str, Path]) -> None:
    described = {"title": "Kilos", "description": "scales", "example": 70, "rdfType": "mass", "unit": "kg"}
    fields = [{**field, **described} if field["name"] == "kilos" else field for field in SCHEMA["fields"]]
    schema = {**SCHEMA, "$schema": "v2", "name": "sheep", "title": "Sheep", "source": "farms", "fields": fields}
    run = day.run("import", *put(files, *flock(60), schema))
    assert run.code == 0
    warning = f"{files['schema.json']} has properties that are not used: 'source', 'unit', field 'kilos'"
    assert run.result["warnings"] == [warning]
    assert run.log.count("not used") == 1
