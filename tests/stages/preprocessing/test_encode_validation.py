"""encode-validation: the rows of val.csv and no others, in their order, as another model would have encoded them."""

import json
from typing import Any

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, field, flock, graded, sheep, to_csv, without_entity
from stagekit import Publication

P = f"processed/{DS}"
OUT = f"comparisons/{DS}/val.csv"
EARLIER = "2026-11-14"
OWN, CHAMPION = f"models/{DS}", f"models/{EARLIER}"


def split_day(day: Day, *options: str, rows: int = 400, schema: dict[str, Any] = SCHEMA) -> None:
    day.publish(*flock(rows), schema)
    assert day.run("prepare").code == 0
    assert day.run("split", *options).code == 0


def free_text(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the list of breeds, and with the features the other way round."""
    fields = [f if f["name"] != "breed" else field("breed", "string", "feature") for f in schema["fields"]]
    return {**schema, "fields": fields}


def train_champion(
    day: Day, schema: dict[str, Any], breeds: tuple[str, ...] = ("merino", "alpaca"), grades: str = "ABC"
) -> dict[str, Any]:
    """An earlier day's model, of other breeds; returns its encoder.json."""
    rows = [[*sheep(n)[:5], breeds[n % len(breeds)], *sheep(n)[6:]] for n in range(200)]
    target = to_csv(
        ["tag", schema["fields"][-1]["name"]], [[f"tag-{n}", grades[n // 17 % len(grades)]] for n in range(200)]
    )
    header = [f["name"] for f in schema["fields"] if f["role"] != "target"]
    order = [DATA_HEADER.index(name) for name in header]
    day.publish(to_csv(header, [[row[place] for place in order] for row in rows]), target, schema, ds=EARLIER)
    for command in ("prepare", "split"):
        run = day.run(command, ds=EARLIER)
        assert run.code == 0, run.log
    day.publish_model(CHAMPION, ds=EARLIER)
    document: dict[str, Any] = json.loads(day.file(f"{CHAMPION}/encoder.json").read_text())
    return document


@pytest.mark.parametrize("schema", [SCHEMA, without_entity()], ids=["entity", "no entity"])
@pytest.mark.parametrize(
    "options",
    [[], ["--seed", "7"], ["--val-fraction", "0.5", "--seed", "-3"], ["--max-categories", "1"]],
    ids=" ".join,
)
def test_own_model_gives_the_bytes_of_val_csv(day: Day, schema: dict[str, Any], options: list[str]) -> None:
    split_day(day, *options, schema=schema)
    day.publish_model(OWN)
    run = day.run("encode-validation", "--model", OWN)
    assert run.code == 0, run.log
    assert day.file(OUT).read_bytes() == day.file(f"{P}/val.csv").read_bytes()
    rows = len(day.rows(f"{P}/val.csv"))
    assert rows > 30
    found = {name: run.result[name] for name in ("partition", "champion", "incomparable", "rows", "features")}
    assert found == {
        "partition": f"comparisons/{DS}", "champion": OWN, "incomparable": None, "rows": rows, "features": 7
    }  # fmt: skip
    assert day.leftovers() == []


def test_binary_target_and_times_give_the_bytes_of_val_csv(day: Day) -> None:
    schema = {
        "fields": [
            field("id", "integer", "key"),
            field("seen", "date", "time"),
            field("at", "datetime", "time"),
            field("size", "number", "feature"),
            field("ripe", "boolean", "target"),
        ]
    }
    rows = [[n, f"2026-11-{1 + n % 28:02d}", f"2026-11-03T10:00:{n % 60:02d}.25+01:00", n / 3] for n in range(100)]
    target = to_csv(["id", "ripe"], [[n, str(n % 5 == 0).lower()] for n in range(100)])
    day.publish(to_csv(["id", "seen", "at", "size"], rows), target, schema)
    assert [day.run(command).code for command in ("prepare", "split")] == [0, 0]
    day.publish_model(OWN)
    assert day.run("encode-validation", "--model", OWN).code == 0
    assert len(day.rows(OUT)) == 20
    assert day.file(OUT).read_bytes() == day.file(f"{P}/val.csv").read_bytes()


def test_model_of_another_day_gets_its_own_codes_and_columns(day: Day) -> None:
    """Worked out here from the raw sheep."""
    schema = free_text(SCHEMA)
    split_day(day, schema=schema)
    turned = {**schema, "fields": [*schema["fields"][:2], *reversed(schema["fields"][2:-1]), schema["fields"][-1]]}
    encoder = train_champion(day, turned)
    names = ["organic", "breed", "lambs", "kilos", "weighed_hour", "weighed_weekday", "weighed_day"]
    assert [feature["name"] for feature in encoder["features"]] == names
    run = day.run("encode-validation", "--model", f"{day.root}/{CHAMPION}")
    assert run.code == 0, run.log
    by_kilos = {sheep(number)[3]: number for number in range(400)}
    val, rows = day.rows(f"{P}/val.csv"), day.rows(OUT)
    assert list(rows[0]) == ["grade", *names]
    assert [row["kilos"] for row in rows] == [row["kilos"] for row in val]
    own = {name for name in names if name != "breed"}
    assert [{k: row[k] for k in own} for row in rows] == [{k: row[k] for k in own} for row in val]
    for row in rows:
        number = by_kilos[row["kilos"]]
        assert row["grade"] == str("ABC".index(graded(number)[1]))
        assert row["breed"] == {"merino": "1"}.get(sheep(number)[5], "")  # alpaca is 0, all others are unseen
    assert {row["breed"] for row in rows} == {"1", ""}
    assert {row["grade"] for row in rows} == {"0", "1", "2"}


def test_outcome_does_not_depend_on_how_the_work_is_cut(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    split_day(day)
    day.publish_model(OWN)
    monkeypatch.setattr("csv_input.BLOCK_BYTES", 1_000)
    monkeypatch.setattr("spill.SHELF_BYTES", 5_000)
    assert day.run("encode-validation", "--model", OWN).code == 0
    assert day.file(OUT).read_bytes() == day.file(f"{P}/val.csv").read_bytes()
    assert day.leftovers() == []


def test_mark_names_the_files_that_were_read(day: Day) -> None:
    split_day(day, "--seed", "4", "--val-fraction", "0.25", schema=free_text(SCHEMA))
    train_champion(day, free_text(SCHEMA))
    assert day.run("encode-validation", "--model", CHAMPION).code == 0
    mark = json.loads(day.file(f"comparisons/{DS}/_meta.json").read_text())
    output = mark["outputs"]["val.csv"]
    assert (output["step"], output["rows"]) == ("encode-validation", len(day.rows(OUT)))
    record = mark["steps"]["encode-validation"]
    assert record["inputs"].keys() == {f"{P}/val_data.csv", f"{P}/encoder.json", f"{CHAMPION}/encoder.json"}
    champion = json.loads(day.file(f"{CHAMPION}/_meta.json").read_text())["outputs"]["encoder.json"]["sha256"]
    assert record["inputs"][f"{CHAMPION}/encoder.json"] == champion
    assert record["parameters"] == {"model": CHAMPION}


@pytest.mark.parametrize("options", [[], ["--model", ""]], ids=["no option", "empty"])
def test_without_a_champion_nothing_is_written(day: Day, options: list[str]) -> None:
    run = day.run("encode-validation", *options)
    assert (run.code, run.result["champion"]) == (0, None)
    assert list(day.root.iterdir()) == []


def test_without_a_champion_nothing_is_removed(day: Day) -> None:
    split_day(day)
    day.publish_model(OWN)
    assert day.run("encode-validation", "--model", OWN).code == 0
    before = {path: path.read_bytes() for path in day.file(f"comparisons/{DS}").iterdir()}
    assert day.run("encode-validation").result["champion"] is None
    assert {path: path.read_bytes() for path in day.file(f"comparisons/{DS}").iterdir()} == before


FEWER = {**SCHEMA, "fields": [f if f["name"] != "lambs" else {**f, "role": "ignore"} for f in SCHEMA["fields"]]}
MORE = {**SCHEMA, "fields": [f if f["name"] != "memo" else {**f, "role": "feature"} for f in SCHEMA["fields"]]}
OTHER = {**SCHEMA, "fields": [f if f["name"] != "lambs" else {**f, "type": "number"} for f in SCHEMA["fields"]]}


RENAMED = {**SCHEMA, "fields": [{**f, "name": "mark"} if f["role"] == "target" else f for f in SCHEMA["fields"]]}


@pytest.mark.parametrize(
    ("schema", "grades", "found"),
    [
        pytest.param(FEWER, "ABC", "field 'lambs' is not in the model", id="fewer"),
        pytest.param(MORE, "ABC", "field 'memo' of the model is not here", id="more"),
        pytest.param(OTHER, "ABC", "field 'lambs': type is 'integer' here, 'number' in the model", id="other type"),
        pytest.param(SCHEMA, "AC", "the classes are A, B, C here, A, C in the model", id="new class"),
        pytest.param(RENAMED, "ABC", "the target is 'grade' here, 'mark' in the model", id="other target"),
    ],
)
def test_model_of_other_data_is_not_measured(day: Day, schema: dict[str, Any], grades: str, found: str) -> None:
    split_day(day)
    train_champion(day, schema, ("merino", "texel"), grades)
    run = day.run("encode-validation", "--model", CHAMPION)
    assert (run.code, run.result["champion"], run.result["incomparable"]) == (0, CHAMPION, found)
    assert f"{CHAMPION} cannot be measured on {P}: {found}" in run.log
    assert not day.file("comparisons").exists()


def test_many_differences_are_reported_in_short(day: Day) -> None:
    names = [f["name"] for f in SCHEMA["fields"] if f["role"] == "feature"]
    fields = [{**f, "role": "ignore"} if f["name"] in names else f for f in SCHEMA["fields"]]
    split_day(day, schema={**SCHEMA, "fields": fields})
    train_champion(day, {**MORE, "missingValues": []}, ("merino", "texel"), "AC")
    run = day.run("encode-validation", "--model", CHAMPION)
    first = [f"field {name!r} of the model is not here" for name in (*names, "memo")]
    assert run.result["incomparable"] == "; ".join(first) + "; and 2 more"
    assert "the classes are A, B, C here, A, C in the model" in run.log


@pytest.mark.parametrize("file", [f"{P}/val_data.csv", f"{P}/encoder.json", f"{OWN}/encoder.json"])
def test_torn_input_is_refused_by_name(day: Day, file: str) -> None:
    split_day(day)
    day.publish_model(OWN)
    content = day.file(file).read_bytes()
    day.file(file).write_bytes(content[:-9])
    run = day.run("encode-validation", "--model", OWN)
    assert run.code == 3
    assert f"{file} has {len(content) - 9} bytes; expected: {len(content)} bytes" in run.log
    assert not day.file("comparisons").exists()


def test_input_that_is_not_there_yet(day: Day) -> None:
    day.publish(*flock(100))
    for missing, command in ((P, "prepare"), (f"{P} has no encoder.json", "split"), (OWN, "")):
        run = day.run("encode-validation", "--model", OWN)
        assert run.code == 4
        assert f"partition {missing}" in run.log
        assert not command or day.run(command).code == 0


def test_day_that_an_earlier_release_split_must_be_split_again(day: Day) -> None:
    split_day(day)
    day.publish_model(OWN)
    mark = json.loads(day.file(f"{P}/_meta.json").read_text())
    del mark["outputs"]["val_data.csv"]
    day.file(f"{P}/_meta.json").write_text(json.dumps(mark))
    day.file(f"{P}/val_data.csv").unlink()
    run = day.run("encode-validation", "--model", OWN)
    assert run.code == 4
    assert f"{P} has no val_data.csv" in run.log
    assert "do: run `preprocessing split --ds 2026-11-21` again" in run.log
    assert day.run("split").code == 0
    assert day.run("encode-validation", "--model", OWN).code == 0


def test_comparison_of_an_earlier_release_is_replaced(day: Day) -> None:
    """There the step was called `encode`, and it read train_data.csv."""
    split_day(day)
    day.publish_model(OWN)
    with Publication(day.root, f"comparisons/{DS}", "encode") as publication:
        publication.path("val.csv").write_text("grade\n1\n")
    assert day.run("encode-validation", "--model", OWN, reuse=True).code == 0
    assert day.file(OUT).read_bytes() == day.file(f"{P}/val.csv").read_bytes()
