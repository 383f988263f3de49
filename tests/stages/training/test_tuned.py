"""Parameters that a search has found: which search counts, what a person has given wins, and the result says so."""

import json
from typing import Any

import pytest
from conftest import DAY, PROCESSED, World
from stagekit import Publication, read_partition
from stagekit.call import Call

FAST = ("--param", "num_iterations=5")


def called_with(as_of: str | None) -> Call:
    return Call("stage", "command", {"as_of": as_of})


def publish_search(day: World, ds: str, parameters: Any, *, of_rows: bool = False, as_of: str | None = None) -> None:
    """What `tuning` publishes; `of_rows`: made from the rows of DAY as they are."""
    rows = [read_partition(day.root, PROCESSED, ["train.csv"])] if of_rows else []
    with Publication(day.root, f"tuning/{ds}", "tune", inputs=rows, call=called_with(as_of)) as publication:
        content = {"version": 1, "trial": 7, "parameters": parameters}
        publication.path("best.json").write_text(json.dumps(content))


def leaves(day: World) -> Any:
    return day.params()["parameters"]["num_leaves"]


def test_search_counts_only_if_its_age_is_asked_for(day: World) -> None:
    publish_search(day, "2026-11-19", {"num_leaves": 7})
    assert "tuned" not in day.train(*FAST).line
    assert leaves(day) == 31
    result = day.train(*FAST, "--tuned-max-age", "2")
    said = {"partition": "tuning/2026-11-19", "trial": 7, "parameters": ["num_leaves"], "replaced": []}
    assert result.line["tuned"] == day.params()["tuned"] == said
    assert "from tuning/2026-11-19, trial 7" in result.log
    assert leaves(day) == 7
    step = read_partition(day.root, f"models/{DAY}", []).meta["steps"]["train"]
    assert "tuning/2026-11-19/best.json" in step["inputs"]


def test_newest_search_that_is_young_enough_counts(day: World) -> None:
    for ds, number in (("2026-11-18", 8), ("2026-11-19", 9), ("2026-11-22", 22)):
        publish_search(day, ds, {"num_leaves": number})
    day.train(*FAST, "--tuned-max-age", "5")
    assert leaves(day) == 9
    result = day.train(*FAST, "--tuned-max-age", "1")
    assert "no tuning" in result.log
    assert "tuned" not in result.line


def test_parameters_that_a_person_gives_win(day: World) -> None:
    publish_search(day, "2026-11-20", {"num_leaves": 7, "lambda_l2": 3.0})
    line = day.train(*FAST, "--tuned-max-age", "2", "--params-json", '{"max_leaves": 5}').line
    assert line["tuned"]["parameters"] == ["lambda_l2"]
    assert line["tuned"]["replaced"] == ["num_leaves"]
    assert leaves(day) == 5


def test_search_of_the_day_counts_only_if_it_saw_these_rows(day: World) -> None:
    publish_search(day, DAY, {"num_leaves": 7})
    assert "other rows of this day" in day.train(*FAST, "--tuned-max-age", "0").log
    assert leaves(day) == 31
    publish_search(day, DAY, {"num_leaves": 7}, of_rows=True)
    day.train(*FAST, "--tuned-max-age", "0")
    assert leaves(day) == 7


def test_newer_search_trains_again_and_the_same_one_does_not(day: World) -> None:
    publish_search(day, "2026-11-19", {"num_leaves": 7})
    arguments = (*FAST, "--tuned-max-age", "9")
    day.train(*arguments)
    assert day.run(*arguments).line["cached"] is True
    publish_search(day, "2026-11-20", {"num_leaves": 9})
    day.train(*arguments)
    assert leaves(day) == 9


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ([1], 3, "best.json: parameters"),
        ({"linear_tree": True}, 2, "linear_tree"),
    ],
)
def test_search_that_no_training_takes_is_named(day: World, parameters: Any, code: int, message: str) -> None:
    publish_search(day, "2026-11-20", parameters)
    result = day.run(*FAST, "--tuned-max-age", "2")
    assert result.code == code
    assert message in result.log
    assert day.leftovers() == []


def test_damaged_search_is_bad_input(day: World) -> None:
    publish_search(day, "2026-11-20", {"num_leaves": 7})
    (day.root / "tuning/2026-11-20/best.json").write_text("{}")
    assert day.run(*FAST, "--tuned-max-age", "2").code == 3


def split_again(day: World, as_of: str) -> None:
    """Publish the same rows as another `split` would, which had this --as-of."""
    processed = read_partition(day.root, PROCESSED, ["train.csv", "val.csv", "encoder.json"])
    content = {file: (processed / file).read_bytes() for file in processed.files}
    with Publication(day.root, PROCESSED, "split", call=called_with(as_of)) as publication:
        for file, data in content.items():
            publication.path(file).write_bytes(data)


def test_search_that_may_know_later_labels_does_not_count(day: World) -> None:
    publish_search(day, "2026-11-17", {"num_leaves": 7}, as_of="2026-11-20T23:59:59Z")
    publish_search(day, "2026-11-18", {"num_leaves": 8}, as_of="2026-11-22T23:59:59Z")
    publish_search(day, "2026-11-19", {"num_leaves": 9})
    split_again(day, "2026-11-21T23:59:59Z")
    result = day.train(*FAST, "--tuned-max-age", "5", "--as-of", "2026-11-21")
    assert leaves(day) == 7
    assert "tuning/2026-11-19 was made without --as-of, and is not used with --as-of 2026-11-21T23:59:59Z" in result.log
    assert "tuning/2026-11-18 was made with --as-of 2026-11-22T23:59:59Z, and is not used" in result.log


def test_rows_that_another_run_has_split_for_another_time_are_refused(day: World) -> None:
    day.train(*FAST)
    result = day.run(*FAST, "--as-of", "2026-11-21")
    assert result.code == 3
    assert f"{PROCESSED}/train.csv was made without --as-of" in result.log
    split_again(day, "2026-11-21T23:59:59Z")
    result = day.run(*FAST)
    assert result.code == 3
    assert "run `preprocessing split` without --as-of again" in result.log
