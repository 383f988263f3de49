"""The page shows the reasons of the scores if they are of its predictions, and otherwise says why not."""

from typing import Any

import pytest
from conftest import CONTRIBUTIONS, DAY, MODEL, REASON_COLUMNS, REASONS, World, evaluation, table


def test_page_without_reasons_says_so_in_one_line(world: World) -> None:
    page = world.whole_day().day()
    assert page.text("reasons") == "Why these scores The reasons of the scores were not made for this day."


def test_page_shows_strength_reasons_and_dependence(world: World) -> None:
    world.whole_day().explain()
    page = world.day()
    text = page.text("reasons")
    assert "amount 0.8000 channel 0.4000 The highest scores" in text, "the strongest first, without what moves nothing"
    assert "what the model did, not what caused the outcome" in text
    assert page.row("T<b>") == ["T<b>", "0.9750", "country missing +7.2000"]
    assert page.row("T19") == ["T19", "0.1900", "amount 19.5 +1.2500 channel … −0.5000"]
    shown = [row[0] for row in page.rows if row and row[0].startswith("T")]
    assert shown == ["T<b>", *(f"T{n}" for n in range(19, 10, -1))]
    assert page.row("up to 10") == ["up to 10", "12", "−0.7500"]
    assert "mean absolute contribution 0.8000" in text
    assert "amount: mean contribution by value" in page.attributes("svg", "aria-label")
    assert "explanations" in page.text("lineage")


def test_reasons_that_are_made_later_make_the_page_again(world: World) -> None:
    world.whole_day()
    before = world.day().text("reasons")
    world.explain()
    assert world.day().text("reasons") != before
    assert world.run("page", "--ds", DAY).line["cached"] is True


def test_class_is_shown_where_there_are_more_than_two(world: World) -> None:
    classes = ("0", "1", "2")
    world.whole_day(classes).explain(contributions={**CONTRIBUTIONS, "classes": list(classes)})
    page = world.day()
    assert page.row("T19")[1] == "0.1900 1"
    assert "the class that is predicted" in page.text("reasons")


@pytest.mark.parametrize("changed", ["features", "model"])
def test_reasons_of_other_predictions_are_not_shown(world: World, changed: str) -> None:
    world.whole_day().explain()
    if changed == "features":
        world.publish(f"features/{DAY}", "features", {"features.csv": "2\n"}, [f"raw/{DAY}/data.csv"])
        reads = [f"features/{DAY}/features.csv", f"{MODEL}/model.txt"]
    else:
        world.publish("models/2026-11-16", "train", {"model.txt": "another"})
        reads = [f"features/{DAY}/features.csv", "models/2026-11-16/model.txt"]
    world.publish(f"predictions/{DAY}", "predict", {"predictions.csv": "new\n"}, reads, model=MODEL, version="3")
    world.evaluate(evaluation())
    assert "The reasons are of another model or of other features" in world.day().text("reasons")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"reasons": "a,b\n1,2\n"}, "reasons.csv: it has no column explained_class"),
        ({"reasons": table(REASON_COLUMNS[:-1], [])}, "reasons.csv: it has 11 columns"),
        ({"reasons": table(REASON_COLUMNS, [*REASONS, ["x"]])}, "reasons.csv: a row has 1 fields"),
        ({"reasons": table(REASON_COLUMNS, [["T1", "1", "high", *REASONS[0][3:]]])}, "it holds 'high'"),
        ({"contributions": {**CONTRIBUTIONS, "rows": "few"}}, "contributions.json: rows is a text"),
    ],
)
def test_damaged_reasons_are_bad_input(world: World, files: dict[str, Any], message: str) -> None:
    world.whole_day().explain(**files)
    done = world.run("page", "--ds", DAY)
    assert done.code == 3
    assert message in done.log
