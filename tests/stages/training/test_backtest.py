"""The backtest on days of a few rows: what it finds, that it uses nothing which was known later, what it refuses."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import World
from hypothesis import given
from hypothesis import strategies as st
from stagekit import Publication, read_partition
from stagekit.progress import Meter

from auc import area
from encoded_days import DayRows
from training_rows import choose_rows
from walk import EPOCH

DAY, FIRST = "2026-11-21", date(2026, 11, 10)
BACKTEST = f"backtests/{DAY}"
DAYS = [str(FIRST + timedelta(number)) for number in range(12)]
ENCODER = {
    "version": 1,
    "key": ["id"],
    "target": {"name": "kind", "classes": ["0", "1"]},
    "features": [
        {"name": "price", "field": "price", "kind": "number"},
        {"name": "shop", "field": "shop", "kind": "category", "values": ["a", "b", "c"]},
    ],
    "schema": {"fields": []},
}
# From this day on, price means the opposite.
TURN = 6


def make_day(number: int, rows: int = 300, late: int = 0) -> list[list[Any]]:
    """The rows of a day; the label of every other row is known `late` days after the day."""
    draw = np.random.default_rng(number)
    price, shop = draw.normal(size=rows), draw.integers(0, 3, rows)
    lean = (1 if number < TURN else -1) * price + (shop == 1) + draw.normal(scale=0.7, size=rows)
    known = (FIRST - EPOCH).days + number
    return [
        [known + late * (row % 2), int(draw.integers(0, 1 << 32)), int(lean[row] > 0.8), price[row], int(shop[row])]
        for row in range(rows)
    ]


def publish(
    root: Path,
    days: Mapping[str, Sequence[Sequence[Any]]],
    encoder: Mapping[str, Any] = ENCODER,
    left_out: Mapping[str, str] | None = None,
) -> None:
    """The days as `preprocessing encode-days` publishes them."""
    with Publication(root, BACKTEST, "encode-days") as publication:
        publication.path("encoder.json").write_text(json.dumps({**encoder, "days": list(days)}))
        publication.path("left_out.json").write_text(json.dumps(left_out or {}))
        for day, rows in days.items():
            lines = [",".join(map(str, row)) for row in rows]
            publication.path(f"{day}.csv").write_text("\n".join(["known,group,kind,price,shop", *lines, ""]))
            publication.rows[f"{day}.csv"] = len(rows)


def run(world: World, *arguments: str) -> Any:
    """The command word goes first, as `training` takes its options directly."""
    import training

    world.capture.readouterr()
    code = training.main(["backtest", "--ds", DAY, "--data-dir", str(world.root), *arguments])
    out, log = world.capture.readouterr()
    return code, log, json.loads(out.splitlines()[-1]) if code == 0 else {}


def found(world: World) -> dict[str, Any]:
    return dict(json.loads((read_partition(world.root, BACKTEST, ["backtest.json"]) / "backtest.json").read_text()))


def strategy(content: Mapping[str, Any], window: int, every: int) -> dict[str, Any]:
    return next(one for one in content["strategies"] if (one["window"], one["every"]) == (window, every))


def test_backtest_shows_how_many_days_are_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It once showed the iterations of each of its many models."""
    shown: list[Meter] = []
    monkeypatch.setattr(sys.modules["stagekit.progress"], "_running", Mock(append=shown.append))
    publish(world.root, {day: make_day(number) for number, day in enumerate(DAYS)})
    code, log, _ = run(world, "--windows", "1", "--every", "1")
    assert code == 0, log
    assert [(one.what, one.done, one.total, one.unit) for one in shown] == [("backtest", 12, 12, "days")]


def test_walk_finds_when_retraining_paid(world: World) -> None:
    days = {day: make_day(number) for number, day in enumerate(DAYS) if day != "2026-11-14"}
    publish(world.root, days, left_out={"2026-11-14": "no labels"})
    code, log, line = run(world, "--windows", "1,3", "--every", "0,1,4")
    assert code == 0, log
    content = found(world)
    assert (line["scored"], line["models"]) == (8, len(content["models"]))
    assert "2026-11-14 is left out: no labels" in line["warnings"]
    assert content["left_out"] == {"2026-11-14": "no labels"}
    # The first training is at the end of the third day, the longest window; the days after it are scored by all.
    scored = [day for day in days if day > "2026-11-12"]
    assert [one["ds"] for one in content["scored"]] == scored
    for one in content["strategies"]:
        assert [day["ds"] for day in one["days"]] == scored
        assert all(day["trained"] < day["ds"] for day in one["days"])
        assert all(0 <= day["interval"][0] < day["value"] < day["interval"][1] <= 1 for day in one["days"])
    never, daily, step = (strategy(content, 3, every) for every in (0, 1, 4))
    assert {day["trained"] for day in never["days"]} == {"2026-11-12"}
    assert (never["gain"], never["promotions"]) == (None, [])
    assert {day["trained"] for day in step["days"]} == {"2026-11-12", "2026-11-16", "2026-11-20"}
    # The price turned on the 16th: the model of that day is better than the one before, and so is that of the 20th.
    assert [(one["trained"], one["until"]) for one in step["promotions"]] == [
        ("2026-11-16", "2026-11-20"),
        ("2026-11-20", "2026-11-21"),
    ]
    last = step["promotions"][1]
    assert last["outcome"] == "paid"
    assert last["gain"]["interval"][0] > 0
    assert daily["gain"]["value"] > 0.2
    assert daily["gain"]["interval"][0] > 0
    assert daily["mean"]["value"] > never["mean"]["value"]
    # A window of one day cannot train on a day that is not there, and keeps its model.
    assert strategy(content, 1, 1)["untrained"] == {"2026-11-14": "no label of the window was known"}


def test_same_days_give_the_same_bytes_and_are_not_walked_again(world: World) -> None:
    days = {day: make_day(number, 120) for number, day in enumerate(DAYS[:5])}
    publish(world.root, days)
    assert run(world, "--windows", "2", "--every", "0,1")[0] == 0
    first = (world.root / BACKTEST / "backtest.json").read_bytes()
    assert run(world, "--windows", "2", "--every", "0,1")[2]["cached"] is True
    assert run(world, "--windows", "2", "--every", "0,1", "--force")[0] == 0
    assert (world.root / BACKTEST / "backtest.json").read_bytes() == first


def test_models_do_not_depend_on_anything_that_was_known_later(world: World) -> None:
    """Every label that was known after a day, and every row of later days, is another: the models up to it are not."""
    at = 7
    end = (FIRST - EPOCH).days + at
    days = {day: make_day(number, 200, late=2) for number, day in enumerate(DAYS)}
    publish(world.root, days)
    assert run(world, "--windows", "1,3", "--every", "1")[0] == 0
    before = {(one["window"], one["trained"]): one["sha256"] for one in found(world)["models"]}
    for number, day in enumerate(DAYS):
        for row in days[day]:
            if row[0] > end:
                row[2] = 1 - row[2]
            if number > at:
                row[3] = row[3] * 5 + 1
    publish(world.root, days)
    assert run(world, "--windows", "1,3", "--every", "1")[0] == 0
    after = {(one["window"], one["trained"]): one["sha256"] for one in found(world)["models"]}
    assert {key for key in before if before[key] == after[key]} == {key for key in before if key[1] <= DAYS[at]}
    assert {key[1] for key in before} >= {DAYS[at], DAYS[at + 1]}


@given(data=st.data())
def test_rows_that_train_follow_from_what_was_known(data: st.DataObject) -> None:
    """An oracle, row by row; and no entity is on both sides."""
    number = data.draw(st.integers(1, 4))
    window, at = {}, number + data.draw(st.integers(-1, 2))
    for day in range(number):
        rows = data.draw(st.integers(1, 40))
        draw = np.random.default_rng(data.draw(st.integers(0, 1000)))
        window[f"day {day}"] = DayRows(
            known=day + draw.integers(0, 4, rows),
            group=draw.integers(0, 8, rows).astype(np.uint64),
            codes=draw.integers(0, 2, rows),
            weights=None,
            features=np.stack([np.full(rows, day), np.arange(rows)], axis=1),
        )
    chosen = choose_rows(window, at)
    usable = {
        (day, place): int(rows.group[place])
        for day, rows in enumerate(window.values())
        for place in np.flatnonzero(rows.known <= at)
    }
    if isinstance(chosen, str):
        return
    train, val = ({(int(day), int(place)) for day, place in side.features} for side in chosen[:2])
    assert train | val <= usable.keys()
    assert not {usable[row] for row in train} & {usable[row] for row in val}
    last = max(day for day, _ in usable)
    if len({day for day, _ in usable}) > 1:
        assert {day for day, _ in val} == {last}
        assert last not in {day for day, _ in train}
    assert chosen[2] == [f"day {day}" for day in sorted({day for day, _ in usable})]
    for side in chosen[:2]:
        assert [window[f"day {int(day)}"].codes[int(place)] for day, place in side.features] == list(side.codes)


def test_area_is_the_share_of_pairs_and_its_variance_that_of_samples() -> None:
    draw = np.random.default_rng(1)
    codes = draw.integers(0, 2, 60)
    scores = draw.integers(0, 9, 60) + codes * 2
    high, low = scores[codes == 1][:, None], scores[codes == 0][None, :]
    one = area(scores, codes)
    assert one is not None
    assert one.value == pytest.approx(float(((high > low) + 0.5 * (high == low)).mean()))
    values, variances = [], []
    for _ in range(400):
        codes = np.repeat([0, 1], [150, 50])
        other = draw.normal(size=200) + codes
        both = area(other, codes), area(other + draw.normal(size=200), codes)
        assert both[0]
        assert both[1]
        values.append((both[0].value, both[1].value))
        variances.append([[a.covariance(b) for a in both if a] for b in both if b])
    assert np.cov(np.array(values).T) == pytest.approx(np.mean(variances, axis=0), rel=0.25)
    assert area(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1])) is None


def test_too_few_days_are_refused_and_nothing_is_published(world: World) -> None:
    publish(world.root, {day: make_day(number, 40) for number, day in enumerate(DAYS[:7])})
    code, log, _ = run(world, "--windows", "1,7", "--every", "1")
    assert code == 3
    assert f"{BACKTEST} has 7 days, 2026-11-10 to 2026-11-16; expected: days after the first 7" in log
    assert not (world.root / BACKTEST / "backtest.json").exists()


def test_area_of_three_classes_is_the_mean_of_each_against_the_rest() -> None:
    """By its definition; and its variance is that of samples, whose classes have as many rows as chance gives them."""
    draw = np.random.default_rng(1)
    values, variances = [], []
    for _ in range(400):
        codes = draw.choice(3, 200, p=[0.6, 0.3, 0.1])
        scores = draw.normal(size=(200, 3)) + np.eye(3)[codes]
        both = area(scores, codes), area(scores + draw.normal(size=(200, 3)), codes)
        assert both[0]
        assert both[1]
        values.append((both[0].value, both[1].value))
        variances.append([[a.covariance(b) for a in both if a] for b in both if b])
    own = [(scores[codes == code, code][:, None], scores[codes != code, code][None, :]) for code in range(3)]
    assert values[-1][0] == pytest.approx(np.mean([(high > low).mean() for high, low in own]))
    assert np.cov(np.array(values).T) == pytest.approx(np.mean(variances, axis=0), rel=0.25)
    # Nothing is known about the variance of a class with one row, and of a day of one class.
    few = area(np.eye(3)[[0, 0, 1, 1, 2]], np.array([0, 0, 1, 1, 2]))
    assert few
    assert few.errors.shape == (5,)
    assert few.value == 1
    assert area(np.zeros((4, 3)), np.zeros(4)) is None


def test_three_classes_are_walked_too(world: World) -> None:
    """The shop says which rows are of b, and the price which are of c: from the turn on, those with a low one."""
    three = {**ENCODER, "target": {"name": "kind", "classes": ["a", "b", "c"]}}
    days = {day: make_day(number, 400) for number, day in enumerate(DAYS)}
    for rows in days.values():
        for row in rows:
            row[2] = 2 if row[2] else int(row[4] == 0)
    publish(world.root, days, three)
    code, log, line = run(world, "--windows", "1,3", "--every", "0,1")
    assert code == 0, log
    content = found(world)
    others = [sum(row[2] > 0 for row in days[one["ds"]]) for one in content["scored"]]
    assert (line["metric"], [one["positives"] for one in content["scored"]]) == ("roc_auc", others)
    never, daily = (strategy(content, 3, every) for every in (0, 1))
    assert daily["gain"]["interval"][0] > 0  # the price turned
    assert 0.5 < never["mean"]["value"] < daily["mean"]["value"] < 1


def test_damaged_day_and_wrong_options_are_refused(world: World) -> None:
    days = {day: make_day(number, 40) for number, day in enumerate(DAYS[:3])}
    days[DAYS[1]][5][2] = 2  # of two classes
    publish(world.root, days)
    code, log, _ = run(world, "--windows", "1")
    assert code == 3
    assert f"{BACKTEST}/{DAYS[1]}.csv is not what encoder.json describes" in log
    for wrong in ("0", "1,1", "x", "367"):
        with pytest.raises(SystemExit):
            run(world, "--windows", wrong)
