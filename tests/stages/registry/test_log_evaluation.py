"""What is logged of a day's evaluation."""

from typing import Any

import pytest
from conftest import DAY, EVALUATION, SHARES, World

from log_evaluation import drift_metrics, points_of


@pytest.mark.parametrize("text", ["[]", "{}", '{"metrics": null, "drift": {"score": 1, "features": []}}'])
def test_evaluation_that_is_not_understood_is_refused(world: World, text: str) -> None:
    world.publish(f"reports/{DAY}", "evaluate", {"evaluation.json": text, "index.html": "<html>"})
    assert world.run("log-evaluation", "--ds", DAY).code == 3


def test_drift_metrics_have_names_that_mlflow_takes_and_each_its_own() -> None:
    named = drift_metrics([("score", 1.0), ("score", 2.0), ("a/b", 3.0), ("a b", 4.0), ("a,b", 5.0), ("größe", 6.0)])
    assert named == {
        "drift.score": 1.0, "drift.score_": 2.0, "drift.a_b": 3.0, "drift.a b": 4.0, "drift.a_b_": 5.0,
        "drift.größe": 6.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "drift", "names"),
    [
        (None, None, []),
        ({"roc_auc": 0.9, "threshold": 0.5, "f1": None}, None, ["live.roc_auc"]),
        (None, {"score": SHARES, "features": [{"name": "amount", **SHARES}]}, ["drift.amount", "drift.score"]),
    ],
)
def test_points_are_of_what_was_measured(
    metrics: dict[str, Any] | None, drift: dict[str, Any] | None, names: list[str]
) -> None:
    """Without targets there are no metrics, with a model of before baselines there is no drift."""
    points = points_of({**EVALUATION, "metrics": metrics, "drift": drift}, "1970-01-11", "1970-01-01")
    assert sorted(point.key for point in points) == names
    assert {(point.step, point.timestamp) for point in points} <= {(10, 864_000_000)}


def test_figures_of_the_day_that_the_model_was_trained_on_are_no_live_figures() -> None:
    """They made a curve that falls on the second day although nothing had changed."""
    found = {"metrics": {"roc_auc": 0.99}, "drift": {"score": SHARES, "features": []}, "trained_on_day": True}
    assert [point.key for point in points_of({**EVALUATION, **found}, DAY, DAY)] == ["drift.score"]


def test_live_figures_have_their_intervals() -> None:
    metrics = {"roc_auc": 0.9, "f1": 0.5, "intervals": {"roc_auc": [0.8, 0.95], "f1": None}}
    points = points_of({**EVALUATION, "metrics": metrics, "drift": None}, DAY, DAY)
    assert {point.key: point.value for point in points} == {
        "live.roc_auc": 0.9, "live.f1": 0.5, "live.roc_auc_low": 0.8, "live.roc_auc_high": 0.95,
    }  # fmt: skip


def test_segments_are_live_figures_with_a_name_each() -> None:
    parts = [
        {"field": "city", "value": value, "rows": 200, "figure": figure, "interval": interval, "weak": False}
        for value, figure, interval in [("a/b", 0.5, None), ("a,b", 0.6, [0.55, 0.65]), ("c", None, None)]
    ]
    segments = {"metric": "roc_auc", "figure": 0.55, "parts": parts}
    found = {"metrics": {"roc_auc": 0.55}, "drift": None, "segments": segments}
    assert {point.key: point.value for point in points_of({**EVALUATION, **found}, DAY, DAY)} == {
        "live.roc_auc": 0.55, "segment.city.a_b.roc_auc": 0.5, "segment.city.a_b.roc_auc_": 0.6,
        "segment.city.a_b.roc_auc__low": 0.55, "segment.city.a_b.roc_auc__high": 0.65,
    }  # fmt: skip
    assert points_of({**EVALUATION, **found, "trained_on_day": True}, DAY, DAY) == []
