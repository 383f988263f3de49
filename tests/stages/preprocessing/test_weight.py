"""The role weight: checked like a value, carried beside the features, and none of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, field, flock, put, sheep, to_csv

P, MODEL, LATER = f"processed/{DS}", "models/2026-11-01", "2026-12-01"
HEADER = [*DATA_HEADER, "drawn"]


def schema_with(role: str, kind: str = "number") -> dict[str, Any]:
    """The schema with one field more, before the target."""
    return {**SCHEMA, "fields": [*SCHEMA["fields"][:-1], field("drawn", kind, role), SCHEMA["fields"][-1]]}


def weight_of(number: int) -> str:
    return repr(0.5 + number % 7)


def weighed(rows: int, **others: str) -> str:
    """data.csv with weights; `others` replaces those of some rows, by tag."""
    return to_csv(HEADER, [[*sheep(n), others.get(f"tag_{n}", weight_of(n))] for n in range(rows)])


def split_day(day: Day, role: str = "weight", rows: int = 600) -> None:
    day.publish(weighed(rows), flock(rows)[1], schema_with(role))
    for command in ("prepare", "split"):
        run = day.run(command)
        assert run.code == 0, run.log


def without_weight(path: Path) -> list[str]:
    """The lines of a file whose second column is the weight, without it."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    return [",".join([line[0], *line[2:]]) for line in lines]


def test_each_row_keeps_its_weight_and_it_is_no_feature(day: Day) -> None:
    split_day(day)
    weight = {row["tag"]: row["drawn"] for row in day.rows(f"{P}/train_data.csv")}
    assert weight == {f"tag-{n}": weight_of(n) for n in range(600)}
    tag = {row["kilos"]: row["tag"] for row in day.rows(f"{P}/train_data.csv")}
    for side in ("train", "val"):
        rows = day.rows(f"{P}/{side}.csv")
        assert list(rows[0])[:3] == ["grade", "drawn", "weighed_hour"]
        assert all(row["drawn"] == weight[tag[row["kilos"]]] for row in rows)
    encoder = json.loads(day.file(f"{P}/encoder.json").read_text())
    assert encoder["weight"] == "drawn"
    assert "drawn" not in {feature["name"] for feature in encoder["features"]}


def test_a_weight_changes_no_other_byte(day: Day) -> None:
    split_day(day)
    weighted = {name: without_weight(day.file(f"{P}/{name}")) for name in ("train.csv", "val.csv")}
    split_day(day, "ignore")
    assert {name: day.file(f"{P}/{name}").read_text().splitlines() for name in weighted} == weighted
    assert "weight" not in json.loads(day.file(f"{P}/encoder.json").read_text())


NOT_ABOVE_0 = "is no weight, which is a number above 0 in single precision"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "drawn: missing, a value is required"),
        ("0", f"drawn: '0' {NOT_ABOVE_0}"),
        ("-2.5", f"drawn: '-2.5' {NOT_ABOVE_0}"),
        ("1e-60", f"drawn: '1e-60' {NOT_ABOVE_0}"),
        ("1e39", f"drawn: '1e39' {NOT_ABOVE_0}"),
        ("inf", "drawn: 'inf' is no finite number"),
        ("nan", "drawn: 'nan' is no finite number"),
        ("1e999", "drawn: '1e999' is no finite number"),
        ("heavy", "drawn: 'heavy' is no number"),
    ],
)
def test_row_without_a_weight_above_0_is_rejected(day: Day, text: str, reason: str) -> None:
    day.publish(weighed(60, tag_7=text), flock(60)[1], schema_with("weight"))
    run = day.run("prepare")
    assert run.code == 0, run.log
    assert [row["reason"] for row in day.rows(f"{P}/rejected.csv") if row["file"] == "data.csv"] == [reason]
    assert run.result["rows_out"] == 59


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (schema_with("weight", "string"), "field 'drawn': the role weight on type string; expected: integer or number"),
        (
            {**SCHEMA, "fields": [*schema_with("weight")["fields"], field("also", "integer", "weight")]},
            "weight is the role of drawn, also; expected: at most one",
        ),
    ],
)
def test_schema_with_a_weight_that_cannot_be_is_refused(day: Day, schema: Any, message: str) -> None:
    day.publish(weighed(9), flock(9)[1], schema)
    run = day.run("prepare")
    assert run.code == 3
    assert message in run.log


def test_scoring_takes_the_weights_that_the_day_has(day: Day) -> None:
    split_day(day)
    day.publish_model()
    days = {
        "with weights": (weighed(9, tag_2="", tag_5="0"), schema_with("weight")),
        "with the column, not as a weight": (weighed(9), schema_with("ignore")),
        "without the column": (flock(9)[0], SCHEMA),
    }
    found = {}
    for name, (data, schema) in days.items():
        day.publish(data, None, schema, ds=LATER)
        run = day.run("features", "--model", MODEL, "--max-rejected", "0.2", ds=LATER)
        assert run.code == 0, run.log
        rows = day.rows(f"features/{LATER}/features.csv")
        assert list(rows[0])[:3] == ["tag", "drawn", "weighed_hour"]
        found[name] = [row["drawn"] for row in rows]
    assert found.pop("with weights") == [("" if n == 2 else weight_of(n)) for n in range(9) if n != 5]
    assert list(found.values()) == [[""] * 9] * 2


def test_rows_for_another_model_have_no_weights(day: Day) -> None:
    """`compare` weighs both models by the weights of the day, whatever the champion was trained with."""
    for champion in ("weight", "ignore"):
        split_day(day, champion)
        day.publish_model()
        split_day(day, "weight")
        run = day.run("encode-validation", "--model", MODEL)
        assert run.code == 0, run.log
        assert day.file(f"comparisons/{DS}/val.csv").read_text().splitlines() == without_weight(
            day.file(f"{P}/val.csv")
        )


def test_encoder_with_another_weight_than_its_schema_is_refused(day: Day) -> None:
    split_day(day)
    day.publish_model()
    path = day.file(f"{MODEL}/encoder.json")
    content = path.read_text().replace('"weight": "drawn"', '"weight": "kilos"')
    day.file(f"{P}/encoder.json").write_text(content)
    day.publish_model()
    run = day.run("features", "--model", MODEL)
    assert run.code == 3
    assert "kilos" in run.log


# --- the draft ---


def draft(day: Day, files: dict[str, Path], texts: list[str], *options: str) -> Any:
    put(files, "", "")
    files["schema.json"].unlink()
    rows = [[n, texts[n % len(texts)], n % 3, "ab"[n % 2]] for n in range(60)]
    files["data.csv"].write_text(to_csv(["id", "w", "x", "y"], rows))
    named = ["--data", str(files["data.csv"]), "--target-column", "y", "--out", str(files["schema.json"])]
    return day.run("infer-schema", *named, *options, ds=None)


@pytest.mark.parametrize(
    ("texts", "options", "warnings"),
    [
        (["1.5", "2"], [], []),
        (["2"], [], []),
        ([str(n) for n in range(1, 61)], [], []),
        (["1.5", "NA"], [], ["w: 30 of 60 rows have no weight: prepare rejects them"]),
        (["1", "0", "-1"], [], ["w: '0', '-1': a weight is above 0, so prepare rejects such rows"]),
        (["1,5", "2,5"], ["--assume", "w=decimal-comma"], []),
    ],
)
def test_draft_takes_the_weight_that_is_named(
    day: Day, files: dict[str, Path], texts: list[str], options: list[str], warnings: list[str]
) -> None:
    run = draft(day, files, texts, "--weight", "w", *options)
    assert run.code == 0, run.log
    fields = {f["name"]: f for f in json.loads(files["schema.json"].read_text())["fields"]}
    assert fields["w"]["role"] == "weight"
    assert fields["w"]["type"] in ("integer", "number")
    assert fields["w"]["description"].startswith("as named")
    assert [one for one in run.result["warnings"] if one.startswith("w:")] == warnings
    assert fields["id"]["role"] == "key"


def test_draft_guesses_no_weight(day: Day, files: dict[str, Path]) -> None:
    run = draft(day, files, ["1.5", "2"])
    assert run.result["fields"]["w"] == "feature (number)"


@pytest.mark.parametrize(
    ("name", "texts", "code", "message"),
    [
        ("w", ["light", "heavy"], 3, "the weight w is read as string"),
        ("v", ["1"], 2, "there is no column 'v'"),
    ],
)
def test_weight_that_is_none_is_no_draft(
    day: Day, files: dict[str, Path], name: str, texts: list[str], code: int, message: str
) -> None:
    run = draft(day, files, texts, "--weight", name)
    assert run.code == code
    assert message in run.log
    assert not files["schema.json"].exists()
