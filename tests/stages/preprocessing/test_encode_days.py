"""Prepared days as numbers: each row with the day on which its label was known, and nothing of later days in a row."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_HEADER, SCHEMA, Day, field, flock, graded, put, sheep, to_csv
from stagekit import read_partition

from day_encoding import EPOCH, in_order_of_appearance

DAYS = ("2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21")
ROWS = 60
TWO = {**SCHEMA, "fields": [{**f, "constraints": {}} if f["name"] == "breed" else f for f in SCHEMA["fields"]]}


def publish(day: Day, ds: str, breeds: Sequence[str] = ("merino", "texel"), first: int = 0) -> None:
    """A day whose sheep are of these breeds, prepared."""
    rows = [sheep(number) for number in range(first, first + ROWS)]
    for number, row in enumerate(rows):
        row[5] = breeds[number % len(breeds)]
    target = [graded(number) for number in range(first, first + ROWS)]
    day.publish(to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], target), TWO, ds)
    assert day.run("prepare", ds=ds).code == 0


def encoded(day: Day, ds: str, until: str = DAYS[-1]) -> list[dict[str, str]]:
    partition = read_partition(day.root, f"backtests/{until}", [f"{ds}.csv"])
    return list(csv.DictReader(io.StringIO((partition / f"{ds}.csv").read_text())))


def known(ds: str) -> str:
    return str((date.fromisoformat(ds) - EPOCH).days)


def document(day: Day, file: str) -> Any:
    return json.loads((day.root / f"backtests/{DAYS[-1]}" / file).read_text())


def test_days_are_encoded_and_one_that_is_not_there_is_named(day: Day) -> None:
    for ds in (DAYS[0], DAYS[2], DAYS[3]):
        publish(day, ds)
    run = day.run("encode-days", "--days", "4", reuse=True)
    assert run.code == 0, run.log
    assert (run.result["days"], run.result["rows"]) == (3, 3 * ROWS)
    assert "2026-11-19 is left out" in run.result["warnings"][0]
    assert list(document(day, "left_out.json")) == ["2026-11-19"]
    encoder = document(day, "encoder.json")
    assert encoder["days"] == [DAYS[0], DAYS[2], DAYS[3]]
    rows = encoded(day, DAYS[2])
    features = [feature["name"] for feature in encoder["features"]]
    assert list(rows[0]) == ["known", "group", "grade", *features]
    assert {row["known"] for row in rows} == {known(DAYS[2])}
    of_farm = {sheep(number)[1]: row["group"] for number, row in enumerate(rows)}
    assert len(set(of_farm.values())) == len(of_farm) == 17
    assert all(row["group"] == of_farm[sheep(number)[1]] for number, row in enumerate(rows))
    assert [encoder["target"]["classes"][int(row["grade"])] for row in rows] == [graded(n)[1] for n in range(ROWS)]
    assert day.run("encode-days", "--days", "4", reuse=True).result["cached"] is True


@pytest.mark.parametrize("positive", [None, "legit"])
def test_frequent_class_that_is_positive_by_its_name_is_a_warning_as_in_split(day: Day, positive: str | None) -> None:
    target = field("grade", "string", "target") | ({"positiveClass": positive} if positive else {})
    labels = [[f"tag-{number}", "legit" if number % 20 else "fraud"] for number in range(ROWS)]
    for ds in DAYS[:2]:
        schema = {**SCHEMA, "fields": [*SCHEMA["fields"][:-1], target]}
        day.publish(flock(ROWS)[0], to_csv(["tag", "grade"], labels), schema, ds)
        assert day.run("prepare", ds=ds).code == 0
    run = day.run("encode-days", "--days", "2", ds=DAYS[1])
    assert run.code == 0, run.log
    said = "the positive class of grade is 'legit' (95.0%), because it comes after 'fraud' (5.0%)"
    assert [said in warning for warning in run.result.get("warnings", [])] == ([] if positive else [True])
    assert (said in run.log) is not positive


def test_numbers_are_those_that_a_model_gets(day: Day) -> None:
    """`split` encodes the same rows: only the codes of categories may differ."""
    publish(day, DAYS[-1])
    assert day.run("split").code == 0
    assert day.run("encode-days").code == 0
    processed = day.root / f"processed/{DAYS[-1]}"
    theirs = [row for file in ("train.csv", "val.csv") for row in day.rows(f"processed/{DAYS[-1]}/{file}")]
    ours = encoded(day, DAYS[-1])
    mine, other = document(day, "encoder.json"), json.loads((processed / "encoder.json").read_text())
    names = [feature["name"] for feature in other["features"]]
    assert names == [feature["name"] for feature in mine["features"]]

    def texts(row: dict[str, str], encoder: Any) -> tuple[str, ...]:
        values = {f["name"]: f["values"] for f in encoder["features"] if f["kind"] == "category"}
        return tuple(values[name][int(row[name])] if values.get(name) and row[name] else row[name] for name in names)

    assert sorted(texts(row, mine) for row in ours) == sorted(texts(row, other) for row in theirs)


def test_later_day_moves_no_code_of_an_earlier_one(day: Day) -> None:
    publish(day, DAYS[2], ["texel", "suffolk"])
    publish(day, DAYS[3], ["merino", "aran", "texel"])
    assert day.run("encode-days", "--days", "2").code == 0
    both = encoded(day, DAYS[2])
    publish(day, DAYS[3], ["texel"])
    assert day.run("encode-days", "--days", "2").code == 0
    assert encoded(day, DAYS[2]) == both
    counts = [{"b": 2, "a": 2, "c": 3}, {"z": 9, "a": 9}]
    assert in_order_of_appearance(counts, 9) == ("c", "a", "b", "z")
    assert in_order_of_appearance(counts, 3) == ("c", "a", "b")


def test_day_that_another_run_has_prepared_for_a_time_is_not_used(day: Day) -> None:
    """Its rows may lack labels that have arrived since."""
    for ds in DAYS[2:]:
        publish(day, ds)
    assert day.run("prepare", "--as-of", "2098-01-01", ds=DAYS[2]).code == 0
    assert day.run("encode-days", "--days", "2").result["days"] == 1
    made = f"processed/{DAYS[2]}/train_data.csv was made with --as-of 2098-01-01T23:59:59Z"
    assert document(day, "left_out.json") == {DAYS[2]: made}
    assert day.run("prepare", "--as-of", "2098-01-01").code == 0
    assert day.run("encode-days", "--days", "2").code == 3


def test_label_is_known_when_its_delivery_arrived(day: Day, files: dict[str, Path]) -> None:
    """A label that was delivered twice with the same class was known from the first time on."""
    arguments = put(files, *flock(ROWS))
    at = arguments.index("--target")
    assert day.run("import", *arguments[:at], *arguments[at + 2 :]).code == 0
    for number, (first, last, arrived) in enumerate([(0, 30, "2026-11-23"), (25, ROWS, "2026-12-02T11:00:00Z")]):
        path = files["target.csv"].with_name(f"delivery {number}.csv")
        path.write_text(to_csv(["tag", "grade"], [graded(n) for n in range(first, last)]))
        assert day.run("import-target", "--target", str(path), "--arrived", arrived, reuse=True).code == 0
    assert day.run("prepare", "--max-rejected", "1").code == 0
    assert day.run("encode-days").code == 0
    days = [row["known"] for row in encoded(day, DAYS[-1])]
    assert days == [known("2026-11-23")] * 30 + [known("2026-12-02")] * (ROWS - 30)


def test_cumulative_feed_makes_no_label_look_later_than_it_was(day: Day, files: dict[str, Path]) -> None:
    """A label was known from the delivery on since which its class is the same; an unusable row is no other class.

    Two classes in one delivery are no label.
    """
    arguments = put(files, *flock(9))
    at = arguments.index("--target")
    assert day.run("import", *arguments[:at], *arguments[at + 2 :]).code == 0
    feed = {
        "2026-11-22": ["A", "B", "A", "A", "", "", "A/B"],
        "2026-11-25": ["A", "A", "B", "?", "C", "", "A"],
        "2026-12-05": ["A", "B", "A", "B", "C", "A"],
        "2026-11-28": ["A", "A", "A", "B", "", "B"],
    }
    for arrived, grades in feed.items():
        path = files["target.csv"].with_name(f"{arrived}.csv")
        rows = [[f"tag-{n}", grade] for n, found in enumerate(grades) for grade in found.split("/")]
        path.write_text(to_csv(["tag", "grade"], rows))
        assert day.run("import-target", "--target", str(path), "--arrived", arrived, reuse=True).code == 0
    assert day.run("prepare", "--max-rejected", "1").code == 0
    run = day.run("encode-days")
    assert run.code == 0, run.log
    days = ["2026-11-22", "2026-12-05", "2026-11-28", "2026-11-28", "2026-11-25", "2026-12-05", "2026-11-25"]
    assert [row["known"] for row in encoded(day, DAYS[-1])] == [known(ds) for ds in days]


def test_deliveries_are_read_as_prepare_reads_them(day: Day, files: dict[str, Path]) -> None:
    """However a later delivery writes a key, and whatever is damaged in it, its label was not known before."""
    fields = [field("id", "integer", "key"), field("x", "number", "feature"), field("y", "string", "target")]
    arguments = put(files, to_csv(["id", "x"], [[n, n] for n in range(ROWS)]), "", {"fields": fields})
    at = arguments.index("--target")
    assert day.run("import", *arguments[:at], *arguments[at + 2 :]).code == 0
    later = "".join(f"{key},B\n" for n in range(25, ROWS, 3) for key in (f"{n}.0", f" {n + 1} ", f"00{n + 2}"))
    for text, arrived in [
        (to_csv(["id", "y"], [[n, "A"] for n in range(30)]), "2026-11-23"),
        (f'id,y\n{later}70,"B\n', "2026-12-02"),
    ]:
        path = files["target.csv"].with_name(f"{arrived}.csv")
        path.write_text(text)
        assert day.run("import-target", "--target", str(path), "--arrived", arrived, reuse=True).code == 0
    assert day.run("prepare", "--max-rejected", "1").code == 0
    run = day.run("encode-days")
    assert run.code == 0, run.log
    rows = encoded(day, DAYS[-1])
    assert [row["y"] for row in rows] == ["0"] * 25 + ["1"] * (ROWS - 25)
    assert [row["known"] for row in rows] == [known("2026-11-23")] * 25 + [known("2026-12-02")] * (ROWS - 25)


def test_labels_that_came_with_the_data_were_known_on_the_day_unless_it_says_when(
    day: Day, files: dict[str, Path]
) -> None:
    """The data of past days is often published long after; its labels are as old as it is."""
    arguments = put(files, *flock(ROWS))
    for options, expected in (([], DAYS[-1]), (["--arrived", "2026-11-25"], "2026-11-25")):
        assert day.run("import", *arguments, *options).code == 0
        assert day.run("prepare").code == 0
        assert day.run("encode-days").code == 0
        assert {row["known"] for row in encoded(day, DAYS[-1])} == {known(expected)}


def test_day_that_is_not_prepared_is_not_there_yet(day: Day) -> None:
    publish(day, DAYS[2])
    run = day.run("encode-days", "--days", "2")
    assert run.code == 4
    assert "processed/2026-11-21 is not ready" in run.log
    assert day.leftovers() == []
