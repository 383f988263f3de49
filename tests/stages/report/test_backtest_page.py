"""The page of a backtest: its figures in words, what each new model was worth, and what it does with other files."""

import re
from typing import Any

import pytest
from conftest import DAY, Page, World

BACKTEST = f"backtests/{DAY}"
DAYS = [f"2026-11-{day:02d}" for day in range(15, 22)]


def figure(value: float, width: float = 0.01) -> dict[str, Any]:
    return {"value": value, "interval": [value - width, value + width]}


def content() -> dict[str, Any]:
    def days(value: float) -> list[dict[str, Any]]:
        return [{"ds": day, "trained": "2026-11-14", **figure(value)} for day in DAYS]

    promotions = [
        {"trained": "2026-11-15", "until": "2026-11-16", "gain": {"days": 2, **figure(0.03)}, "outcome": "paid"},
        {"trained": "2026-11-17", "until": "2026-11-18", "gain": {"days": 2, **figure(-0.03)}, "outcome": "regretted"},
        {"trained": "2026-11-19", "until": "2026-11-21", "gain": {"days": 3, **figure(0.001)}, "outcome": "unclear"},
    ]
    once = {"window": 7, "every": 0, "days": days(0.88), "mean": {"days": 7, **figure(0.88)}, "gain": None}
    often = {"window": 1, "every": 2, "days": days(0.91), "mean": {"days": 7, **figure(0.91)}}
    return {
        "version": 1,
        "ds": DAY,
        "metric": "roc_auc",
        "days": ["2026-11-08", "2026-11-10", *DAYS],
        "left_out": {"2026-11-09": "no <b>data</b>"},
        "scored": [{"ds": day, "rows": 100, "positives": 5} for day in DAYS],
        "models": [{"window": 1, "trained": "2026-11-14"}, {"window": 7, "trained": "2026-11-14"}],
        "strategies": [
            {**once, "promotions": [], "untrained": {}},
            {
                **often,
                "gain": {"days": 5, **figure(0.02)},
                "promotions": promotions,
                "untrained": {"2026-11-16": "no label of the window was known"},
            },
            {"window": 1, "every": 0, "days": [], "mean": None, "gain": None, "promotions": [], "untrained": {}},
        ],
    }


def page_of(world: World) -> Page:
    result = world.run("backtest-page", "--ds", DAY)
    assert result.code == 0, result.log
    return Page(world.output(f"reports/{DAY}", "backtest.html"))


def test_page_says_how_each_strategy_did(world: World) -> None:
    world.publish(BACKTEST, "backtest", {"backtest.json": content()})
    page = page_of(world)
    assert page.row("7 days, trained once")[1:] == ["0.8800 0.8700 to 0.8900", "–", ""]
    assert page.row("1 day, trained every 2 days")[1:] == [
        "0.9100 0.9000 to 0.9200",
        "+0.0143 +0.0071 to +0.0214",  # over all 7 days
        "1 paid, 1 no clear difference, 1 regretted",
    ]
    assert page.row("2026-11-15")[1:3] == ["0.8800 0.8700 to 0.8900", "2026-11-14"]
    assert "The highest mean: 1 day, trained every 2 days, 0.9100." in page.text("")
    assert "7 days were scored, 2026-11-15 to 2026-11-21, by 2 models that learned from 2026-11-08 on." in page.text("")
    assert "2026-11-09: no <b>data</b>" in page.text("")
    assert "2026-11-16: not trained, no label of the window was known." in page.text("s-2")
    assert [" ".join(row[1:]) for row in page.rows if row[0] == "2026-11-17"][-2:] == [
        "−0.0300 −0.0400 to −0.0200 regretted",
        "0.9100 0.9000 to 0.9200 2026-11-14",
    ]
    assert page.attributes("svg", "aria-label") == ["roc_auc of each day, and its interval"] * 3
    days_of_axis = ["2026-11-15", "11-17", "11-18", "11-19", "2026-11-21"]
    for chart in re.findall(r"<figure>(.*?)</figure>", page.content.decode(), re.DOTALL):
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", chart)
        assert [text for text in texts if re.fullmatch(r"(\d{4}-)?\d\d-\d\d", text)] == days_of_axis
    assert "script" not in {tag for tag, _ in page.tags}
    first = page.content
    assert world.run("backtest-page", "--ds", DAY).line["cached"] is True
    world.run("backtest-page", "--ds", DAY, "--force")
    assert world.output(f"reports/{DAY}", "backtest.html") == first


def test_page_of_a_day_stays_beside_that_of_a_backtest(world: World) -> None:
    world.whole_day()
    before = world.day().content
    world.publish(BACKTEST, "backtest", {"backtest.json": content()})
    page_of(world)
    assert world.output(f"reports/{DAY}", "index.html") == before
    assert world.run("page", "--ds", DAY).line["cached"] is True


@pytest.mark.parametrize("wrong", [{"version": 2}, {"strategies": [{}]}, {"scored": None}])
def test_other_files_are_refused(world: World, wrong: dict[str, Any]) -> None:
    world.publish(BACKTEST, "backtest", {"backtest.json": {**content(), **wrong}})
    result = world.run("backtest-page", "--ds", DAY)
    assert result.code == 3
    assert f"{BACKTEST}/backtest.json: " in result.log
    assert f"run the step that writes {BACKTEST}/backtest.json again" in result.log


def test_backtest_that_is_not_there_is_waited_for(world: World) -> None:
    result = world.run("backtest-page", "--ds", DAY)
    assert (result.code, result.line) == (4, {})
