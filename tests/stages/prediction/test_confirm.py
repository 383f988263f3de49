"""`confirm`: what a day alone cannot decide, it judges on the rows of the day and the days before together."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from conftest import DAY, World
from scipy.stats import binom
from scored import MODEL, evaluate, scored, targets_of
from stagekit import read_partition

from breaches import find_breaches
from drift import compare_shares
from intervals import intervals
from metrics import FIGURES, LabelledRows
from pooling import describe_labelled
from rules import MONITORING

BREACHES = f"reports/{DAY}/breaches.json"
BEFORE, LONG_BEFORE = "2026-11-20", "2026-11-19"
# Bins of the feature `amount`, as validation rows fill them, and a day of 20 rows that has moved, and one that has not.
EXPECTED = [1000, 1000, 1000, 1000]
MOVED, SOUND = [2, 2, 4, 12], [5, 5, 5, 5]
CLASSES = ("no", "yes")
CONFIDENCE = MONITORING["confidence"]
TRAINED = {"rows": 4000, "classes": list(CLASSES), "class_rows": {"no": 3600, "yes": 400}, "roc_auc": 0.95}


def labelled(positives: Sequence[float], others: Sequence[float]) -> LabelledRows:
    """Rows of the class `yes` with these scores, then other rows."""
    scores = np.array([*positives, *others])
    codes = np.array([1] * len(positives) + [0] * len(others))
    return LabelledRows(codes, np.column_stack([1 - scores, scores]), (scores >= 0.5).astype(int), CLASSES, 2)


def evaluated(
    world: World,
    ds: str,
    counts: Sequence[int] = SOUND,
    of: LabelledRows | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Publish the evaluation of a day with these rows in the bins of `amount`, and these labelled rows."""
    amount = {"name": "amount", "kind": "number", "labels": ["a", "b", "c", "d"]}
    score = {"labels": ["a", "b"], **compare_shares([2000, 2000], [10, 10], CONFIDENCE)}
    drift = {"features": [{**amount, **compare_shares(EXPECTED, counts, CONFIDENCE)}], "score": score}
    metrics: dict[str, Any] | None = None
    if of:
        class_rows = dict(zip(CLASSES, np.bincount(of.codes, minlength=2).tolist(), strict=True))
        figures = {"roc_auc": FIGURES["roc_auc"](of), "intervals": intervals(of, CONFIDENCE)}
        metrics = {"rows": len(of.codes), "classes": list(CLASSES), "class_rows": class_rows, **figures}
    evaluation: dict[str, Any] = {
        "version": 1, "ds": ds, "model": {"name": MODEL}, "trained_on_day": False, "rows": sum(counts),
        "target": {"rows": 0} if of else None, "metrics": metrics, "trained": TRAINED, "drift": drift,
        "labelled": describe_labelled(of) if of else None, "missing_as_zero": {},
        "quality": {"rows_in": sum(counts), "rejected": {}}, **more,
    }  # fmt: skip
    evaluation.setdefault("breaches", find_breaches(evaluation, MONITORING))
    world.publish(f"reports/{ds}", "evaluate", {"evaluation.json": json.dumps(evaluation)})
    return evaluation


def confirmed(world: World, *arguments: str) -> dict[str, Any]:
    result = world.run("confirm", "--ds", DAY, *arguments)
    assert result.code == 0, result.errors
    assert result.result
    return result.result


def test_breach_of_the_day_alone_counts_and_no_other_day_is_read(world: World) -> None:
    evaluated(world, BEFORE)
    evaluated(world, DAY, [0, 0, 0, 2000])
    found = confirmed(world)
    assert len(found["breaches"]) == 1
    assert found["breaches"][0].startswith("the feature amount has moved: PSI ")
    assert found["days"] == world.json(BREACHES)["confirmed"][0]["days"] == [DAY]


def test_drift_that_one_day_cannot_prove_is_measured_on_the_rows_of_more_days(world: World) -> None:
    """The PSI of both days is that of their rows together, and so is what chance explains of them."""
    days = ["2026-11-18", LONG_BEFORE, BEFORE, DAY]
    for ds in days:
        assert evaluated(world, ds, MOVED)["breaches"] == []
    together = [compare_shares(EXPECTED, [number * rows for rows in MOVED], CONFIDENCE) for number in (1, 2, 3, 4)]
    decided = [one["psi"] > 0.25 + one["by_chance"] for one in together]
    assert decided == [False, False, True, True]
    breach = world.json(BREACHES)["confirmed"] if confirmed(world) else []
    assert [(one["what"], one["subject"], one["days"]) for one in breach] == [
        ("feature_psi", "amount", [DAY, BEFORE, LONG_BEFORE])
    ]
    assert breach[0]["value"] == together[2]["psi"]
    assert breach[0]["limit"] == pytest.approx(0.25 + together[2]["by_chance"])
    assert breach[0]["text"] == (
        f"on the rows of 3 days, {LONG_BEFORE} to {DAY}: the feature amount has moved: PSI {together[2]['psi']:.4g}, "
        f"above 0.25 and the {together[2]['by_chance']:.2g} that chance explains"
    )


def test_drift_that_is_below_its_limit_together_is_no_breach_and_ends_the_search(world: World) -> None:
    evaluated(world, "2026-11-18", MOVED)
    evaluated(world, LONG_BEFORE, [number * 40 for number in SOUND])
    evaluated(world, BEFORE, MOVED)
    evaluated(world, DAY, MOVED)
    found = confirmed(world)
    assert (found["breaches"], found["days"]) == ([], [DAY, BEFORE, LONG_BEFORE])


def test_fault_that_is_over_is_no_breach_whatever_the_days_before_were(world: World) -> None:
    for ds in (LONG_BEFORE, BEFORE):
        assert evaluated(world, ds, [0, 0, 0, 20])["breaches"]
    evaluated(world, DAY, SOUND)
    assert confirmed(world)["breaches"] == []


WORSE, OTHERS = [0.55, 0.75], [0.1, 0.3, 0.5, 0.6, 0.7, 0.8]
BAD = labelled(WORSE, OTHERS)


def test_figure_that_one_day_cannot_prove_is_measured_on_the_rows_of_more_days(world: World) -> None:
    """The figure and its interval are those of all rows. Of a day's 12 pairs, 8 have the row of the class first."""
    days = [DAY, *(f"2026-11-{day}" for day in range(20, 8, -1))]
    for ds in days:
        assert evaluated(world, ds, of=BAD)["breaches"] == []
    bounds = [intervals(labelled(WORSE * number, OTHERS * number), CONFIDENCE)["roc_auc"] for number in range(1, 14)]
    number = next(number for number, of_days in enumerate(bounds, start=1) if of_days and of_days[1] < 0.85)
    assert 1 < number < len(days)
    found = confirmed(world)
    (drop,) = world.json(BREACHES)["confirmed"]
    assert (drop["what"], drop["subject"], drop["days"]) == ("most_drop", "roc_auc", days[:number])
    low, high = bounds[number - 1] or [0.0, 1.0]
    assert found["breaches"] == [
        f"on the rows of {number} days, {days[number - 1]} to {DAY}: roc_auc 0.666667 ({low:.3g} to {high:.3g}) is "
        "0.283333 worse than 0.95 at validation, more than 0.1"
    ]


def test_day_of_one_class_is_not_measured_until_so_many_rows_would_have_the_other(world: World) -> None:
    """A tenth of the rows at validation: 60 of the other class have none in 0.9^60 = 0.18 % of cases, 80 in 0.02 %."""
    none = labelled([], [0.1] * 20)
    for ds in ("2026-11-18", LONG_BEFORE, BEFORE, DAY):
        assert evaluated(world, ds, of=none)["breaches"] == []
    evaluated(world, "2026-11-18")
    assert confirmed(world)["breaches"] == world.json(BREACHES)["unconfirmed"] == []
    evaluated(world, "2026-11-18", of=none)
    assert confirmed(world)["breaches"] == [
        f"on the rows of 4 days, 2026-11-18 to {DAY}: roc_auc was not measured: it needs rows of the class and "
        "other rows, and of 80 labelled rows 80 are of class 'no'"
    ]
    evaluated(world, BEFORE, of=labelled([0.9, 0.8], [0.1] * 18))
    assert confirmed(world)["breaches"] == []


def test_figure_without_a_value_on_the_day_is_judged_once_more_rows_give_it_one(world: World) -> None:
    """A day without labels is no day of the figure: neither named nor counted."""
    evaluated(world, LONG_BEFORE, of=labelled([0.1] * 30, [0.9] * 30))
    evaluated(world, BEFORE)
    assert evaluated(world, DAY, of=labelled([], [0.5] * 20))["breaches"] == []
    confirmed(world, "--rules-json", '{"days": 2}')
    found = [(one["what"], one["days"]) for one in world.json(BREACHES)["confirmed"]]
    assert found == [("most_drop", [DAY, LONG_BEFORE]), ("floors", [DAY, LONG_BEFORE])]


def test_rules_of_the_confirmation_decide_also_if_the_evaluation_had_others(world: World) -> None:
    evaluated(world, DAY, [0, 0, 0, 2000])
    assert confirmed(world, "--rules-json", '{"feature_psi": 100}')["breaches"] == []
    evaluated(world, DAY, [0, 0, 0, 2000], breaches=[])
    assert len(confirmed(world)["breaches"]) == 1


def test_day_that_adds_nothing_is_no_input(world: World) -> None:
    for ds in ("2026-11-18", LONG_BEFORE, BEFORE):
        evaluated(world, ds)
    evaluated(world, DAY, of=labelled([], [0.5] * 20))
    assert confirmed(world)["days"] == [DAY]
    assert set(world.json(f"reports/{DAY}/_meta.json")["steps"]["confirm"]["inputs"]) == {
        f"reports/{DAY}/evaluation.json"
    }


@pytest.mark.parametrize("change", [{"drift": None}, {"bins": "other"}])
def test_day_without_these_bins_is_neither_named_nor_counted(world: World, change: dict[str, Any]) -> None:
    for ds in ("2026-11-18", LONG_BEFORE, BEFORE, DAY):
        other = evaluated(world, ds, MOVED)
    if "bins" in change:
        change = {"drift": {**other["drift"], "features": [other["drift"]["features"][0] | {"labels": list("abce")}]}}
    evaluated(world, BEFORE, MOVED, **change, breaches=[])
    confirmed(world, "--rules-json", '{"days": 3}')
    (breach,) = world.json(BREACHES)["confirmed"]
    assert breach["days"] == [DAY, LONG_BEFORE, "2026-11-18"]
    assert breach["text"].startswith(f"on the rows of 3 days, 2026-11-18 to {DAY}: ")


def test_what_is_crossed_and_never_decided_is_unconfirmed(world: World) -> None:
    evaluated(world, BEFORE, MOVED)
    evaluated(world, DAY, MOVED)
    assert confirmed(world)["breaches"] == []
    (drift,) = world.json(BREACHES)["unconfirmed"]
    assert (drift["what"], drift["subject"], drift["days"]) == ("feature_psi", "amount", [DAY, BEFORE])
    assert drift["text"].startswith(f"on the rows of 2 days, {BEFORE} to {DAY}: the feature amount has moved")


def test_figure_of_many_rows_that_chance_may_explain_is_unconfirmed(world: World) -> None:
    """No rows of the day are kept, so no day is added."""
    evaluated(world, BEFORE, of=BAD)
    evaluated(world, DAY, of=BAD, labelled=None)
    assert confirmed(world)["days"] == [DAY]
    found = [(one["what"], one["days"]) for one in world.json(BREACHES)["unconfirmed"]]
    assert found == [("most_drop", [DAY]), ("floors", [DAY])]


TARGET: dict[str, Any] = {
    **{"rows": 30, "malformed": 0, "missing": 0, "unreadable": 0, "repeated": 0, "without_prediction": 0},
    **{"new_classes": {}, "examples": []},
}
# By what a breach of 5, 6 or 2 of 30 rows is about: its subject, what the evaluation has, and what is said of so many.
SHARES: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "rejected": (
        "data.csv",
        {"quality": {"rows_in": 30, "rejected": {"data.csv": 5}}},
        5,
        "{} of {} rows of data.csv were rejected: 16.67%, more than 5.00%",
    ),
    "unusable_labels": (
        "target.csv",
        {"target": {**TARGET, "unreadable": 6, "examples": ["line 2: 'x' is no integer"]}},
        6,
        "{0} of {1} rows of target.csv cannot be used (unreadable {0}): 20.00%, more than 10.00%; such as line 2: "
        "'x' is no integer",
    ),
    "missing_as_zero": (
        "size",
        {"rows": 30, "missing_as_zero": {"size": 2}},
        2,
        "size is missing in {} of {} rows: 6.67%, more than 1.00%; it never was in training, so the model reads 0 "
        "there",
    ),
}


@pytest.mark.parametrize("what", SHARES)
def test_share_that_one_day_cannot_prove_is_measured_on_the_rows_of_more_days(world: World, what: str) -> None:
    """5 of 30 rows that were rejected each day, for ever, were no breach. How many days it takes, scipy says."""
    subject, change, hits, said = SHARES[what]
    change = {"target": TARGET, **change}
    days = [DAY, *(f"2026-11-{day}" for day in range(20, 12, -1))]
    good = labelled([0.9, 0.8], [0.1] * 18)
    for ds in days:
        assert evaluated(world, ds, of=good, **change)["breaches"] == []
    tails = [binom.sf(number * hits - 1, number * 30, MONITORING[what]) for number in range(1, 10)]
    number = next(number for number, tail in enumerate(tails, start=1) if tail < (1 - CONFIDENCE) / 2)
    assert 1 < number < len(days)
    found = confirmed(world)
    (breach,) = world.json(BREACHES)["confirmed"]
    assert (breach["what"], breach["subject"], breach["days"]) == (what, subject, days[:number])
    counted = said.format(hits * number, 30 * number)
    assert found["breaches"] == [f"on the rows of {number} days, {days[number - 1]} to {DAY}: {counted}"]


@pytest.mark.parametrize("what", SHARES)
def test_share_that_is_within_its_limit_together_is_no_breach(world: World, what: str) -> None:
    _, change, *_ = SHARES[what]
    sound = {"quality": {"rows_in": 600, "rejected": {"data.csv": 0}}, "rows": 600, "missing_as_zero": {}}
    sound["target"] = {**TARGET, "rows": 600}
    evaluated(world, BEFORE, of=BAD, **sound)
    evaluated(world, DAY, of=BAD, **{"target": TARGET, **change})
    confirmed(world)
    found = world.json(BREACHES)
    assert not [one for one in (*found["confirmed"], *found["unconfirmed"]) if one["what"] == what]


def test_share_is_not_measured_with_days_that_do_not_count_its_rows(world: World) -> None:
    """The features of the day before have no counts, and no label of it has come."""
    without = {"quality": {"rows_in": None, "rejected": None}, "target": None, "breaches": []}
    evaluated(world, BEFORE, of=labelled([0.9, 0.8], [0.1] * 18), **without)
    changes = SHARES["rejected"][1] | SHARES["unusable_labels"][1]
    evaluated(world, DAY, of=labelled([0.9, 0.8], [0.1] * 18), **changes)
    assert confirmed(world)["breaches"] == []
    found = [(one["what"], one["days"]) for one in world.json(BREACHES)["unconfirmed"]]
    assert found == [("unusable_labels", [DAY]), ("rejected", [DAY])]


def test_days_of_another_model_are_not_added(world: World) -> None:
    for ds in ("2026-11-18", LONG_BEFORE):
        evaluated(world, ds, MOVED)
    evaluated(world, BEFORE, MOVED, model={"name": "models/2026-11-01"})
    evaluated(world, DAY, MOVED)
    assert confirmed(world)["breaches"] == []


def test_days_may_be_far_apart_and_later_days_are_not_looked_at(world: World) -> None:
    for ds in ("2026-08-01", "2026-10-01", DAY, "2026-11-22"):
        evaluated(world, ds, MOVED)
    assert confirmed(world)["days"] == [DAY, "2026-10-01", "2026-08-01"]


def test_rules_say_how_many_days_are_put_together_at_most(world: World) -> None:
    for ds in (LONG_BEFORE, BEFORE, DAY):
        evaluated(world, ds, MOVED)
    assert confirmed(world, "--rules-json", '{"days": 2}')["breaches"] == []
    assert confirmed(world, "--rules-json", '{"days": 3}')["breaches"] != []


def test_evaluation_of_an_older_image_adds_its_drift_and_decides_alone(world: World) -> None:
    older = evaluated(world, BEFORE, MOVED)
    evaluated(world, LONG_BEFORE, MOVED)
    del older["labelled"]
    world.publish(f"reports/{BEFORE}", "evaluate", {"evaluation.json": json.dumps(older)})
    evaluated(world, DAY, MOVED)
    assert confirmed(world)["days"] == [DAY, BEFORE, LONG_BEFORE]
    bare = {key: older[key] for key in ("version", "rows", "model", "quality")}
    known = [{"what": "rejected", "subject": "data.csv", "text": "many rows were rejected"}]
    world.publish(f"reports/{DAY}", "evaluate", {"evaluation.json": json.dumps({**bare, "ds": DAY, "breaches": known})})
    assert confirmed(world)["breaches"] == ["many rows were rejected"]


def test_day_before_that_is_evaluated_again_makes_the_step_stale(world: World) -> None:
    evaluated(world, LONG_BEFORE, MOVED)
    evaluated(world, BEFORE, SOUND)
    evaluated(world, DAY, MOVED)
    assert confirmed(world)["breaches"] == []
    assert confirmed(world)["cached"] is True
    evaluated(world, BEFORE, MOVED)
    assert len(confirmed(world)["breaches"]) == 1
    step = read_partition(world.root, f"reports/{DAY}", []).meta["steps"]["confirm"]
    assert list(step["inputs"]) == [f"reports/{ds}/evaluation.json" for ds in (LONG_BEFORE, BEFORE, DAY)]


def test_damaged_day_before_is_left_out_and_named(world: World) -> None:
    for ds in ("2026-11-18", LONG_BEFORE, BEFORE, DAY):
        evaluated(world, ds, MOVED)
    (world.root / "reports" / BEFORE / "evaluation.json").write_text("{}")
    result = world.run("confirm", "--ds", DAY)
    assert result.result
    assert result.result["days"] == [DAY, LONG_BEFORE, "2026-11-18"]
    assert f"the rows of reports/{BEFORE} are not added: reports/{BEFORE}/evaluation.json" in result.errors


@pytest.mark.parametrize(
    "change",
    [
        {"labelled": {"codes": [7], "predicted": [0], "probabilities": [[0.1], [0.9]]}},
        {"labelled": {"codes": [0, 1], "predicted": [0], "probabilities": [[0.1], [0.9]]}},
        {"labelled": {"codes": [0], "predicted": [0], "probabilities": [[0.1]]}},
        {"labelled": {"codes": [], "predicted": [], "probabilities": []}},
        {"rows": -500},
    ],
)
def test_figures_that_cannot_be_are_refused(world: World, change: dict[str, Any]) -> None:
    evaluated(world, BEFORE, MOVED, of=BAD, **change)
    evaluated(world, DAY, MOVED, of=BAD)
    result = world.run("confirm", "--ds", DAY)
    assert result.code == 3
    assert "Traceback" not in result.errors
    assert "do: run `prediction evaluate` again for these days" in result.errors


def test_labelled_rows_of_a_small_day_are_those_that_were_measured(world: World) -> None:
    scored(world)
    world.target(targets_of(world))
    evaluate(world)
    found = world.json(f"reports/{DAY}/evaluation.json")
    rows = found["labelled"]
    scores = np.array(rows["probabilities"]).T
    again = LabelledRows(np.array(rows["codes"]), scores, np.array(rows["predicted"]), ("0", "1"), 2)
    for name in ("roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "f1"):
        assert FIGURES[name](again) == pytest.approx(found["metrics"][name], abs=1e-9)
    assert intervals(again, CONFIDENCE)["roc_auc"] == found["metrics"]["intervals"]["roc_auc"]


def test_day_of_many_rows_keeps_none_of_them() -> None:
    assert describe_labelled(labelled([0.5] * 1000, [0.5] * 1000)) is not None
    assert describe_labelled(labelled([0.5] * 1000, [0.5] * 1001)) is None


def test_day_of_many_rows_keeps_them_while_a_class_has_few() -> None:
    """A class of 0.1 % has some rows a day, which decide nothing alone."""
    assert describe_labelled(labelled([0.5] * 99, [0.5] * 2000)) is not None
    assert describe_labelled(labelled([], [0.5] * 20_000)) is not None
    assert describe_labelled(labelled([0.5] * 100, [0.5] * 2000)) is None
    assert describe_labelled(labelled([0.5] * 20, [0.5] * 19_981)) is None


def test_day_that_is_not_evaluated_is_not_ready(world: World) -> None:
    assert world.run("confirm", "--ds", DAY).code == 4


@pytest.mark.parametrize(
    "days", ['{"agree": 3, "of": 2}', '{"agree": 2}', '{"agree": 2, "of": true}', "0", "32", "2.5", "true"]
)
def test_days_that_cannot_be_are_refused(world: World, days: str) -> None:
    result = world.run("confirm", "--ds", DAY, "--rules-json", f'{{"days": {days}}}')
    assert result.code == 2
    assert "expected: a whole number from 1 to 31" in result.errors


def test_days_that_agree_as_older_rules_have_them_are_the_default_with_a_warning(world: World) -> None:
    """A backup of an older release brings its rules back."""
    evaluated(world, DAY)
    result = world.run("confirm", "--ds", DAY, "--rules-json", '{"days": {"agree": 2, "of": 3}}')
    assert (result.code, world.json(BREACHES)["rule"]) == (0, MONITORING["days"])
    assert 'days is {"agree": 2, "of": 3}, but days no longer have to agree: it is read as 30' in result.errors
    written = f'write "days": 30 and "confidence": {CONFIDENCE} into the monitoring of dags/rules.json'
    assert f"do: {written}" in result.errors
