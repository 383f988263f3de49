"""Parameters that a search has found: which search counts, what a person has given wins, and the result says so."""

import json
from typing import Any

import pytest
from conftest import DAY, PROCESSED, World
from stagekit import Publication, read_partition

FAST = ("--param", "num_iterations=5")


def publish_search(day: World, ds: str, parameters: Any, *, of_rows: bool = False) -> None:
    """What `tuning` publishes; `of_rows`: made from the rows of DAY as they are."""
    rows = [read_partition(day.root, PROCESSED, ["train.csv"])] if of_rows else []
    with Publication(day.root, f"tuning/{ds}", "tune", inputs=rows) as publication:
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
