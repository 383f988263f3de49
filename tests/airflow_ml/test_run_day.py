"""The summary of a day, from the results of its tasks."""

from typing import Any

import pytest
from airflow_ml import run_day
from airflow_ml.common import AirflowMlError

RESULTS: dict[str, dict[str, dict[str, Any]]] = {
    "train_model": {
        "prepare": {
            "ds": "2026-11-20",
            "rejected": {"data.csv": 12, "target.csv": 3},
            "reasons": {"amount: type": 12, "no target": 3},
        },
        "validate": {"roc_auc": 0.9},
        "decide": {"version": 2, "decision": "promoted", "reasons": ["there is no champion yet"]},
    },
    "predict": {
        "resolve": {"version": "2", "model": "models/2026-11-21", "source": "champion"},
        "predict": {"rows": 988, "predicted": {"0": 900, "1": 88}},
    },
    "monitor": {
        "evaluate": {"trained_on_day": False, "metrics": None, "drift": None},
        "confirm": {"breaches": []},
    },
}


def test_summary_separates_rows_that_were_not_trained_on_from_those_that_were_not_predicted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Training rejects rows without a target too. One number for both did not add up with the predicted rows."""
    monkeypatch.setattr(run_day, "first_rows", lambda *_: [])
    summary = run_day.summarize(RESULTS, "generated", 1000, "data", "2026-11-21")
    assert "generated      1,000 rows" in summary
    assert "trained on     the data of 2026-11-20" in summary
    assert "predicted      988 rows" in summary
    assert "not predicted  12 rows, which were rejected" in summary
    assert "not trained on 15 rows: amount: type 12, no target 3" in summary
    assert "superseded" not in summary


def test_summary_names_rows_that_are_neither_trained_on_nor_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_day, "first_rows", lambda *_: [])
    prepared = {**RESULTS["train_model"]["prepare"], "unlabelled": 600, "superseded": 1700}
    results = {**RESULTS, "train_model": {**RESULTS["train_model"], "prepare": prepared}}
    summary = run_day.summarize(results, "generated", 1000, "data", "2026-11-21")
    assert "unlabelled     600 rows without a label" in summary
    assert "superseded     1,700 rows of target.csv, whose keys are in a later delivery" in summary


def test_summary_has_the_warnings_of_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_day, "first_rows", lambda *_: [])
    trained = {**RESULTS["train_model"], "train": {"warnings": ["few rows"]}}
    trained["validate"] = {**trained["validate"], "warnings": ["x equals the target", "few rows"]}
    summary = run_day.summarize({**RESULTS, "train_model": trained}, "generated", 1000, "data", "2026-11-21")
    found = [line.split(maxsplit=1)[1] for line in summary.splitlines() if line.startswith("  warning ")]
    assert sorted(found) == ["few rows", "x equals the target"]


def test_summary_says_how_a_person_promotes_and_why_one_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_day, "first_rows", lambda *_: [])
    decided = {"version": 2, "decision": "stays challenger", "reasons": ["0.6 is low"], "do": "to promote it: the Dag"}
    kept = {**RESULTS, "train_model": {**RESULTS["train_model"], "decide": decided}}
    summary = run_day.summarize(kept, "published", 988, "data", "2026-11-21")
    assert "decided        version 2: stays challenger; 0.6 is low\n  by hand        to promote it: the Dag" in summary
    results = {**kept, "promote_model": {"promote": {"reason": "the first model of my.csv"}}}
    summary = run_day.summarize(results, "published", 988, "data", "2026-11-21")
    assert "published      988 rows" in summary
    assert "promoted       the first model of my.csv" in summary
    assert "by hand" not in summary


def test_summary_names_the_days_that_were_evaluated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_day, "first_rows", lambda *_: [])
    late = {"late-labels": {"days": [{"ds": "2026-11-20", "labels": "5f0a"}], "more": 0}}
    summary = run_day.summarize({**RESULTS, "monitor_late_labels": late}, "generated", 1000, "data", "2026-11-21")
    assert "  evaluated too  2026-11-20, whose labels have come\n" in summary


def test_missing_password_of_airflow_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_day, "settings", dict)
    with pytest.raises(AirflowMlError, match=r"no ML_ADMIN_PASSWORD.*\n *do: make up"):
        run_day.connect()
