"""The versions and events: their table, and the result line with all of them."""

import json

import pytest
from conftest import DAY, Answering, World

from events import PROMOTE
from list_ import table

API = "/api/2.0/mlflow"
VERSIONS, EVENTS = 70, 500


def test_table_is_aligned_and_cuts_what_is_too_wide() -> None:
    lines = table(["version", "why"], [["3", "x" * 100], ["12", "short"]])
    assert lines[0] == "version  why"
    assert lines[1] == f"3        {'x' * 59}…"
    assert lines[2] == "12       short"


def test_table_has_one_line_a_row_whatever_is_in_a_cell() -> None:
    assert table(["why"], [["one\ntwo\x1b[2J"]]) == ["why", "one two [2J"]


def test_every_version_and_event_is_in_the_result(
    world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`./airflow-ml models` and `status` show nothing else; a person reads the events before signing them."""
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    said = {"kind": PROMOTE, "by": "ada", "reason": "fewer false alarms, " * 5, "run": None}
    tags = [
        {"key": f"champion.2026-11-15T02:00:00.{number:06}Z",
         "value": json.dumps({**said, "version": str(number % VERSIONS + 1)})}
        for number in range(EVENTS)
    ]  # fmt: skip
    kept = [{"key": "airflow_ml.ds", "value": DAY}, {"key": "airflow_ml.decision", "value": "promoted"}]
    versions = [
        {"name": "airflow-ml", "version": str(number), "run_id": "r", "tags": kept} for number in range(1, VERSIONS + 1)
    ]
    bodies = {
        "experiments/get-by-name": {"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}},
        "registered-models/get": {"registered_model": {"name": "airflow-ml", "tags": tags}},
        "model-versions/search": {"model_versions": versions},
        "runs/get": {"run": {"info": {"run_id": "r"}, "data": {"metrics": [{"key": "roc_auc", "value": 0.9}]}}},
    }
    answering.bodies = {f"{API}/{path}": json.dumps(body).encode() for path, body in bodies.items()}
    result = world.run("list")
    assert result.code == 0, result.log
    assert [one["version"] for one in result.line["versions"]] == [str(number) for number in range(VERSIONS, 0, -1)]
    for one in result.line["versions"]:
        assert (one["decision"], one["metrics"], one["promoted"]["by"]) == ("promoted", {"roc_auc": 0.9}, "ada")
    assert [event["at"][-7:-1] for event in result.line["events"]] == [f"{number:06}" for number in range(EVENTS)]
    assert result.line["champion"] == result.line["events"][-1]["version"]
