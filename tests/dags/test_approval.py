"""The task that asks a person: what it shows, what it waits for, and what the next task is started with."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.trigger import handle_event_submit
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from airflow_ml.tidy import LEAST_DAYS

from ml.approval import evidence
from ml.form import LONGEST_WAIT
from ml.rules import LONGEST_ANSWER, RULES
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow

NIGHT = datetime(2026, 11, 16, 2, tzinfo=UTC)
REGISTERED = {"name": "airflow-ml", "version": "3", "run_id": "abc", "experiment_id": "1"}
COMPARED = {
    "outcome": "passed", "passed": True, "reasons": [], "metric": "average_precision", "difference": 0.02,
    "interval": [-0.004, 0.041], "candidate": {"model": "models/2026-11-15", "value": 0.42},
    "champion": {"model": "models/2026-11-08", "version": "2", "value": 0.4},
}  # fmt: skip
DECIDED = {
    "name": "airflow-ml", "version": "3", "decision": "a person is asked", "outcome": "passed",
    "reasons": ["average_precision 0.42 is 0.02 better than the champion's 0.4"],
}  # fmt: skip


@pytest.fixture(scope="module")
def airflow() -> Airflow:
    return Airflow(DAGS)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The text of the alerts; and the pages that are linked."""
    monkeypatch.setenv("ML_ALERTS_FOLDER", str(tmp_path / "alerts"))
    monkeypatch.setenv("ML_MLFLOW_PAGE", "http://localhost:5000")
    monkeypatch.setenv("ML_REPORTS_PAGE", "http://localhost:8081")
    return tmp_path / "alerts" / "alerts.log"


def start(airflow: Airflow, decided: dict[str, Any] | None = None, **conf: Any) -> DagRun:
    """A run whose tasks up to `decide` are done."""
    run = airflow.manual("train_model", NIGHT, {"ds": "2026-11-15", "promote": "ask", **conf})
    for task, result in {"register": REGISTERED, "compare": COMPARED, "decide": decided or DECIDED}.items():
        airflow.set_result(run, task, result)
    return run


def ask(airflow: Airflow, run: DagRun) -> HITLDetail:
    """Let the run ask; returns the question, as Airflow's page gets it."""
    assert airflow.run_task(run, "ask").ti.state == TaskInstanceState.AWAITING_INPUT
    with create_session() as session:
        found = session.get(HITLDetail, airflow.waiting(run, "ask").id)
        assert found is not None
        return found


def respond(airflow: Airflow, run: DagRun, option: str, params: dict[str, Any]) -> dict[str, Any]:
    """Answer as Airflow's API does, and let the task end; returns its result."""
    with create_session() as session:
        detail = session.get(HITLDetail, airflow.waiting(run, "ask").id)
        detail.chosen_options, detail.params_input = [option], params
        detail.responded_by, detail.responded_at = {"id": "7", "name": "otto"}, datetime.now(UTC)
        event = TriggerEvent(detail.as_resume_event_payload())
        handle_event_submit(event, task_instance=session.merge(airflow.waiting(run, "ask")), session=session)
    return end(airflow, run)


def end(airflow: Airflow, run: DagRun) -> dict[str, Any]:
    assert airflow.run_task(run, "ask", new_try=False).ti.state == TaskInstanceState.SUCCESS
    return dict(airflow.result(run, "ask"))


def test_question_shows_the_evidence_and_is_one_alert_with_its_page(airflow: Airflow, kept: Path) -> None:
    run = start(airflow)
    question = ask(airflow, run)
    assert question.subject == "Promote version 3 of airflow-ml, trained on 2026-11-15?"
    assert list(question.options) == ["Promote", "Keep as challenger", "Reject"]
    assert set(question.params) == {"reason"}
    body = str(question.body)
    assert "**The gate: passed**" in body
    assert "| candidate | models/2026\\-11\\-15 | 3 | 0.42 |" in body
    assert "| in production | models/2026\\-11\\-08 | 2 | 0.4 |" in body
    assert "Difference +0.02, with its interval from -0.004 to +0.041" in body
    assert "[MLflow version](http://localhost:5000/#/models/airflow-ml/versions/3" in body
    assert "(http://localhost:8081/)" in body
    text = kept.read_text()
    assert text.count("[question] train_model: Promote version 3 of airflow-ml, trained on 2026-11-15?") == 1
    assert f"Page: http://localhost:8080/dags/train_model/runs/{run.run_id}/tasks/ask/required_actions" in text
    assert "[error]" not in text


def test_question_waits_as_long_as_the_form_says(airflow: Airflow) -> None:
    run = start(airflow, answer_hours=5)
    ask(airflow, run)
    left = airflow.waiting(run, "ask").trigger_timeout - datetime.now(UTC)
    assert timedelta(hours=4, minutes=50) < left <= timedelta(hours=5)


@pytest.mark.parametrize(
    ("option", "params", "answer", "reason"),
    [
        ("Promote", {"reason": " fewer false alarms "}, "promote", "fewer false alarms"),
        ("Keep as challenger", {"reason": "x" * 2000}, "keep", "x" * 500),
        ("Reject", {}, "reject", "no reason was given"),
        ("Reject", {"reason": None}, "reject", "no reason was given"),
        ("Promote", {"reason": "{{ 1 + 1 }}; $(id)"}, "promote", "{{ 1 + 1 }}; $(id)"),
    ],
)
def test_answer_reaches_the_registry_with_name_and_reason(
    airflow: Airflow, option: str, params: dict[str, Any], answer: str, reason: str
) -> None:
    run = start(airflow)
    ask(airflow, run)
    assert respond(airflow, run, option, params) == {"version": "3", "answer": answer, "by": "otto", "reason": reason}
    command = ["answer", "--version=3", f"--answer={answer}", "--by=otto", f"--reason={reason}"]
    assert airflow.arguments(run, "answer") == command


def test_nobody_who_answers_in_time_keeps_the_version_as_challenger(airflow: Airflow, kept: Path) -> None:
    run = start(airflow, answer_hours=0.5)
    ask(airflow, run)
    with create_session() as session:
        session.merge(airflow.waiting(run, "ask")).trigger_timeout = NIGHT
    SchedulerJobRunner(Job()).check_awaiting_input_timeouts()
    late = {"answer": "keep", "by": "the Dag train_model", "reason": "nobody answered within 0.5 hours"}
    assert end(airflow, run) == {"version": "3", **late}
    assert "[error]" not in kept.read_text()


@pytest.mark.parametrize("decision", ["promoted", "stays challenger", "left to a person", "stays champion", "rejected"])
def test_decision_that_is_made_asks_nobody(airflow: Airflow, kept: Path, decision: str) -> None:
    run = start(airflow, {**DECIDED, "decision": decision})
    assert airflow.run_task(run, "ask").ti.state == TaskInstanceState.SKIPPED
    assert not kept.exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"champion": None, "interval": None}, "| in production | none, or not comparable | - | - |"),
        ({"difference": None, "interval": None}, "The difference was not measured."),
        ({"candidate": {"model": "models/x", "value": None}}, "| candidate | models/x | 3 | not measured |"),
        ({"metric": "a|b"}, r"| | model | version | a\|b |"),
    ],
)  # fmt: skip
def test_evidence_names_what_was_not_measured(changed: dict[str, Any], words: str) -> None:
    assert words in list(evidence(REGISTERED, {**COMPARED, **changed}, DECIDED, "soon"))


def test_evidence_has_the_segments_of_the_rules_as_a_table() -> None:
    part = {"field": "channel", "value": "a|b", "rows": 900, "candidate": 0.4, "champion": 0.42}
    judged = {**part, "interval": [-0.05, -0.01], "outcome": "failed"}
    few = {**part, "rows": 9, "candidate": None, "champion": None, "interval": None, "outcome": None}
    lines = list(evidence(REGISTERED, {**COMPARED, "segments": [judged, few]}, DECIDED, "soon"))
    start = lines.index("| segment | rows | candidate | in production | difference from, to | verdict |")
    # Markdown ends a table at an empty line, and begins one only after it.
    assert (lines[start - 1], lines[start + 4]) == ("", "")
    assert lines[start + 2 : start + 4] == [
        r"| channel a\|b | 900 | 0.4 | 0.42 | -0.05, -0.01 | failed |",
        r"| channel a\|b | 9 | not measured | not measured | not measured | not judged |",
    ]
    assert not any("segment" in line for line in evidence(REGISTERED, COMPARED, DECIDED, "soon"))


def test_evidence_shows_a_hostile_text_as_text() -> None:
    reason = "[click](javascript:alert(1)) <img src=x>\n# title"
    shown = "\n".join(evidence({}, COMPARED, {**DECIDED, "reasons": [reason]}, "soon"))
    assert r"- \[click\]\(javascript:alert\(1\)\) \<img src=x\> \# title" in shown


def judge_after_shadow(airflow: Airflow, decided: dict[str, Any]) -> DagRun:
    """A run of monitor whose tasks up to `decide_shadow` are done."""
    run = airflow.manual("monitor", NIGHT, {"ds": "2026-11-17"})
    airflow.set_result(run, "compare_shadow", {**COMPARED, "version": "3", "days": ["2026-11-16", "2026-11-17"]})
    airflow.set_result(run, "decide_shadow", {**DECIDED, **decided})
    return run


@pytest.fixture
def with_shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """Airflow with two days in shadow."""
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({**json.loads(RULES.read_text()), "shadow_days": 2, "answer_hours": 7}))
    monkeypatch.setattr("ml.rules.RULES", rules)
    return Airflow(DAGS)


def test_question_after_the_shadow_days_is_a_run_of_its_own(with_shadow: Airflow) -> None:
    """The run of monitor ends: it has few at a time, and monitor_late_labels waits for each."""
    airflow = with_shadow
    monitor = judge_after_shadow(airflow, {"reasons": ["shadow days 2026-11-16, 2026-11-17"]})
    assert airflow.run_task(monitor, "ask").ti.state == TaskInstanceState.SUCCESS
    (run,) = airflow.runs("ask_after_shadow", f"question__{monitor.run_id}")
    question = ask(airflow, run)
    assert question.subject == "Promote version 3 of airflow-ml, in shadow until 2026-11-17?"
    assert r"- shadow days 2026\-11\-16, 2026\-11\-17" in str(question.body)
    assert "| in production | models/2026\\-11\\-08 | 2 | 0.4 |" in str(question.body)
    assert "[Report of 2026-11-17](http://localhost:8081/2026-11-17/)" in str(question.body)
    left = airflow.waiting(run, "ask").trigger_timeout - datetime.now(UTC)
    assert timedelta(hours=6, minutes=50) < left <= timedelta(hours=7)
    respond(airflow, run, "Promote", {"reason": "two good days"})
    expected = ["answer", "--version=3", "--answer=promote", "--by=otto", "--reason=two good days"]
    assert airflow.arguments(run, "answer") == expected


def test_shadow_days_that_decide_ask_nobody(with_shadow: Airflow) -> None:
    monitor = judge_after_shadow(with_shadow, {"decision": "promoted"})
    assert with_shadow.run_task(monitor, "ask").ti.state == TaskInstanceState.SKIPPED
    by_hand = with_shadow.manual("ask_after_shadow", NIGHT, {"ds": "2026-11-17"})
    assert with_shadow.run_task(by_hand, "ask").ti.state == TaskInstanceState.SKIPPED


def test_tidy_leaves_a_run_that_waits_as_long_as_it_may() -> None:
    """`airflow db clean` removes a run that waits by its age; the day more is for its work."""
    assert timedelta(days=LEAST_DAYS) >= timedelta(hours=LONGEST_WAIT + LONGEST_ANSWER) + timedelta(days=1)
