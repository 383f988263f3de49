"""Which failure causes an alert, how often, and what the alert says."""

from pathlib import Path
from typing import Any

import pytest
import structlog
from airflow.callbacks.callback_requests import TaskCallbackRequest
from airflow.dag_processing.processor import _execute_callbacks
from airflow.models import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from airflow.utils.types import DagRunType

import ml.sensor
from ml.alerts import callbacks
from ml.engines import State
from ml.operator import StageFailed, StageOperator
from ml.outcome import Outcome
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, day, make_bag

DAY = "2026-11-21"
ASKED = """
from airflow.sdk import DAG
from ml import DS, dag_defaults
from ml.operator import StageOperator
from ml.tasks import at

with DAG("asked", schedule=at("0 3 * * *"), params={"more": True}, **dag_defaults()):
    StageOperator(task_id="more", stage="generator", command=[DS.template], only_if="more")
"""


def run_of(failing: Airflow, **more: Any) -> DagRun:
    return failing.manual("failing", day(DAY), **more)


def fail_for_good(failing: Airflow, run: DagRun) -> None:
    states = [failing.run_task(run, "score").ti.state for _ in range(3)]
    assert states == ["up_for_retry", "up_for_retry", "failed"]


def test_task_that_fails_for_good_is_one_alert_not_one_per_retry(
    failing: Airflow, received: list[dict[str, Any]], kept: Path
) -> None:
    run = run_of(failing)
    fail_for_good(failing, run)
    assert sorted(one["by"] for one in received) == ["http", "smtp", "smtp"]  # a mail for each receiver
    hook = next(one for one in received if one["by"] == "http")
    assert hook["title"].startswith(f"[error] failing: score failed for {DAY}: the engine at unix://")
    facts = dict(line.split(": ", 1) for line in hook["text"].splitlines())
    assert facts["Dag"] == "failing"
    assert facts["Task"] == "score"
    assert facts["Day"] == DAY
    assert facts["Run"] == run.run_id
    assert facts["Try"] == "3 of 3"
    assert facts["Image"] == "airflow-ml-generator:0123456789ab"
    assert "the engine at unix://" in facts["Error"]
    assert "does not answer" in facts["Error"]
    assert hook["text"].splitlines()[-1] == f"Page: {facts['Page']}"
    assert facts["Page"].endswith(f"/dags/failing/runs/{run.run_id}/tasks/score?try_number=3")
    assert facts["By hand"].startswith("docker run --rm --user 10001:10001 --network none ")
    assert facts["By hand"].endswith(f"airflow-ml-generator:0123456789ab --ds={DAY} --rows=7")
    assert kept.read_text().count("====") == 5  # one rule of 20


def test_mail_reaches_all_receivers_and_reads_as_text(failing: Airflow, received: list[dict[str, Any]]) -> None:
    fail_for_good(failing, run_of(failing))
    mails = [one for one in received if one["by"] == "smtp"]
    assert sorted(mail["to"] for mail in mails) == [["a@example.com"], ["b@example.com"]]
    for mail in mails:
        assert mail["title"].startswith(f"[error] failing: score failed for {DAY}: ")
        assert mail["type"] == "text/plain"
        assert f"Day: {DAY}\n" in mail["text"]


def test_cleared_task_that_fails_again_is_another_alert(failing: Airflow, kept: Path) -> None:
    run = run_of(failing)
    fail_for_good(failing, run)
    failing.run_task(run, "score")
    assert kept.read_text().count("Try: ") == 2
    assert "Try: 4\n" in kept.read_text()


def dag_callback(failing: Airflow, run: DagRun) -> None:
    """What the scheduler and the Dag processor do when the tasks of a run have ended."""
    stored = failing.dag("failing")
    with create_session() as session:
        found = session.merge(run)
        found.dag = stored
        _, request = found.update_state(execute_callbacks=False, session=session)
        assert request is not None
        session.commit()
        _execute_callbacks(make_bag(Path(failing.files["failing"])), [request], structlog.get_logger())


def test_run_whose_task_sent_its_alert_is_no_second_alert(failing: Airflow, kept: Path) -> None:
    run = run_of(failing)
    fail_for_good(failing, run)
    dag_callback(failing, run)
    assert kept.read_text().count("Dag: failing") == 1


def test_run_is_an_alert_if_no_task_could_send_one(
    failing: Airflow, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task's process was killed, and so was the Dag processor that would have called in its place."""
    monkeypatch.setattr(callbacks, "GRACE_S", 1)
    run = run_of(failing)
    with create_session() as session:
        task = session.merge(run).get_task_instance("score", session=session)
        assert task is not None
        task.try_number = 3
        task.set_state(TaskInstanceState.FAILED, session=session)
    dag_callback(failing, run)
    assert f"failing: score failed for {DAY}" in kept.read_text()
    assert "Error: the task's own process ended without a message" in kept.read_text()


LOG = [
    '{"event": "::group::Pre Execute"}',
    '{"event": "By hand: docker run --rm airflow-ml-generator:1 --ds=2026-11-21"}',
    "not json",
    *(f'{{"event": "line {number}"}}' for number in range(40)),
    '{"event": "::endgroup::"}',
]


def test_task_whose_process_was_killed_is_an_alert_with_the_lines_of_its_log(
    failing: Airflow, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Dag processor calls in its place, and knows of the container only what was logged."""
    run = run_of(failing)
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    log = tmp_path / f"dag_id=failing/run_id={run.run_id}/task_id=score/attempt=3.log"
    log.parent.mkdir(parents=True)
    log.write_text("\n".join(LOG))
    with create_session() as session:
        task = session.merge(run).get_task_instance("score", session=session)
        assert task is not None
        task.try_number = 3
        request = TaskCallbackRequest(
            filepath="failing.py", bundle_name="dags-folder", bundle_version=None, ti=task, msg="killed",
            task_callback_type=TaskInstanceState.FAILED,
        )  # fmt: skip
        _execute_callbacks(make_bag(Path(failing.files["failing"])), [request], structlog.get_logger())
    text = kept.read_text()
    assert "By hand: docker run --rm airflow-ml-generator:1 --ds=2026-11-21" in text
    *lines, empty, page, end = text.splitlines()[-18:]
    assert lines == [f"| line {number}" for number in range(25, 40)]
    assert (empty, page.startswith("Page: http://"), end) == ("", True, "")
    assert "killed, out of memory" in text


SCHEDULED, MANUAL, BY_DAG = "scheduled", "manual", "operator_triggered"


def exit_with(monkeypatch: pytest.MonkeyPatch, exit_code: int) -> None:
    """Let the container of each task end with an exit code, without an engine."""

    def execute(self: StageOperator, context: Any) -> Any:
        self.outcome = Outcome(self.image, "docker run", exit_code, complaint="the file data.csv is torn")
        self._fail(State(exit_code), context)

    monkeypatch.setattr(StageOperator, "_run", execute)


@pytest.mark.parametrize(
    ("kind", "exit_code", "severity"),
    [
        (SCHEDULED, 3, "critical"),
        (SCHEDULED, 2, "critical"),
        (BY_DAG, 3, "critical"),
        (MANUAL, 3, "error"),
        (MANUAL, 2, "warning"),
    ],
)
def test_lost_day_is_more_severe_than_a_typo_in_a_form(
    failing: Airflow, kept: Path, monkeypatch: pytest.MonkeyPatch, kind: str, exit_code: int, severity: str
) -> None:
    exit_with(monkeypatch, exit_code)
    if kind == SCHEDULED:
        run = failing.scheduled("failing", f"2026-0{exit_code}-01", "2026-08-01")
    else:
        run = run_of(failing, run_type=DagRunType(kind))
    assert failing.run_task(run, "score").ti.state == "failed"
    assert f"[{severity}] failing: score failed for " in kept.read_text()
    assert ": the file data.csv is torn\n" in kept.read_text()


def test_failure_of_a_task_that_the_form_asks_for_is_a_warning(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the day needs is published before it."""
    exit_with(monkeypatch, 3)
    (tmp_path / "asked.py").write_text(ASKED)
    airflow = Airflow(tmp_path)
    run = airflow.scheduled("asked", "2026-07-01", "2026-08-01")
    assert airflow.run_task(run, "more").ti.state == "failed"
    assert "[warning] asked: more failed for " in kept.read_text()


def test_alert_of_a_failure_that_no_retry_can_help_announces_none(
    failing: Airflow, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said "Try: 1 of 3", and somebody waited for the second."""
    exit_with(monkeypatch, 3)
    failing.run_task(run_of(failing), "score")
    assert "Try: 1; there is no retry, as it cannot help\n" in kept.read_text()


def test_error_is_the_stages_own_sentence_without_frames_of_ours(
    failing: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow logs the traceback around the message; two chained ones had nine frames of it."""
    exit_with(monkeypatch, 1)
    error = failing.run_task(run_of(failing), "score").error
    assert isinstance(error, StageFailed)
    assert str(error) == (
        "the file data.csv is torn. generator ended with exit code 1: the stage failed (a retry may help). "
        "By hand: docker run"
    )
    names, trace = [], error.__traceback__
    while trace:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert names[-2:] == ["execute", "_disciplined"]
    assert (error.__cause__, error.__suppress_context__) == (None, True)


@pytest.mark.parametrize("retrain", [False, True])
def test_whole_run_with_a_breach_is_one_alert(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retrain: bool
) -> None:
    """The report's page repeats the number of breaches in its result; that was a second, false alert."""
    airflow = Airflow(DAGS)
    results: dict[str, dict[str, Any]] = {
        "confirm": {"ds": DAY, "breaches": ["amount has moved: PSI 0.31, above 0.25"]}
    }
    monkeypatch.setattr(StageOperator, "_run", lambda self, _: results.get(self.task_id, {"ds": DAY, "breaches": 1}))
    monkeypatch.setattr(ml.sensor, "DATA_FOLDER", tmp_path)
    mark = tmp_path / "predictions" / DAY / ml.sensor.MARK
    mark.parent.mkdir(parents=True)
    mark.touch()
    run = airflow.manual("monitor", day("2026-11-22"), {"ds": DAY, "retrain": retrain})
    for task in make_bag(DAGS).dags["monitor"].topological_sort():
        if task.is_mapped:  # there are no shards
            continue
        state = airflow.run_task(run, task.task_id).ti.state
        assert state == ("skipped" if task.task_id == "retrain" and not retrain else "success"), task.task_id
    text = kept.read_text()
    assert text.count("=" * 20) == 1
    assert f"[warning] monitor: confirm found 1 breach for {DAY}: amount has moved" in text
    assert "Breach 1: amount has moved: PSI 0.31, above 0.25\n" in text
    assert "composed" not in text
