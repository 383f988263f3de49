"""The form of `promote_model` offers the versions that a task has found last, with their metrics."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import ValidationError, validate

from ml.operator import StageOperator
from ml.outcome import Outcome
from ml.versions import known_versions, remember_versions, version_field
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, day

CHALLENGER = {
    "version": "12", "aliases": ["challenger"], "ds": "2026-11-22",
    "metrics": {"roc_auc": 0.91931, "average_precision": 0.4, "log_loss": 0.1},
}  # fmt: skip
CHAMPION = {"version": "3", "aliases": ["champion"], "ds": "2026-11-21", "metrics": {"roc_auc": 0.9}}
RESULT = {"name": "airflow-ml", "versions": [CHALLENGER, CHAMPION]}


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the versions are kept."""
    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("ML_MLFLOW_PAGE", "http://mlflow")
    return tmp_path / "logs" / "versions.json"


def end_task(result: dict[str, Any] | None) -> None:
    """What Airflow calls when a task has ended well; a task that is no stage's has no outcome."""
    task = SimpleNamespace() if result is None else SimpleNamespace(outcome=Outcome("image", result=result))
    remember_versions({"ti": SimpleNamespace(task=task)})


def test_airflow_keeps_the_versions_when_a_task_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StageOperator, "_run", lambda *_: RESULT)
    airflow = Airflow(DAGS)
    assert known_versions() == []
    airflow.run_task(airflow.manual("roll_back_model", day("2026-11-16"), {"reason": "a test"}), "roll_back")
    assert [version.number for version in known_versions()] == ["12", "3"]


def description() -> str:
    return str(version_field().schema["description_md"])


def test_form_shows_the_versions_and_which_is_the_default() -> None:
    end_task(RESULT)
    assert version_field().schema["examples"] == ["12", "3"]
    assert "Empty: the challenger, version 12." in description()
    assert description().splitlines()[2:6] == [
        "| version | alias | day | roc_auc | average_precision |",
        "| --- | --- | --- | --- | --- |",
        "| 12 | challenger | 2026-11-22 | 0.9193 | 0.4000 |",
        "| 3 | champion | 2026-11-21 | 0.9000 | – |",
    ]
    assert "(http://mlflow/#/models/airflow-ml?workflowType=machine_learning)" in description()


@pytest.mark.parametrize("later", [None, {}, {"versions": []}, {"ds": "2026-11-22"}])
def test_task_that_names_no_versions_changes_nothing(file: Path, later: dict[str, Any] | None) -> None:
    end_task(RESULT)
    end_task(later)
    assert [version.number for version in known_versions()] == ["12", "3"]
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", '"x"', "{}", '{"name": "airflow-ml", "versions": [{}]}',
        json.dumps({**RESULT, "name": "another"}),
        json.dumps({**RESULT, "versions": [{**CHAMPION, "version": "3 | x"}]}),
        json.dumps({**RESULT, "versions": [{**CHAMPION, "metrics": {"roc_auc": "good"}}]}),
    ],
)  # fmt: skip
def test_form_without_known_versions_leads_to_mlflow(file: Path, content: str) -> None:
    if content:
        file.write_text(content)
    assert version_field().schema["examples"] == []
    assert "|" not in description()
    assert "[MLflow](http://mlflow/#/models/airflow-ml?" in description()


def test_text_from_mlflow_stays_in_its_cell() -> None:
    end_task({**RESULT, "versions": [{**CHAMPION, "aliases": ["a|b", "[x](http://x)", "best"], "ds": "| <b>"}]})
    assert description().splitlines()[4] == "| 3 | best | – | 0.9000 | – |"


@pytest.mark.parametrize("value", [None, 3, "3", "120"])
def test_form_takes_any_version(value: object) -> None:
    end_task(RESULT)
    validate(value, version_field().schema)


@pytest.mark.parametrize("value", [0, -1, 1.5, "0", "03", "3; x", "--by", True])
def test_form_refuses_what_is_no_version(value: object) -> None:
    with pytest.raises(ValidationError):
        validate(value, version_field().schema)
