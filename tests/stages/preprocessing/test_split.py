"""split and the encoder: no row is lost, no entity is on both sides, training and scoring see the same numbers."""

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, field, flock, graded, sheep, to_csv, without_entity
from hypothesis import assume, given
from hypothesis import strategies as st

from prepared_table import GROUP, PreparedTable
from splitting import choose_groups, sort_classes
from table_schema import parse_schema
from tests.hostile import RUNS

P = f"processed/{DS}"
MODEL = "models/2026-11-01"


def split_day(day: Day, *options: str, schema: dict[str, Any] = SCHEMA, rows: int = 600) -> None:
    day.publish(*flock(rows), schema)
    assert day.run("prepare").code == 0
    run = day.run("split", *options)
    assert run.code == 0, run.log


def encoder(day: Day) -> dict[str, Any]:
    return json.loads(day.file(f"{P}/encoder.json").read_text())


def sides(day: Day) -> dict[str, str]:
    """Which side each sheep is on, found out by its weight, which no other sheep has."""
    kilos = {row["kilos"]: row["tag"] for row in day.rows(f"{P}/train_data.csv")}
    return {kilos[row["kilos"]]: side for side in ("train", "val") for row in day.rows(f"{P}/{side}.csv")}


@pytest.mark.parametrize("schema", [SCHEMA, without_entity()], ids=["entity", "no entity"])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_each_class_has_its_fraction_in_validation(day: Day, schema: dict[str, Any], fraction: float) -> None:
    split_day(day, "--val-fraction", str(fraction), schema=schema)
    train, val = (Counter(row["grade"] for row in day.rows(f"{P}/{side}.csv")) for side in ("train", "val"))
    assert sum((train + val).values()) == 600
    # One farm has 36 sheep, of whom a third or less has the rarest grade.
    tolerance = 1 if "entity" not in {f["role"] for f in schema["fields"]} else 18
    for code in "012":
        assert val[code] == pytest.approx(fraction * (train[code] + val[code]), abs=tolerance)


def test_entity_is_on_one_side_only(day: Day) -> None:
    split_day(day)
    farm = {row["tag"]: row["farm"] for row in day.rows(f"{P}/train_data.csv")}
    farms = {side: {farm[tag] for tag, where in sides(day).items() if where == side} for side in ("train", "val")}
    assert farms["train"] & farms["val"] == set()
    assert farms["train"] | farms["val"] == set(farm.values())


def test_seed_decides_and_order_of_rows_does_not(day: Day) -> None:
    schema, (data, target) = without_entity(), flock(300)
    header, *rows = data.splitlines(keepends=True)
    seen = []
    for content, seed in ((data, "0"), (header + "".join(reversed(rows)), "0"), (data, "1")):
        day.publish(content, target, schema)
        assert day.run("prepare").code == 0
        assert day.run("split", "--seed", seed).code == 0
        seen.append(sides(day))
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


@pytest.mark.parametrize("schema", [SCHEMA, without_entity()], ids=["entity", "no entity"])
def test_outcome_does_not_depend_on_how_the_work_is_cut(
    day: Day, monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any]
) -> None:
    split_day(day, schema=schema)
    whole = [day.file(f"{P}/{name}").read_bytes() for name in ("train.csv", "val.csv", "encoder.json")]
    monkeypatch.setattr("csv_input.BLOCK_BYTES", 1_000)
    monkeypatch.setattr("spill.SHELF_BYTES", 5_000)
    assert day.run("split").code == 0
    assert [day.file(f"{P}/{name}").read_bytes() for name in ("train.csv", "val.csv", "encoder.json")] == whole
    assert day.leftovers() == []


def test_again_gives_the_same_bytes(day: Day) -> None:
    outputs = []
    for _ in range(2):
        split_day(day)
        outputs.append([day.file(f"{P}/{name}").read_bytes() for name in ("train.csv", "val.csv", "encoder.json")])
    assert outputs[0] == outputs[1]
    assert day.leftovers() == []


ROWS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=2, max_size=150)


@given(rows=ROWS, fraction=st.floats(0.05, 0.6), seed=st.integers(0, 2**40))
def test_chosen_groups_are_near_the_fraction_and_leave_each_side_something(
    rows: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    groups = pl.Series([group * 2654435761 % 2**32 for group, _ in rows], dtype=pl.UInt32)
    codes = pl.Series([code for _, code in rows], dtype=pl.UInt32)
    rarest = min((count, code) for code, count in Counter(codes).items())[1]
    with_rarest = {group for group, code in zip(groups, codes, strict=True) if code == rarest}
    assume(len(with_rarest) > 1)
    chosen = choose_groups(groups, codes, fraction, seed)
    assert choose_groups(groups.reverse(), codes.reverse(), fraction, seed).to_list() == chosen.to_list()
    assert 0 < len(with_rarest & set(chosen)) < len(with_rarest)
    largest = max(Counter(groups).values())
    taken = sum(group in set(chosen) for group in groups)
    # Per class the choice is off by half of the largest group at most, unless a side would have nothing.
    assert abs(taken - fraction * len(rows)) <= largest * codes.n_unique()


@pytest.mark.parametrize("code", [0, 1])
def test_groups_of_one_row_are_split_exactly(code: int) -> None:
    groups = pl.Series(range(1000), dtype=pl.UInt32)
    codes = pl.Series([int(number % 10 == 0) for number in range(1000)], dtype=pl.UInt32)
    chosen = set(choose_groups(groups, codes, 0.2, 0))
    rows = [number for number in range(1000) if codes[number] == code]
    assert len(chosen.intersection(rows)) == len(rows) // 5


def test_giant_entity_trains(day: Day) -> None:
    rows = [[f"tag-{n}", "giant" if n < 400 else f"farm {n % 40}", *sheep(n)[2:]] for n in range(600)]
    day.publish(to_csv(DATA_HEADER, rows), flock(600)[1])
    assert day.run("prepare").code == 0
    run = day.run("split")
    assert run.code == 0
    assert run.result["val_rows"] == pytest.approx(120, abs=10)


@pytest.mark.parametrize(
    ("grades", "schema", "message"),
    [
        ("A" * 20, SCHEMA, "has only one class: grade is 'A' in all rows"),
        ("A" * 10 + "B" * 9 + "C", SCHEMA, "of 3 classes of grade, these have only one row: C"),
        (
            "A" * 10 + "BB" + "CDEFGHIJ",
            SCHEMA,
            "of 10 classes of grade, these have only one row: C, D, E, F, G and 3 more",
        ),
        ("AB" * 10, {**SCHEMA, "one farm": True}, "cannot be on both sides: they belong to one farm"),
    ],
    ids=["one class", "one row of a class", "one row of eight classes", "one entity"],
)
def test_class_that_cannot_be_on_both_sides_is_refused(day: Day, grades: str, schema: dict, message: str) -> None:
    rows = [["x-" + str(n), "one" if "one farm" in schema else f"farm {n}", *sheep(n)[2:]] for n in range(len(grades))]
    targets = [[f"x-{n}", grade] for n, grade in enumerate(grades)]
    schema = {**schema, "fields": [{**f, "constraints": {}} if f["role"] == "target" else f for f in schema["fields"]]}
    day.publish(to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], targets), schema)
    assert day.run("prepare").code == 0
    before = sorted(day.file(P).iterdir())
    run = day.run("split")
    assert run.code == 3
    assert message in run.log
    assert "do: " in run.log
    assert sorted(day.file(P).iterdir()) == before


def test_class_of_two_rows_has_one_on_each_side(day: Day) -> None:
    rows = [[f"x-{n}", f"farm {n}", *sheep(n)[2:]] for n in range(40)]
    day.publish(to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], [[f"x-{n}", "AB"[n > 37]] for n in range(40)]))
    assert day.run("prepare").code == 0
    assert day.run("split").result["classes"] == {"A": {"train": 30, "val": 8}, "B": {"train": 1, "val": 1}}


def test_encoder_says_what_the_features_are(day: Day) -> None:
    split_day(day)
    document = encoder(day)
    assert document["version"] == 1
    assert document["key"] == ["tag"]
    assert document["target"] == {"name": "grade", "classes": ["A", "B", "C"]}
    assert document["features"] == [
        {"name": "weighed_hour", "field": "weighed", "kind": "hour"},
        {"name": "weighed_weekday", "field": "weighed", "kind": "weekday"},
        {"name": "weighed_day", "field": "weighed", "kind": "day"},
        {"name": "kilos", "field": "kilos", "kind": "number"},
        {"name": "lambs", "field": "lambs", "kind": "number"},
        {"name": "breed", "field": "breed", "kind": "category", "values": ["merino", "suffolk", "texel"]},
        {"name": "organic", "field": "organic", "kind": "number"},
    ]
    assert document["schema"] == SCHEMA


def test_features_are_computed_from_the_raw_values(day: Day) -> None:
    split_day(day, rows=200)
    by_kilos = {sheep(number)[3]: number for number in range(200)}
    found = [row for side in ("train", "val") for row in day.rows(f"{P}/{side}.csv")]
    assert len(found) == 200
    for row in found:
        number = by_kilos[row["kilos"]]
        _, _, weighed, kilos, lambs, breed, organic, _ = sheep(number)
        time = datetime.fromisoformat(weighed)
        codes = {"merino": "0", "suffolk": "1", "texel": "2", "": ""}
        assert list(row.values()) == [
            str("ABC".index(graded(number)[1])),
            str(time.hour),
            str(time.weekday()),
            str(time.day),
            kilos,
            lambs,
            codes[breed],
            "1" if organic == "true" else "0",
        ]


@pytest.mark.parametrize("most", [1, 2, 255])
def test_categories_are_the_most_frequent_of_the_train_side(day: Day, most: int) -> None:
    fields = [f if f["name"] != "breed" else field("breed", "string", "feature") for f in SCHEMA["fields"]]
    rows = [[*sheep(n)[:5], f"breed {int(math.sqrt(n))}", *sheep(n)[6:]] for n in range(300)]
    day.publish(to_csv(DATA_HEADER, rows), flock(300)[1], {**SCHEMA, "fields": fields})
    assert day.run("prepare").code == 0
    assert day.run("split", "--max-categories", str(most)).code == 0
    raw = {row["tag"]: row["breed"] for row in day.rows(f"{P}/train_data.csv")}
    where = sides(day)
    counts = Counter(raw[tag] for tag, side in where.items() if side == "train")
    ranked = sorted(counts, key=lambda breed: (-counts[breed], breed))
    values = next(f["values"] for f in encoder(day)["features"] if f["name"] == "breed")
    assert values == sorted(ranked[:most])


@pytest.mark.parametrize(
    ("classes", "ordered"),
    [
        (["b", "a"], ["a", "b"]),
        (["10", "9", "-1"], ["-1", "9", "10"]),
        (["1.5", "1.0", "10.0"], ["1.0", "1.5", "10.0"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["true", "false"], ["false", "true"]),
        (["nan", "1", "0"], ["0", "1", "nan"]),
    ],
)
def test_classes_are_sorted_as_numbers_if_all_are(classes: list[str], ordered: list[str]) -> None:
    assert sort_classes(classes) == ordered


def test_split_before_prepare_is_not_ready(day: Day) -> None:
    day.publish(*flock(20))
    assert day.run("split").code == 4


def test_split_of_torn_train_data_is_refused(day: Day) -> None:
    day.publish(*flock(50))
    assert day.run("prepare").code == 0
    with day.file(f"{P}/train_data.csv").open("a") as torn:
        torn.write("x\n")
    run = day.run("split")
    assert run.code == 3
    assert "train_data.csv has" in run.log


def test_split_after_the_schema_has_changed_is_refused(day: Day) -> None:
    day.publish(*flock(50))
    assert day.run("prepare").code == 0
    day.publish(*flock(50), without_entity())
    run = day.run("split")
    assert run.code == 3
    assert "schema.json has changed" in run.log
    assert "run `preprocessing prepare` again" in run.log


def test_made_up_feature_name_that_is_taken_is_refused(day: Day) -> None:
    fields = [{**f, "name": "weighed_hour"} if f["name"] == "lambs" else f for f in SCHEMA["fields"]]
    data, target = flock(50)
    day.publish(data.replace("lambs", "weighed_hour"), target, {**SCHEMA, "fields": fields})
    assert day.run("prepare").code == 0
    run = day.run("split")
    assert run.code == 3
    assert "weighed_hour is a field's name and the name of a feature made from a time" in run.log


def test_binary_target_and_date_as_time(day: Day) -> None:
    schema = {
        "fields": [
            field("id", "integer", "key"),
            field("seen", "date", "time"),
            field("size", "number", "feature"),
            field("ripe", "boolean", "target"),
        ]
    }
    data = to_csv(["id", "seen", "size"], [[n, f"2026-11-{1 + n % 28:02d}", n / 3] for n in range(100)])
    day.publish(data, to_csv(["id", "ripe"], [[n, str(n % 5 == 0).lower()] for n in range(100)]), schema)
    assert day.run("prepare").code == 0
    run = day.run("split")
    assert run.result["classes"] == {"false": {"train": 64, "val": 16}, "true": {"train": 16, "val": 4}}
    assert [f["kind"] for f in encoder(day)["features"]] == ["weekday", "day", "number"]


def test_features_of_times(day: Day) -> None:
    """Parts and differences that the schema asks for; a date as a feature is its days since 1970."""
    schema = {
        "fields": [
            field("id", "integer", "key"),
            {**field("seen", "datetime", "time"), "parts": ["month", "yearday"], "since": ["born", "opened"]},
            {**field("opened", "datetime", "time"), "parts": []},
            field("born", "date", "feature"),
            field("ripe", "boolean", "target"),
        ]
    }
    rows = [
        [n, f"2024-{1 + n % 12:02d}-29T18:00:00", "2024-01-01T00:00:00" if n % 7 else "", "1969-12-31"]
        for n in range(60)
    ]
    day.publish(
        to_csv(["id", "seen", "opened", "born"], rows), to_csv(["id", "ripe"], [[n, n % 2] for n in range(60)]), schema
    )
    assert day.run("prepare").code == 0
    assert day.run("split").code == 0
    assert encoder(day)["features"] == [
        {"name": "seen_month", "field": "seen", "kind": "month"},
        {"name": "seen_yearday", "field": "seen", "kind": "yearday"},
        {"name": "seen_since_born", "field": "seen", "kind": "days", "since": "born"},
        {"name": "seen_since_opened", "field": "seen", "kind": "days", "since": "opened"},
        {"name": "born", "field": "born", "kind": "days"},
    ]
    found = [row for side in ("train", "val") for row in day.rows(f"{P}/{side}.csv")]
    for row in found:
        seen = datetime(2024, int(row["seen_month"]), 29, 18)
        assert int(row["seen_yearday"]) == seen.timetuple().tm_yday
        assert float(row["seen_since_born"]) == (seen - datetime(1969, 12, 31)).days + 0.75
        assert row["seen_since_opened"] in ("", str((seen - datetime(2024, 1, 1)).days + 0.75))
        assert float(row["born"]) == -1
    assert len(found) == 60
    assert sum(row["seen_since_opened"] == "" for row in found) == 9
    day.publish_model()
    features = day.run("features", "--model", MODEL)
    assert features.code == 0, features.log
    by_id = {row["id"]: row for row in day.rows(f"features/{DS}/features.csv")}
    assert by_id["2"]["seen_since_opened"] == "88.75"
    assert by_id["0"]["seen_since_opened"] == ""


@pytest.mark.parametrize(
    ("name", "properties", "message"),
    [
        ("weighed", {"parts": ["week"]}, "'week' is no part of a datetime"),
        ("weighed", {"type": "date", "parts": ["hour"]}, "'hour' is no part of a date"),
        ("weighed", {"parts": "hour"}, 'parts is "hour"'),
        ("weighed", {"parts": ["hour", "hour"]}, "its parts are"),
        ("kilos", {"parts": []}, "parts on the role time"),
        ("weighed", {"since": ["kilos"]}, "it counts since 'kilos', which is no other time"),
        ("weighed", {"since": ["weighed"]}, "it counts since 'weighed', which is no other time"),
        ("weighed", {"since": ["nothing"]}, "it counts since 'nothing', which is no other time"),
    ],
)
def test_features_of_times_that_cannot_be_made_are_refused(
    day: Day, name: str, properties: dict[str, Any], message: str
) -> None:
    fields = [{**f, **properties} if f["name"] == name else f for f in SCHEMA["fields"]]
    day.publish(*flock(20), {**SCHEMA, "fields": fields})
    run = day.run("prepare")
    assert run.code == 3
    assert message in run.log


@pytest.mark.parametrize(("long", "different", "code"), [(True, True, 3), (True, False, 0), (False, True, 0)])
def test_free_text_is_no_category(day: Day, long: bool, different: bool, code: int) -> None:
    fields = [f if f["name"] != "breed" else field("breed", "string", "feature") for f in SCHEMA["fields"]]
    texts = [
        ("a sheep that was seen near number " if long else "") + str(n if different else n % 9) for n in range(300)
    ]
    rows = [[*sheep(n)[:5], texts[n], *sheep(n)[6:]] for n in range(300)]
    day.publish(to_csv(DATA_HEADER, rows), flock(300)[1], {**SCHEMA, "fields": fields})
    assert day.run("prepare").code == 0
    run = day.run("split")
    assert run.code == code
    assert (
        "the feature 'breed' has 300 different texts in 300 rows" in run.log and "give breed the role ignore" in run.log
    ) == bool(code)


LABELS = {"text": ("fraud", "legit"), "integer": ("0", "1"), "number": ("1.5", "2"), "boolean": ("no", "yes")}


def two_classes(day: Day, kind: str, positive: Any, which: Callable[[int], int] = lambda number: number % 2) -> Any:
    """Publish and prepare a day whose target has two values, and which names the positive one or none; splits it."""
    texts = LABELS[kind]
    target = field("grade", "string" if kind == "text" else kind, "target")
    if positive is not None:
        target["positiveClass"] = positive
    if kind == "boolean":
        target |= {"trueValues": ["yes"], "falseValues": ["no"]}
    schema = {**SCHEMA, "fields": [*without_entity()["fields"][:-1], target]}
    rows = [[f"tag-{number}", texts[which(number)]] for number in range(60)]
    day.publish(flock(60)[0], to_csv(["tag", "grade"], rows), schema)
    run = day.run("prepare")
    return day.run("split") if run.code == 0 else run


@pytest.mark.parametrize(
    ("kind", "positive", "classes"),
    [
        ("text", "fraud", ["legit", "fraud"]),
        ("text", "legit", ["fraud", "legit"]),
        ("integer", 0, ["1", "0"]),
        ("integer", "0", ["1", "0"]),
        ("integer", 1, ["0", "1"]),
        ("number", 1.5, ["2.0", "1.5"]),
        ("boolean", "no", ["true", "false"]),
        ("boolean", True, ["false", "true"]),
    ],
)
def test_positive_class_is_the_second(day: Day, kind: str, positive: Any, classes: list[str]) -> None:
    assert two_classes(day, kind, positive).code == 0
    assert encoder(day)["target"] == {"name": "grade", "classes": classes}
    for side in ("train", "val"):
        assert {row["grade"] for row in day.rows(f"{P}/{side}.csv")} == {"0", "1"}
    of_first = {row["kilos"] for row in day.rows(f"{P}/train_data.csv") if row["grade"] == classes[0]}
    assert {row["kilos"] in of_first for row in day.rows(f"{P}/val.csv") if row["grade"] == "0"} == {True}


FREQUENT = {
    "text": ("'legit' (95.0%), because it comes after 'fraud' (5.0%)", '"positiveClass": "fraud", or "legit"'),
    "integer": ("'1' (95.0%), because it comes after '0' (5.0%)", '"positiveClass": 0, or 1'),
    "boolean": ("'true' (95.0%), because it comes after 'false' (5.0%)", '"positiveClass": false, or true'),
}


@pytest.mark.parametrize("kind", FREQUENT)
@pytest.mark.parametrize("frequent", [0, 1])
@pytest.mark.parametrize("is_named", [False, True])
def test_frequent_class_that_is_positive_by_its_name_is_a_warning(
    day: Day, kind: str, frequent: int, is_named: bool
) -> None:
    positive = {"text": "legit", "integer": 1, "boolean": "yes"}[kind] if is_named else None
    run = two_classes(day, kind, positive, lambda number: frequent if number % 20 else 1 - frequent)
    assert run.code == 0, run.log
    found = run.result.get("warnings", [])
    assert len(found) == (frequent == 1 and not is_named)
    for sentence in found:
        assert sentence in run.log
        assert all(part in sentence for part in FREQUENT[kind])


@pytest.mark.parametrize(
    ("kind", "positive", "message"),
    [
        ("text", "theft", "the classes of grade are fraud, legit, and positiveClass is 'theft'"),
        ("integer", 2, "the classes of grade are 0, 1, and positiveClass is '2'"),
        ("integer", "many", "field 'grade', positiveClass: 'many' is no integer"),
        ("boolean", "true", "field 'grade', positiveClass: 'true' is no boolean"),
    ],
)
def test_positive_class_that_does_not_exist_is_refused(day: Day, kind: str, positive: Any, message: str) -> None:
    run = two_classes(day, kind, positive)
    assert run.code == 3
    assert message in run.log


def test_positive_class_of_more_than_two_is_refused(day: Day) -> None:
    target = {**SCHEMA["fields"][-1], "positiveClass": "A"}
    day.publish(*flock(60), {**SCHEMA, "fields": [*SCHEMA["fields"][:-1], target]})
    assert day.run("prepare").code == 0
    run = day.run("split")
    assert run.code == 3
    assert "the classes of grade are A, B, C, and positiveClass is 'A'; expected: two classes" in run.log


def test_data_published_again_makes_the_old_split_unready(day: Day) -> None:
    split_day(day)
    day.publish(*flock(500))
    assert day.run("prepare").code == 0
    assert "train.csv" not in json.loads(day.file(f"{P}/_meta.json").read_text())["outputs"]


@RUNS
@given(values=st.lists(st.text(min_size=0, max_size=5), min_size=30, max_size=60))
def test_any_text_can_be_a_category(day: Day, values: list[str]) -> None:
    values = [v.replace("\0", "").encode("utf-8", "ignore").decode() for v in values]
    values = [value if value.strip() else "" for value in values]
    schema = {
        "fields": [field("id", "integer", "key"), field("t", "string", "feature"), field("y", "string", "target")]
    }
    data = to_csv(["id", "t"], list(enumerate(values)))
    day.publish(data, to_csv(["id", "y"], [[n, "ab"[n % 2]] for n in range(len(values))]), schema)
    assert day.run("prepare").code == 0
    assert day.run("split").code == 0
    day.publish_model()
    assert day.run("features", "--model", MODEL).code == 0
    known = encoder(day)["features"][0]["values"]
    assert set(known) <= set(values) - {""}
    coded = [row["t"] for row in day.rows(f"features/{DS}/features.csv")]
    assert coded == [str(known.index(value)) if value in known else "" for value in values]


@pytest.mark.parametrize("schema", [SCHEMA, without_entity()], ids=["entity", "no entity"])
@pytest.mark.parametrize("block", [700, 8 << 20])
def test_rows_that_validate_are_kept_as_they_are_in_train_data(
    day: Day, monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], block: int
) -> None:
    monkeypatch.setattr("csv_input.BLOCK_BYTES", block)
    rows = [[*sheep(n)[:7], "ok"] for n in range(300)]
    for row in rows[::3]:
        row[1] = f'a farm, "{row[1]}"\nfar away'
    day.publish(to_csv(DATA_HEADER, rows), flock(300)[1], schema)
    assert day.run("prepare").code == 0
    assert day.run("split").code == 0
    prepared = day.rows(f"{P}/train_data.csv")
    kilos = [row["kilos"] for row in day.rows(f"{P}/val.csv")]
    kept = [row for row in prepared if row["kilos"] in set(kilos)]
    assert day.rows(f"{P}/val_data.csv") == kept
    assert [row["kilos"] for row in kept] == kilos
    header, _, body = day.file(f"{P}/val_data.csv").read_bytes().partition(b"\n")
    content = day.file(f"{P}/train_data.csv").read_bytes()
    assert content.startswith(header + b"\n")
    assert len(body) < len(content) / 2
    mark = json.loads(day.file(f"{P}/_meta.json").read_text())
    assert mark["outputs"]["val_data.csv"]["rows"] == len(kept)


def keyed(kind: str, role: str) -> dict[str, Any]:
    """The schema with another type of its key, and another role of its time."""
    changed = {"tag": field("tag", kind, "key"), "weighed": field("weighed", "datetime", role)}
    return {**SCHEMA, "fields": [changed.get(one["name"], one) for one in SCHEMA["fields"]]}


@pytest.mark.parametrize(
    ("key", "kind", "role", "said"),
    [
        ("T202611{:02d}-{:06d}", "string", "ignore", True),
        ("2026-11-{:02d} sheep {:06d}", "string", "ignore", True),
        ("2026-11-{:02d}T00:00:00.{:06d}", "datetime", "ignore", True),
        ("T202611{:02d}-{:06d}", "string", "time", False),
        ("tag-{:02d}-{:06d}", "string", "ignore", False),
        ("T202699{:02d}-{:06d}", "string", "ignore", False),
        ("912{:02d}{:06d}", "string", "ignore", False),
    ],
)
def test_key_with_a_date_that_nothing_uses_is_a_warning(day: Day, key: str, kind: str, role: str, said: bool) -> None:
    def renamed(row: list[str]) -> list[str]:
        number = int(row[0].removeprefix("tag-"))
        return [key.format(1 + number % 28, number), *row[1:]]

    data = to_csv(DATA_HEADER, [renamed(sheep(number)) for number in range(120)])
    target = to_csv(["tag", "grade"], [renamed(graded(number)) for number in range(120)])
    day.publish(data, target, keyed(kind, role))
    assert day.run("prepare").code == 0
    run = day.run("split")
    assert run.code == 0, run.log
    warnings = run.result.get("warnings", [])
    assert len(warnings) == said
    assert all(one.startswith("each value of the key tag has a date") and one in run.log for one in warnings)


@pytest.mark.parametrize("block", [1, 8 << 20])
def test_byte_order_mark_in_a_value_is_a_part_of_it(day: Day, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Where a block of rows began with one, polars left it out: the row was of another entity."""
    monkeypatch.setattr("csv_input.BLOCK_BYTES", block)
    fields = [field("who", "string", "entity"), field("id", "integer", "key")]
    schema = {"fields": [*fields, field("x", "number", "feature"), field("y", "string", "target")]}
    rows = [[f"{mark}{n % 5}", f"{n}{len(mark)}", n] for n in range(20) for mark in ("", "\ufeff")]
    target = to_csv(["id", "y"], [[row[1], "ab"[row[2] % 2]] for row in rows])
    day.publish(to_csv(["who", "id", "x"], rows), target, schema)
    assert day.run("prepare").code == 0
    table = PreparedTable(day.file(f"{P}/train_data.csv"), "train_data.csv", parse_schema(schema, "schema.json"))
    groups = [group for block in table.blocks() for group in table.typed(block)[GROUP]]
    assert groups == [row[0] for row in rows]
