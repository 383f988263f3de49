"""Who is told of a failure, how often, and in what words; with a real web hook and a real mail server."""

import logging
import multiprocessing
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from airflow.callbacks.callback_requests import TaskCallbackRequest
from airflow.dag_processing.processor import _execute_callbacks
from airflow.models import DagRun
from airflow.models.deadline import Deadline
from airflow.sdk.execution_time.callback_supervisor import execute_callback
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

from ml import sensor
from ml.alerts import callbacks, channels, deadline, message, sink
from ml.alerts.message import Message
from ml.links import StageLink
from ml.outcome import Outcome
from tests.dags.conftest import DAGS
from tests.dags.runs import Airflow, day, make_bag
from tests.receivers import http_server, serve, smtp_server

DAY = "2026-11-21"
SECRET = "hunter2hunter2"
FAILING = """
from airflow.sdk import DAG
from ml import dag_defaults
from ml.alerts.deadline import scored_by
from ml.operator import StageOperator
from ml.tasks import at

with DAG("failing", schedule=at("0 3 * * *"), deadline=scored_by("0 3 * * *"), **dag_defaults()):
    StageOperator(task_id="score", stage="generator", command=["--ds={{ dag_run.run_after | ds }}", "--rows=7"])
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with a Dag whose one task fails, as there is no engine."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "failing.py").write_text(FAILING)
    return Airflow(folder)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sink's text; each test has its own."""
    monkeypatch.setenv("ML_ALERTS_FOLDER", str(tmp_path / "alerts"))
    monkeypatch.setenv("ML_ALERT_URLS_FILE", str(tmp_path / "alert_urls"))
    return tmp_path / "alerts" / "alerts.log"


@pytest.fixture
def received(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """What a web hook and a mail server get."""
    got: list[dict[str, Any]] = []
    web, mail = http_server(got.append), smtp_server(got.append)
    serve(web)
    serve(mail)
    urls = [
        f"json://:{SECRET}@127.0.0.1:{web.server_address[1]}/hook",
        f"mailto://127.0.0.1:{mail.server_address[1]}/?from=airflow@example.com&to=a@example.com,b@example.com",
    ]
    (tmp_path / "alert_urls").write_text("# the web hook\n" + ", ".join(urls) + "\n")
    yield got
    web.shutdown()
    mail.shutdown()


def run_of(failing: Airflow, **more: Any) -> DagRun:
    return failing.manual("failing", day(DAY), **more)


def fail_for_good(failing: Airflow, run: DagRun) -> None:
    states = [failing.run_task(run, "score").ti.state for _ in range(3)]
    assert states == ["up_for_retry", "up_for_retry", "failed"]


def test_task_that_fails_for_good_is_told_once_not_per_retry(
    failing: Airflow, received: list[dict[str, Any]], kept: Path
) -> None:
    run = run_of(failing)
    fail_for_good(failing, run)
    assert sorted(one["by"] for one in received) == ["http", "smtp", "smtp"]  # a mail for each receiver
    hook = next(one for one in received if one["by"] == "http")
    assert hook["title"] == f"failing: score failed for {DAY}"
    facts = dict(line.split(": ", 1) for line in hook["text"].splitlines())
    assert facts["Dag"] == "failing"
    assert facts["Task"] == "score"
    assert facts["Day"] == DAY
    assert facts["Run"] == run.run_id
    assert facts["Try"] == "3 of 3"
    assert facts["Image"] == "airflow-ml-generator:0123456789ab"
    assert "the engine at unix://" in facts["Error"]
    assert "does not answer" in facts["Error"]
    assert facts["Log"].endswith(f"/dags/failing/runs/{run.run_id}/tasks/score?try_number=3")
    assert facts["By hand"].startswith("docker run --rm --user 10001:10001 --network none ")
    assert facts["By hand"].endswith(f"airflow-ml-generator:0123456789ab --ds={DAY} --rows=7")
    assert kept.read_text().count("====") == 5  # one rule of 20


def test_mail_reaches_all_receivers_and_reads_as_text(failing: Airflow, received: list[dict[str, Any]]) -> None:
    fail_for_good(failing, run_of(failing))
    mails = [one for one in received if one["by"] == "smtp"]
    assert sorted(mail["to"] for mail in mails) == [["a@example.com"], ["b@example.com"]]
    for mail in mails:
        assert mail["title"] == f"failing: score failed for {DAY}"
        assert mail["type"] == "text/plain"
        assert f"Day: {DAY}\n" in mail["text"]


def test_cleared_task_that_fails_again_is_told_again(failing: Airflow, kept: Path) -> None:
    run = run_of(failing)
    fail_for_good(failing, run)
    failing.run_task(run, "score")
    assert kept.read_text().count("Try: ") == 2
    assert "Try: 4\n" in kept.read_text()


def dag_callback(failing: Airflow, run: DagRun) -> None:
    """What the scheduler and the Dag processor do when the tasks of a run have ended."""
    stored = failing._stored("failing")
    with create_session() as session:
        found = session.merge(run)
        found.dag = stored
        _, request = found.update_state(execute_callbacks=False, session=session)
        assert request is not None
        session.commit()
        _execute_callbacks(make_bag(Path(failing.files["failing"])), [request], structlog.get_logger())


def test_run_whose_task_has_told_is_not_told_again(failing: Airflow, kept: Path) -> None:
    run = run_of(failing)
    fail_for_good(failing, run)
    dag_callback(failing, run)
    assert kept.read_text().count("Dag: failing") == 1


def test_run_is_told_when_no_task_could(failing: Airflow, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "Error: the task's own process ended without a word" in kept.read_text()


LOG = [
    '{"event": "::group::Pre Execute"}',
    '{"event": "By hand: docker run --rm airflow-ml-generator:1 --ds=2026-11-21"}',
    "not json",
    *(f'{{"event": "line {number}"}}' for number in range(40)),
    '{"event": "::endgroup::"}',
]


def test_task_whose_process_was_killed_is_told_with_what_its_log_holds(
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
    assert text.splitlines()[-16:-1] == [f"| line {number}" for number in range(25, 40)]
    assert "killed, out of memory" in text


def claim_often(folder: str, results: Any) -> None:
    import os

    os.environ["ML_ALERTS_FOLDER"] = folder
    results.put([sink.claim("dag", "run", "task", number) for number in range(200)])


def test_of_many_processes_one_alone_tells(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    processes = [context.Process(target=claim_often, args=(str(tmp_path / "alerts"), results)) for _ in range(4)]
    for process in processes:
        process.start()
    claims = [results.get(timeout=60) for _ in processes]
    assert [sum(each) for each in zip(*claims, strict=True)] == [1] * 200


def test_service_that_is_down_and_url_that_is_none_are_named_without_their_secrets(
    failing: Airflow, received: list[dict[str, Any]], kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    urls = (tmp_path / "alert_urls").read_text()
    bad = [f"nowhere://{SECRET}", SECRET, f"jsons://user:{SECRET}@127.0.0.1:1/{SECRET}"]
    (tmp_path / "alert_urls").write_text("\n".join(bad) + "\n" + urls)
    run = run_of(failing)
    with caplog.at_level(logging.DEBUG):
        fail_for_good(failing, run)
    not_sent = [line for line in kept.read_text().splitlines() if line.startswith("NOT SENT: ")]
    assert [line.split(" is ")[0].split(": the")[0] for line in not_sent] == [
        "NOT SENT: alert URL 1 (nowhere://)",
        "NOT SENT: alert URL 2",
        "NOT SENT: alert URL 3 (jsons://)",
    ]
    assert sorted(one["by"] for one in received) == ["http", "smtp", "smtp"]
    assert SECRET not in kept.read_text() + caplog.text
    assert "the engine at" in kept.read_text()


def test_logging_is_as_before_after_a_service_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "alert_urls").write_text("json://127.0.0.1:1/")
    assert channels.send(Message("title", {}))
    with caplog.at_level(logging.INFO):
        logging.getLogger("any").info("heard")
    assert "heard" in caplog.text


@pytest.mark.parametrize(
    ("content", "urls"),
    [
        ("", []),
        ("# json://comment\n  # another\n", []),
        ("json://a", ["json://a"]),
        ("json://a, json://b,mailto://c?to=x@y.z,u@v.w\n\tjson://d,", [
            "json://a", "json://b", "mailto://c?to=x@y.z,u@v.w", "json://d"]),
        ("slack://T/B/C/#channel", ["slack://T/B/C/#channel"]),
    ],
)  # fmt: skip
def test_urls_stand_between_blanks_line_ends_and_commas(tmp_path: Path, content: str, urls: list[str]) -> None:
    (tmp_path / "alert_urls").write_text(content)
    assert channels.alert_urls() == urls


def test_file_of_urls_that_cannot_be_read_is_told(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "alert_urls").mkdir()
    callbacks.tell(lambda: Message("title", {"Dag": "any"}), "key")
    assert "NOT SENT: the file with the alert URLs cannot be read (IsADirectoryError)" in kept.read_text()


def test_sink_that_cannot_be_written_stops_no_alert(
    received: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "alerts").write_text("a file in the folder's place")
    callbacks.tell(lambda: Message("title", {"Dag": "any"}), "key")
    assert len(received) == 3
    assert "cannot be written" in caplog.text
    assert "could not be kept" in caplog.text


def test_alert_that_cannot_be_composed_is_an_alert(kept: Path) -> None:
    def compose() -> Message:
        raise KeyError("x")

    callbacks.tell(compose, "dag", "run")
    assert "Failed: dag run" in kept.read_text()


def test_sink_is_for_its_user_alone_and_keeps_the_newest(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "MAX_BYTES", 1000)
    for number in range(60):
        sink.keep(Message(f"alert {number}", {"Dag": "any"}), [])
    folder = kept.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    logs = sorted(folder.glob("alerts.log*"))
    assert [log.name for log in logs] == ["alerts.log", "alerts.log.1", "alerts.log.2", "alerts.log.3"]
    assert {stat.S_IMODE(log.stat().st_mode) for log in logs} == {0o640}
    assert all(log.stat().st_size < 1200 for log in logs)
    text = "".join(log.read_text() for log in reversed(logs))
    numbers = [int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("=")]
    assert numbers == list(range(numbers[0], 60))


HOSTILE = "\x1b[31mred\x1b[0m \x00\x07 \u202eback\u202c a\tb\r\n==================== 2026 forged\nBy hand: rm -rf /"


def test_hostile_lines_stay_lines(kept: Path) -> None:
    sink.keep(Message(f"title {HOSTILE}", {"Error": HOSTILE}, (HOSTILE, "x" * 5000)), [])
    text = kept.read_text()
    assert not set(text) & set("\x1b\x00\x07\u202e\u202c\r\t")
    lines = text.splitlines()
    assert [line[:20] for line in lines].count("=" * 20) == 1
    assert not [line for line in lines if line.startswith("By hand: ")]
    assert max(map(len, lines)) <= max(message.MAX_FACT, message.MAX_LINE) + 20


@pytest.mark.parametrize("length", [10, 300, 100_000])
def test_body_is_bounded_and_keeps_the_last_lines(length: int) -> None:
    lines = tuple(f"{number} " + "x" * length for number in range(15))
    body = Message("title", {"Dag": "any", "Error": "y" * length, "By hand": "docker run " + "z" * length}, lines).body
    assert len(body) <= message.MAX_BODY
    assert "By hand: docker run " in body
    assert body.splitlines()[-1].startswith("| 14 x")


def deadline_of(run: DagRun) -> Deadline:
    with create_session() as session:
        return session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).one()


def let_pass(run: DagRun) -> None:
    """What scheduler and executor do once the deadline of a run has passed."""
    with create_session() as session:
        found = session.merge(deadline_of(run))
        found.handle_miss(session)
        data = found.callback.data
    done = execute_callback(data["path"], data["kwargs"], DAGS, DAGS, structlog.get_logger())
    assert done == (True, None)


def test_missed_deadline_is_told_once(failing: Airflow, kept: Path) -> None:
    run = failing.scheduled("failing", "2026-11-20", "2026-11-22")
    assert run.logical_date is not None
    assert deadline_of(run).deadline_time - run.logical_date == timedelta(hours=3)
    let_pass(run)
    let_pass(run)
    text = kept.read_text()
    assert text.count("failing: predictions of 2026-11-20 missed the deadline, 06:00 UTC") == 1
    assert "Expected: predictions/2026-11-20 complete by 06:00 UTC" in text
    assert f"/dags/failing/runs/{run.run_id}" in text


def test_deadlines_of_a_backfill_and_of_a_run_by_hand_are_nobodys(failing: Airflow, kept: Path) -> None:
    for run in [
        *failing.backfilled("failing", "2026-10-01", "2026-10-04"),
        run_of(failing, logical_date=day("2026-09-01")),
    ]:
        let_pass(run)
    assert not kept.exists()


def test_day_that_was_scored_by_another_run_is_not_late(
    failing: Airflow, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failing.scheduled("failing", "2026-11-23", "2026-11-25")
    mark = tmp_path / "predictions" / "2026-11-23" / sensor.MARK
    mark.parent.mkdir(parents=True)
    mark.touch()
    monkeypatch.setattr(deadline, "DATA_FOLDER", tmp_path)
    let_pass(run)
    assert not kept.exists()


@pytest.mark.parametrize(
    ("due", "cron", "hours"), [("", "0 3 * * *", 3), ("05:30", "0 3 * * *", 2.5), ("02:00", "0 3 * * *", 23)]
)
def test_deadline_is_the_next_such_time_of_day(
    monkeypatch: pytest.MonkeyPatch, due: str, cron: str, hours: float
) -> None:
    monkeypatch.setenv("ML_DEADLINE", due)
    found = deadline.scored_by(cron)
    assert found is not None
    assert found.interval == timedelta(hours=hours)


def test_deadline_may_be_none_and_must_be_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DEADLINE", "none")
    assert deadline.scored_by("0 3 * * *") is None
    monkeypatch.setenv("ML_DEADLINE", "6 am")
    with pytest.raises(ValueError, match=r"ML_DEADLINE is '6 am', expected a time of day in UTC such as 06:00"):
        deadline.scored_by("0 3 * * *")


@pytest.mark.parametrize(
    ("stage", "result", "link"),
    [
        ("report", {"command": "page", "ds": DAY}, f"http://reports/{DAY}/"),
        ("report", {"command": "plot", "ds": DAY}, ""),
        ("report", {}, ""),
        ("registry", {"version": "3", "run_id": "abc"}, "http://mlflow/#/models/airflow-ml/versions/3"),
        ("registry", {"version": None, "run_id": "abc"}, "http://mlflow/#/runs/abc"),
        ("registry", {"version": None, "run_id": None}, ""),
    ],
)
def test_link_leads_to_what_the_task_made(
    monkeypatch: pytest.MonkeyPatch, stage: str, result: dict[str, Any], link: str
) -> None:
    monkeypatch.setenv("ML_REPORTS_PAGE", "http://reports/")
    monkeypatch.setenv("ML_MLFLOW_PAGE", "http://mlflow")

    class Task:
        outcome = Outcome("image", result=result)

    task: Any = Task()
    assert StageLink(stage).get_link(task, ti_key=None) == link
    monkeypatch.delenv("ML_REPORTS_PAGE")
    monkeypatch.delenv("ML_MLFLOW_PAGE")
    assert StageLink(stage).get_link(task, ti_key=None) == ""


def test_links_reach_airflows_page_without_a_plugin(dags: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    stored: SerializedDAG = DagSerialization.from_dict(DagSerialization.to_dict(dags["monitor"]))
    found = {task.task_id: list(task.extra_links) for task in stored.tasks if task.extra_links}
    assert found["page"] == ["Report"]
    assert found["log_evaluation"] == ["MLflow"]
