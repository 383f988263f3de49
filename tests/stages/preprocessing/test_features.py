"""features: scoring sees the numbers that training saw, and refuses a day or an encoder that does not fit."""

from typing import Any

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, field, flock, in_order, sheep, to_csv

P = f"processed/{DS}"
MODEL = "models/2026-11-01"


def split_day(day: Day, *options: str, schema: dict[str, Any] = SCHEMA, rows: int = 600) -> None:
    day.publish(*flock(rows), schema)
    assert day.run("prepare").code == 0
    run = day.run("split", *options)
    assert run.code == 0, run.log


def test_scoring_sees_the_numbers_that_training_saw(day: Day) -> None:
    split_day(day)
    day.publish_model()
    data, _ = flock(600)
    day.publish(data, None, {**SCHEMA, "fields": SCHEMA["fields"][:-1]}, ds="2026-12-01")
    run = day.run("features", "--model", f"{day.root}/{MODEL}", ds="2026-12-01")
    assert run.code == 0, run.log
    assert (run.result["rows_out"], run.result["features"]) == (600, 7)
    scored = day.rows("features/2026-12-01/features.csv")
    assert [row["tag"] for row in scored] == [f"tag-{number}" for number in range(600)]
    served = {row.pop("tag"): list(row.values()) for row in scored}
    tag_of = {row["kilos"]: row["tag"] for row in day.rows(f"{P}/train_data.csv")}
    trained = {}
    for side in ("train", "val"):
        for row in day.rows(f"{P}/{side}.csv"):
            _, *features = row.values()
            trained[tag_of[row["kilos"]]] = features
    assert trained == served


def test_scoring_meets_unknown_categories_and_missing_entities(day: Day) -> None:
    fields = [f if f["name"] != "breed" else field("breed", "string", "feature") for f in SCHEMA["fields"]]
    schema = {**SCHEMA, "fields": fields}
    split_day(day, schema=schema)
    day.publish_model()
    rows = [[*sheep(n)[:1], "", *sheep(n)[2:5], "unheard of", *sheep(n)[6:]] for n in range(10)]
    rows[9][4] = "many"
    day.publish(to_csv(DATA_HEADER, rows), None, schema, ds="2026-12-01")
    run = day.run("features", "--model", MODEL, ds="2026-12-01")
    assert run.code == 0, run.log
    assert [row["breed"] for row in day.rows("features/2026-12-01/features.csv")] == [""] * 9
    assert [row["reason"] for row in day.rows("features/2026-12-01/rejected.csv")] == [
        "lambs: 'many' is no integer of at most 64 bits"
    ]


def test_feature_that_the_model_does_not_know_is_reported_and_not_used(day: Day) -> None:
    split_day(day)
    day.publish_model()
    assert "unknown_fields" not in day.run("features", "--model", MODEL).result
    plain = day.file(f"features/{DS}/features.csv").read_bytes()
    fields = [{**f, "role": "feature"} if f["name"] == "memo" else f for f in SCHEMA["fields"]]
    day.publish(flock(600)[0], None, {**SCHEMA, "fields": fields})
    run = day.run("features", "--model", MODEL)
    assert run.code == 0, run.log
    assert run.result["unknown_fields"] == ["memo"]
    assert run.result["warnings"] == [f"{MODEL} does not know these fields, they are not used: memo"]
    assert run.log.count(f"WARNING preprocessing features: {run.result['warnings'][0]}") == 1
    assert day.file(f"features/{DS}/features.csv").read_bytes() == plain


@pytest.mark.parametrize("in_schema", [False, True])
def test_columns_in_another_order_than_in_training_are_read_by_their_names(day: Day, in_schema: bool) -> None:
    """Where the schema of the day has them in that order too, they are as expected."""
    split_day(day)
    day.publish_model()
    assert "warnings" not in day.run("features", "--model", MODEL).result
    plain = day.file(f"features/{DS}/features.csv").read_bytes()
    fields = SCHEMA["fields"][-2::-1] if in_schema else SCHEMA["fields"]
    day.publish(in_order(flock(600)[0], DATA_HEADER[::-1]), None, {**SCHEMA, "fields": fields})
    run = day.run("features", "--model", MODEL)
    assert run.code == 0, run.log
    said = "data.csv has its columns in another order than schema.json: number 1 is memo, not tag; "
    assert run.result.get("warnings", []) == ([] if in_schema else [f"{said}they are read by their names"])
    assert day.file(f"features/{DS}/features.csv").read_bytes() == plain


def test_scoring_a_day_of_another_schema_is_refused(day: Day) -> None:
    split_day(day)
    day.publish_model()
    fields = [{**f, "type": "number"} if f["name"] == "lambs" else f for f in SCHEMA["fields"]]
    day.publish(flock(20)[0], None, {**SCHEMA, "fields": fields}, ds="2026-12-01")
    run = day.run("features", "--model", MODEL, ds="2026-12-01")
    assert run.code == 3
    assert (
        f"differs from the schema of {MODEL}: field 'lambs': type is 'number' here, 'integer' in the model" in run.log
    )
    assert not day.file("features").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 2', "version"),
        ('"kind": "hour"', '"kind": "minute"', "'minute'"),
        ('"field": "kilos"', '"field": "pounds"', "the field 'pounds' of the feature 'kilos' is not in its schema"),
        ('"field": "kilos"', '"field": "breed"', "the field 'breed' of the feature 'kilos' has the type string"),
        ('"features"', '"traits"', "features"),
        ('"key"', "key", "JSON"),
        ('"key": [\n    "tag"', '"key": [\n    "farm"', "has the key farm and the target grade"),
    ],
)
def test_encoder_that_cannot_be_followed_is_refused(day: Day, old: str, new: str, message: str) -> None:
    split_day(day, rows=100)
    path = day.file(f"{P}/encoder.json")
    path.write_text(path.read_text().replace(old, new, 1))
    day.publish_model()
    run = day.run("features", "--model", MODEL)
    assert run.code == 3
    assert message in run.log
    assert f"{MODEL}/encoder.json" in run.log


def test_model_that_is_not_there_is_not_ready(day: Day) -> None:
    day.publish(*flock(20))
    run = day.run("features", "--model", "models/2020-01-01")
    assert run.code == 4
    assert "partition models/2020-01-01 is not ready" in run.log


def test_version_in_shadow_has_features_of_its_own(day: Day) -> None:
    split_day(day)
    day.publish_model()
    assert day.run("features", "--model", MODEL).code == 0
    before = day.file(f"features/{DS}/_meta.json").read_bytes()
    run = day.run("features", "--model", MODEL, "--shadow", "7")
    assert (run.code, run.result["partition"]) == (0, f"shadows/{DS}-v7"), run.log
    assert day.file(f"features/{DS}/_meta.json").read_bytes() == before
    files = (day.file(f"{name}/features.csv").read_bytes() for name in (f"features/{DS}", f"shadows/{DS}-v7"))
    assert len(set(files)) == 1
