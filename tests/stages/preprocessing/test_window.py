"""Training on several days: which rows train, which validate, and what happens to a day that is not there."""

import json
from collections.abc import Sequence

import polars as pl
import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, graded, sheep, to_csv, without_entity
from hypothesis import given
from hypothesis import strategies as st

from splitting import NO_SIDE, TRAINS, VALIDATES, SplitRules, sides_in_time

DAYS = ["2026-11-18", "2026-11-19", "2026-11-20", DS]
P = f"processed/{DS}"


def publish(day: Day, ds: str, number: int, schema: object = SCHEMA, rows: int = 400) -> None:
    """A day with rows of its own; the farms come back each day."""
    first = number * 100_000
    data = to_csv(DATA_HEADER, [sheep(first + row) for row in range(rows)])
    day.publish(data, to_csv(["tag", "grade"], [graded(first + row) for row in range(rows)]), schema, ds=ds)


@pytest.fixture
def window(day: Day) -> Day:
    for number, ds in enumerate(DAYS):
        publish(day, ds, number)
    return day


def tags(day: Day, file: str) -> list[str]:
    return [row["tag"] for row in day.rows(f"{P}/{file}")]


def day_of(tag: str) -> str:
    return DAYS[int(tag.removeprefix("tag-")) // 100_000]


def train_on(day: Day, days: int, *options: str) -> tuple[dict, dict]:
    """The results of prepare and split."""
    prepared = day.run("prepare", f"--days={days}")
    assert prepared.code == 0, prepared.log
    split = day.run("split", f"--days={days}", *options)
    assert split.code == 0, split.log
    return prepared.result, split.result


def test_rows_that_validate_are_of_the_last_day_and_no_farm_is_on_both_sides(window: Day) -> None:
    prepared, split = train_on(window, 4)
    assert prepared["days"] == split["days"] == DAYS
    assert split["left_out"] == {}
    assert {day_of(tag) for tag in tags(window, "val_data.csv")} == {DS}
    assert split["train_rows"] + split["val_rows"] + split["no_side"] == 4 * 400
    # The farms that validate cost a fifth of the window, and the last day trains nobody.
    assert 0.1 * 1600 < split["val_rows"] * 4 <= 0.3 * 1600
    assert split["train_rows"] >= 0.7 * 1200
    farms = {sheep(int(tag.removeprefix("tag-")))[1] for tag in tags(window, "val_data.csv")}
    kilos = {repr(float(row["kilos"])) for row in window.rows(f"{P}/train.csv")}
    of_farms = {
        sheep(number * 100_000 + row)[3]
        for number in range(4)
        for row in range(400)
        if sheep(number * 100_000 + row)[1] not in farms and number < 3
    }
    assert kilos <= of_farms


def test_without_entities_the_whole_last_day_validates_if_the_fraction_allows_it(day: Day) -> None:
    for number, ds in enumerate(DAYS):
        publish(day, ds, number, without_entity())
    _, split = train_on(day, 4, "--val-fraction=0.25")
    assert split["val_rows"] == 400
    assert split["train_rows"] == 1200
    assert split["no_side"] == 0


def test_encoder_names_the_days_and_that_of_one_day_does_not(window: Day) -> None:
    train_on(window, 4)
    assert json.loads(window.file(f"{P}/encoder.json").read_text())["days"] == DAYS
    _, split = train_on(window, 1)
    assert "days" not in json.loads(window.file(f"{P}/encoder.json").read_text())
    assert split.keys().isdisjoint({"days", "left_out", "no_side"})


def test_day_before_is_prepared_as_if_it_had_been_called_for_itself(window: Day) -> None:
    alone = window.run("prepare", ds=DAYS[0])
    made = window.file(f"processed/{DAYS[0]}/_meta.json").read_bytes()
    prepared = window.run("prepare", "--days=4", reuse=True)
    assert (alone.code, prepared.code) == (0, 0)
    assert window.file(f"processed/{DAYS[0]}/_meta.json").read_bytes() == made


def test_day_that_cannot_be_used_is_left_out_with_its_reason(day: Day) -> None:
    others = [{**field, "type": "string"} if field["name"] == "lambs" else field for field in SCHEMA["fields"]]
    for field in others:
        field.pop("constraints", None)
    publish(day, DAYS[0], 0)
    publish(day, DAYS[1], 1, {**SCHEMA, "fields": others})
    day.publish(to_csv(DATA_HEADER, [sheep(200_000)]), ds=DAYS[2])
    publish(day, DS, 3)
    prepared, split = train_on(day, 5)
    assert split["days"] == [DAYS[0], DS]
    assert list(split["left_out"]) == ["2026-11-17", DAYS[1], DAYS[2]]
    assert "there is no such partition" in split["left_out"]["2026-11-17"]
    assert f"raw/{DAYS[1]}/schema.json differs from that of raw/{DS}" in split["left_out"][DAYS[1]]
    assert "target.csv" in prepared["left_out"][DAYS[2]]
    assert [text.split()[0] for text in split["warnings"]] == list(split["left_out"])


def test_too_few_days_are_not_ready(day: Day) -> None:
    publish(day, DS, 3)
    assert day.run("prepare", "--days=7").code == 0
    run = day.run("split", "--days=7", "--min-days=3")
    assert run.code == 4
    assert "1 of 7 days can be used" in run.log
    assert "expected: at least 3" in run.log
    assert not day.file(f"{P}/train.csv").exists()


def test_fault_of_the_day_itself_is_an_error(window: Day) -> None:
    window.publish("tag\n", "tag,grade\n")
    run = window.run("prepare", "--days=4")
    assert run.code == 3
    assert f"raw/{DS}/data.csv" in run.log


def test_day_that_changed_after_it_was_prepared_is_left_out(window: Day) -> None:
    train_on(window, 4)
    publish(window, DAYS[1], 7)
    split = window.run("split", "--days=4")
    assert split.result["left_out"] == {
        DAYS[1]: f"raw/{DAYS[1]}/data.csv has changed since processed/{DAYS[1]}/train_data.csv was made"
    }


def test_day_that_a_stricter_prepare_has_refused_is_left_out(window: Day) -> None:
    bad = [sheep(100_000 + row) for row in range(400)]
    for row in bad[:100]:
        row[4] = "many"
    window.publish(
        to_csv(DATA_HEADER, bad), to_csv(["tag", "grade"], [graded(100_000 + n) for n in range(400)]), ds=DAYS[1]
    )
    assert window.run("prepare", "--days=4", "--max-rejected=1").result["days"] == DAYS
    prepared, split = train_on(window, 4)
    assert list(prepared["left_out"]) == list(split["left_out"]) == [DAYS[1]]
    assert split["left_out"][DAYS[1]] == f"processed/{DAYS[1]}/train_data.csv was made with --max-rejected 1.0"


def test_day_is_used_where_only_what_split_reads_is_there(window: Day) -> None:
    """As in a rerun of this step alone, which once left out all earlier days."""
    _, split = train_on(window, 2)
    for ds in DAYS[2:]:
        mark = window.file(f"raw/{ds}/_meta.json")
        content = json.loads(mark.read_text())
        content["outputs"] = {"schema.json": content["outputs"]["schema.json"]}
        mark.write_text(json.dumps(content))
    again = window.run("split", "--days=2")
    assert (again.result["days"], again.result["left_out"]) == (split["days"], {})


def test_class_that_the_last_day_does_not_have_is_named(window: Day) -> None:
    rows = [number for number in range(300_000, 300_400) if graded(number)[1] != "C"]
    window.publish(
        to_csv(DATA_HEADER, [sheep(number) for number in rows]),
        to_csv(["tag", "grade"], [graded(number) for number in rows]),
    )
    assert window.run("prepare", "--days=4").code == 0
    run = window.run("split", "--days=4")
    assert run.code == 3
    assert "class 'C' has" in run.log
    assert "0 of the last day that validate" in run.log


def sides(groups: Sequence[int], codes: Sequence[int], earlier: int, fraction: float, seed: int) -> pl.DataFrame:
    """The side of each row, beside its group and whether it is of the last day."""
    group = pl.Series(groups, dtype=pl.UInt32)
    side = sides_in_time(group, pl.Series(codes, dtype=pl.UInt8), earlier, SplitRules(fraction, seed, 255))
    last = [row >= earlier for row in range(len(groups))]
    return pl.DataFrame({"group": group, "side": side, "last": last})


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=2, max_size=60),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
    st.data(),
)
def test_no_row_that_trains_is_of_the_last_day_or_of_a_group_that_validates(
    rows: list[tuple[int, int]], fraction: float, seed: int, data: st.DataObject
) -> None:
    earlier = data.draw(st.integers(1, len(rows) - 1))
    found = sides([group for group, _ in rows], [code for _, code in rows], earlier, fraction, seed)
    trains, validates = found.filter(pl.col("side") == TRAINS), found.filter(pl.col("side") == VALIDATES)
    assert not trains["last"].any()
    assert validates["last"].all()
    assert set(trains["group"]).isdisjoint(validates["group"])
    lost = found.filter(pl.col("side") == NO_SIDE)
    assert set(lost.filter(~pl.col("last"))["group"]) <= set(validates["group"])
