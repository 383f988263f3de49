"""`confirm`: a breach counts once enough days agree on it, and the day itself is one of them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from conftest import DAY, World
from stagekit import read_partition

BREACHES = f"reports/{DAY}/breaches.json"
AMOUNT, SCORE, REJECTED = ("feature_psi", "amount"), ("score_psi", "score"), ("rejected", "data.csv")


def evaluated(world: World, ds: str, *subjects: tuple[str, str]) -> None:
    """Publish the evaluation of a day that crossed these limits."""
    breaches = [{"what": what, "subject": about, "text": f"{about} on {ds}"} for what, about in subjects]
    content: Mapping[str, Any] = {
        "version": 1, "ds": ds, "model": {}, "rows": 1, "quality": {}, "breaches": breaches,
    }  # fmt: skip
    world.publish(f"reports/{ds}", "evaluate", {"evaluation.json": json.dumps(content)})


def confirmed(world: World, *arguments: str) -> dict[str, Any]:
    result = world.run("confirm", "--ds", DAY, *arguments)
    assert result.code == 0, result.errors
    assert result.result
    return result.result


CASES: dict[str, tuple[dict[str, Iterable[tuple[str, str]]], list[str], list[str]]] = {
    "first_day": ({DAY: [AMOUNT]}, [], [f"amount on {DAY}"]),
    "day_before": ({"2026-11-20": [AMOUNT], DAY: [AMOUNT]}, [f"amount on {DAY} (also on 2026-11-20)"], []),
    "day_before_the_last": (
        {"2026-11-19": [AMOUNT], "2026-11-20": [], DAY: [AMOUNT]},
        [f"amount on {DAY} (also on 2026-11-19)"],
        [],
    ),
    "too_long_ago": (
        {"2026-11-18": [AMOUNT], "2026-11-19": [], "2026-11-20": [], DAY: [AMOUNT]},
        [],
        [f"amount on {DAY}"],
    ),
    "over_by_now": ({"2026-11-19": [AMOUNT], "2026-11-20": [AMOUNT], DAY: []}, [], []),
    "something_else": ({"2026-11-20": [SCORE], DAY: [AMOUNT]}, [], [f"amount on {DAY}"]),
    "days_without_evaluation": ({"2026-10-01": [AMOUNT], DAY: [AMOUNT]}, [f"amount on {DAY} (also on 2026-10-01)"], []),
    "later_days": ({DAY: [AMOUNT], "2026-11-22": [AMOUNT]}, [], [f"amount on {DAY}"]),
    "counted_rows": ({DAY: [REJECTED, SCORE]}, [f"data.csv on {DAY}"], [f"score on {DAY}"]),
    "counted_values": ({DAY: [("missing_as_zero", "amount")]}, [f"amount on {DAY}"], []),
}


@pytest.mark.parametrize(("days", "breaches", "unconfirmed"), CASES.values(), ids=CASES)
def test_breach_counts_if_enough_of_the_last_days_agree(
    world: World, days: dict[str, Iterable[tuple[str, str]]], breaches: list[str], unconfirmed: list[str]
) -> None:
    for ds, subjects in days.items():
        evaluated(world, ds, *subjects)
    found = confirmed(world)
    assert (found["breaches"], found["unconfirmed"]) == (breaches, unconfirmed)
    content = world.json(BREACHES)
    assert [len(content[name]) for name in ("confirmed", "unconfirmed")] == [len(breaches), len(unconfirmed)]


def test_rules_say_how_many_days_must_agree(world: World) -> None:
    evaluated(world, DAY, AMOUNT)
    assert confirmed(world, "--rules-json", '{"days": {"agree": 1, "of": 1}}')["breaches"] == [f"amount on {DAY}"]


def test_day_before_that_is_evaluated_again_makes_the_step_stale(world: World) -> None:
    evaluated(world, "2026-11-20")
    evaluated(world, DAY, AMOUNT)
    assert confirmed(world)["breaches"] == []
    assert confirmed(world)["cached"] is True
    evaluated(world, "2026-11-20", AMOUNT)
    assert len(confirmed(world)["breaches"]) == 1
    step = read_partition(world.root, f"reports/{DAY}", []).meta["steps"]["confirm"]
    assert list(step["inputs"]) == ["reports/2026-11-20/evaluation.json", f"reports/{DAY}/evaluation.json"]


def test_damaged_day_before_does_not_agree_and_is_named(world: World) -> None:
    evaluated(world, "2026-11-20", AMOUNT)
    evaluated(world, DAY, AMOUNT)
    (world.root / "reports" / "2026-11-20" / "evaluation.json").write_text("{}")
    result = world.run("confirm", "--ds", DAY)
    assert result.result
    assert result.result["breaches"] == []
    assert (
        "reports/2026-11-20 says nothing about whether it agrees: reports/2026-11-20/evaluation.json" in result.errors
    )


def test_day_that_is_not_evaluated_is_not_ready(world: World) -> None:
    assert world.run("confirm", "--ds", DAY).code == 4


@pytest.mark.parametrize(
    "days", ['{"agree": 3, "of": 2}', '{"agree": 0, "of": 2}', '{"agree": 1}', "2", '{"agree": true, "of": 2}']
)
def test_days_that_cannot_be_are_refused(world: World, days: str) -> None:
    result = world.run("confirm", "--ds", DAY, "--rules-json", f'{{"days": {days}}}')
    assert result.code == 2
    assert "expected: whole numbers such as" in result.errors
