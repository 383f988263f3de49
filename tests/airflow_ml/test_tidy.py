"""Which of Airflow's logs are old, what beside them stays, and what is done if MLflow does not run."""

import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from airflow_ml import __main__ as tool
from airflow_ml import tidy as command
from airflow_ml.common import AirflowMlError
from airflow_ml.tidy import LOGS

OLD, BEFORE, NEW = 1000, 2000, 3000
LOGS_OF_TASKS = "dag_id=predict/run_id=scheduled__2026-01-05/task_id=predict"
GO = (
    f"{LOGS_OF_TASKS}/attempt=1.log",
    "dag_processor/2026-01-05/dags-folder/predict.py.log",
    "executor_callbacks/predict/scheduled__2026-01-05/7",
)
STAY = ("versions.json", "alerts/alerts.log", "alerts/.lock", "alerts/claims/predict")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder as Airflow's services share it: everything is old, except for one log."""
    for name in (*GO, *STAY, f"{LOGS_OF_TASKS}/attempt=2.log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of old\n")
        os.utime(path, (OLD, OLD) if not name.endswith("attempt=2.log") else (NEW, NEW))
    return tmp_path


def tidy(root: Path, how: str) -> list[str]:
    command = [sys.executable, "-c", LOGS, str(BEFORE), how, root]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout.split()


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_only_old_logs_go(root: Path) -> None:
    """What lies beside the logs went too: the alerts, and the list in the form of promote_model."""
    everything = files(root)
    assert tidy(root, "dry") == ["3", "21"]
    assert files(root) == everything
    assert tidy(root, "remove") == ["3", "21"]
    assert files(root) == everything - set(GO)


def test_kinds_are_those_of_the_docs_but_the_registry_s() -> None:
    text = (Path(__file__).parents[2] / "docs/architecture.md").read_text(encoding="utf-8")
    assert {*command.KINDS, "registry"} == set(re.findall(r"^/data/([a-z]+)/", text, re.MULTILINE))


def test_what_is_done_is_shown_if_mlflow_does_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def fail(*_: str) -> None:
        assert done == ["data", "database", "logs"]
        raise AirflowMlError("MLflow does not answer", do="make up")

    def do(part: str) -> str:
        done.append(part)
        return "3 files"

    for part in ("data", "database", "logs"):
        monkeypatch.setattr(command, f"tidy_{part}", lambda *_, part=part, **__: do(part))
    monkeypatch.setattr(command, "ask_registry", fail)
    assert tool.main(["tidy", "--older-than=90"]) == 1
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["removed", "data", "database", "logs"]
    assert "MLflow does not answer" in shown.err


@pytest.mark.parametrize(
    ("kept", "end"),
    [
        (0, "2 runs that were deleted before"),
        (1_200, "; 1,200 deleted runs stay: a version names them, or their files"),
    ],
)
def test_deleted_runs_that_stay_are_shown(monkeypatch: pytest.MonkeyPatch, kept: int, end: str) -> None:
    """Else nobody knows why MLflow still has them."""
    found = {"versions": 0, "runs": 0, "pages": 0, "bytes": 0}
    monkeypatch.setattr(command, "ask_registry", lambda *_: found)
    monkeypatch.setattr(command, "in_service", lambda *_: json.dumps({"runs": 2, "kept": kept}))
    shown = command.tidy_mlflow(date(2026, 11, 1), dry=True)
    assert end in shown
    assert ("stay" in shown) is bool(kept)
