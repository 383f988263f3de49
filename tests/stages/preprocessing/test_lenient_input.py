"""Input that other programs take, guess at or crash on: refused with an exit code and a message, never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, Run, flock, put, sheep, to_csv


def changed(name: str, /, **properties: Any) -> str:
    """schema.json with other properties of one field; a field that gets a name has it in the primary key too."""
    fields = [{**field, **properties} if field["name"] == name else field for field in SCHEMA["fields"]]
    keys = [field["name"] for field in fields if field["role"] == "key"]
    return json.dumps({**SCHEMA, "fields": fields, "primaryKey": keys})


def put_as(files: dict[str, Path], schema: str) -> list[str]:
    """Good rows with this text as schema.json; returns the options of import."""
    options = put(files, *flock(60))
    files["schema.json"].write_text(schema)
    return options


def assert_refused(run: Run, message: str) -> None:
    assert run.code == 3, run.log
    assert message in run.log
    assert "expected" in run.log
    assert "Traceback" not in run.log
    assert len(run.log) < 4000


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        pytest.param(
            json.dumps(SCHEMA)[:-1] + ', "fields": []}', "the whole file has the key 'fields' twice", id="key twice"
        ),
        pytest.param(
            changed("kilos", constraints={"minimum": float("nan")}),
            "fields[3].constraints.minimum is NaN, which is no number of JSON",
            id="NaN in a constraint",
        ),
        pytest.param(
            changed("organic", trueValues=["1", "y"], falseValues=["y"]),
            "field 'organic': 'y' is both true and false",
            id="text both true and false",
        ),
        *(
            pytest.param(
                changed("tag", constraints={"pattern": pattern}),
                f"field 'tag': the pattern '{pattern}' is not understood",
                id=f"pattern {pattern}",
            )
            for pattern in ("(", ")(", "[a", "a{2,1}")
        ),
        *(
            pytest.param(changed("kilos", name=name), f"field '{name}': its name is a pattern", id=f"column {name}")
            for name in ("*", "^x$", "^.*$")
        ),
        pytest.param("[" * 200_000, "it is nested too deeply", id="200,000 brackets"),
        pytest.param(
            changed("memo", constraints={"minLength": 10**100}),
            "field 'memo': the constraint minLength is 1000",
            id="minLength",
        ),
        pytest.param(changed("memo", title="\ud800"), "has half a character, '\\ud800'", id="lone surrogate in a text"),
        pytest.param(changed("memo", name="\udfff"), "has half a character, '\\udfff'", id="lone surrogate in a name"),
        *(
            pytest.param(
                changed("tag", name=name), f"the key '{name}' has the name of a column of predictions.csv", id=name
            )
            for name in ("prediction", "probability_A")
        ),
        *(
            pytest.param(changed("tag", name=name), f"the key '{name}' has the name of {what}", id=f"key {name}")
            for name, what in (
                ("score", "a column of reasons.csv"),
                ("contribution_12", "a column of reasons.csv"),
                ("model", "a column that an export of predictions adds"),
            )
        ),
        pytest.param(
            changed("lambs", name="weighed_hour"),
            "weighed_hour is a field's name and the name of a feature made from a time",
            id="name of a feature made from a time",
        ),
    ],
)
def test_schema_is_refused_before_anything_is_made(day: Day, files: dict[str, Path], schema: str, message: str) -> None:
    run = day.run("import", *put_as(files, schema))
    assert_refused(run, message)
    assert not day.file(f"raw/{DS}").exists()


@pytest.mark.parametrize("file", ["data.csv", "target.csv"])
def test_half_character_in_a_table_is_refused(day: Day, files: dict[str, Path], file: str) -> None:
    options = put(files, *flock(60))
    half = files[file].read_bytes().replace(b"tag-7", b"tag-\xed\xa0\x80", 1)
    files[file].write_bytes(half)
    for run in (day.run("import", *options, "--encoding=utf-8"), unchecked(day, files)):
        assert_refused(run, "has the byte 0xed, which is no UTF-8")


def unchecked(day: Day, files: dict[str, Path]) -> Run:
    """`prepare` of a raw partition that another program than `import` made."""
    day.publish(files["data.csv"].read_bytes(), files["target.csv"].read_bytes())
    return day.run("prepare")


@pytest.mark.parametrize("option", ["--data", "--schema", "--delimiter=,", "--ds=2026-11-22"])
def test_option_given_twice_is_wrong_usage(
    day: Day, files: dict[str, Path], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    options = [*put(files, *flock(60)), "--delimiter=,"]
    name, _, value = option.partition("=")
    with pytest.raises(SystemExit) as end:
        day.run("import", *options, name, value or str(files["data.csv"]))
    assert end.value.code == 2
    assert f"{name}: is given twice; do: give it one value" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["class", "a class with quite a long name, of which each has a number: "])
def test_result_line_of_2000_classes_is_bounded(day: Day, name: str) -> None:
    fields = [{**f, "constraints": {}} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    rows = [[f"tag-{n}", f"farm {n}", *sheep(n)[2:]] for n in range(4000)]
    target = to_csv(["tag", "grade"], [[f"tag-{n}", f"{name}{n % 2000}"] for n in range(4000)])
    day.publish(to_csv(DATA_HEADER, rows), target, {**SCHEMA, "fields": fields})
    assert day.run("prepare").code == 0
    run = day.run("split")
    assert run.code == 0, run.log
    assert len(json.dumps(run.result)) < 16 << 10
    shown = len(run.result["classes"])
    assert run.result["shortened"]["classes"] == f"and {2000 - shown:,} more"
    assert shown >= 20
    encoder = json.loads(day.file(f"processed/{DS}/encoder.json").read_text())
    assert len(encoder["target"]["classes"]) == 2000
