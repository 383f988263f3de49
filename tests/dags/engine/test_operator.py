"""What becomes of a task whose container ends well, ends badly, is killed, hangs, or cannot start."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from airflow.models import DagRun
from airflow.models.trigger import Trigger
from airflow.sdk.execution_time.supervisor import TaskRunResult
from airflow.triggers.base import TriggerEvent

from ml import operator
from ml.engines import Output, State
from ml.engines.docker import DockerEngine
from ml.trigger import ContainerTrigger
from tests import harness
from tests.dags.conftest import DAGS, ROOT
from tests.dags.engine.conftest import HELD, MLFLOW, NO_PATIENCE, OUT_OF_MEMORY, Engine, docker
from tests.dags.runs import Airflow, day
from tests.harness import PATIENCE_S, wait_until

pytestmark = pytest.mark.usefixtures("_environment")

RESULT = 'import json; print(json.dumps({"ds": "2026-11-21", "rows": 3}))'
CONFINEMENT = """
import json, os, pathlib, socket
def fails(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__ + " " + str(error.errno)
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "capabilities": status["CapEff"],
    "no new privileges": status["NoNewPrivs"],
    "networks": os.listdir("/sys/class/net"),
    "connecting": fails(lambda: socket.create_connection(("192.0.2.1", 80), timeout=5)),
    "writing to /": fails(lambda: open("/opt/venv/x", "w")),
    "writing to /tmp": fails(lambda: open("/tmp/x", "w")),
    "writing to /data": fails(lambda: open("/data/x", "w")),
}))
"""


def execute(probes: Airflow, code: str, task_id: str = "probe") -> tuple[DagRun, TaskRunResult]:
    """Run a probe that executes the code."""
    run = probes.manual("probes", day("2026-11-21"), {"code": code})
    return run, probes.run_task(run, task_id)


def test_result_is_the_last_line_of_stdout(probes: Airflow, engine: Engine) -> None:
    code = f"""
import sys
print("not this")
{RESULT}
print("said later on stderr", file=sys.stderr)
"""
    run, outcome = execute(probes, code)
    assert outcome.ti.state == "success"
    assert probes.result(run, "probe") == {"ds": "2026-11-21", "rows": 3}
    assert engine.containers(run.run_id) == []


def test_result_goes_with_the_asset_event(probes: Airflow) -> None:
    """So a run that the event triggers knows which day the data is of."""
    run, _ = execute(probes, RESULT)
    assert probes.asset_events(run) == [("raw", {"ds": "2026-11-21", "rows": 3})]


def test_result_without_a_line_end_after_much_output_arrives(probes: Airflow) -> None:
    code = """
import sys
for number in range(3000):
    print("x" * 200, file=sys.stderr)
sys.stdout.write("y" * 300_000 + "\\n" + '{"rows": 1}')
"""
    run, outcome = execute(probes, code)
    assert outcome.ti.state == "success"
    assert probes.result(run, "probe") == {"rows": 1}


@pytest.mark.parametrize("code", ["", "print('done')", "print([1])", "print('{')"])
def test_container_that_prints_no_result_fails_the_task(probes: Airflow, code: str) -> None:
    """Not for good: the engine may have lost the line, and a retry prints it again."""
    _, outcome = execute(probes, code or "pass")
    assert outcome.ti.state == "up_for_retry"
    assert "not the JSON object that every stage prints" in str(outcome.error)


@pytest.mark.parametrize(
    ("exit_code", "state", "meaning"),
    [
        (1, "up_for_retry", "the stage failed"),
        (2, "failed", "the stage refused its arguments"),
        (3, "failed", "bad input data"),
        (77, "up_for_retry", "not an exit code of ours"),
        (137, "up_for_retry", "out of memory or killed (the engine does not say which)"),
    ],
)
def test_exit_code_decides_whether_to_retry_and_says_why(
    probes: Airflow, engine: Engine, exit_code: int, state: str, meaning: str
) -> None:
    code = f"""import sys; print("raw/2026-11-21 is torn", file=sys.stderr); sys.exit({exit_code})"""
    run, outcome = execute(probes, code)
    assert outcome.ti.state == state
    message = str(outcome.error)
    # A stage that is killed has no time to say why.
    sentence = "" if exit_code == 137 else "raw/2026-11-21 is torn. "
    assert message.startswith(f"{sentence}probe ended with exit code {exit_code}: {meaning}")
    assert (" (a retry may help)" if state == "up_for_retry" else " (a retry cannot help)") in message
    assert engine.containers(run.run_id) == []


LOGS = """
import sys
for level in ("INFO", "WARNING", "ERROR"):
    print(f"2026-11-21T21:34:26Z {level} probe run: a line", file=sys.stderr)
print("a line at the end", file=sys.stderr)
sys.exit(1)
"""


def test_line_is_logged_with_the_level_of_the_stage_and_without_its_time(probes: Airflow) -> None:
    """Warnings and errors were INFO, each with two times."""
    with structlog.testing.capture_logs() as logs:
        _, outcome = execute(probes, LOGS)
    found = [(log["log_level"], log["event"] % log.get("positional_args", ())) for log in logs]
    # This Airflow logs nothing below WARNING: the other two lines are INFO.
    assert [line for line in found if line[1].startswith("a line")][:2] == [("warning", "a line"), ("error", "a line")]
    assert str(outcome.error).startswith("a line. probe ended with exit code 1: the stage failed")


def test_message_ends_with_a_command_that_does_the_same_by_hand(probes: Airflow) -> None:
    _, outcome = execute(probes, "import sys; print('it''s \"this\"', file=sys.stderr); sys.exit(3)")
    by_hand = str(outcome.error).partition("By hand: ")[2]
    again = subprocess.run(shlex.split(by_hand), capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (3, 'its "this"\n')


def test_input_that_is_not_there_yet_is_waited_for_then_given_up(
    probes: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "MAX_WAITS", 2)
    run, outcome = execute(probes, "raise SystemExit(4)")
    states = [outcome.ti.state]
    for _ in range(2):
        outcome = probes.run_task(run, "probe", new_try=False)
        states.append(outcome.ti.state)
    assert states == ["up_for_reschedule", "up_for_reschedule", "failed"]
    assert "the input is not there yet" in str(outcome.error)


def test_container_out_of_memory_is_named_as_such(probes: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_STAGE_MEMORY", "128m")  # with less, an engine under load may fail to start the container
    _, outcome = execute(probes, "x = b'x' * 200_000_000")
    assert outcome.ti.state == "up_for_retry"
    assert re.search(f"137: {OUT_OF_MEMORY}, it may use 128m; do: raise ML_STAGE_MEMORY", str(outcome.error))


def test_container_is_confined(probes: Airflow) -> None:
    run, _ = execute(probes, CONFINEMENT)
    assert probes.result(run, "probe") == {
        "user": [10001, 10001],
        "capabilities": "0000000000000000",
        "no new privileges": "1",
        "networks": ["lo"],
        "connecting": "OSError 101",
        "writing to /": "OSError 30",
        "writing to /tmp": None,
        "writing to /data": None,
    }


SURROUNDINGS = """
import json, os
addresses = sorted(f"{name}={value}" for name, value in os.environ.items() if "MLFLOW" in name)
print(json.dumps({"networks": sorted(os.listdir("/sys/class/net")), "addresses": addresses}))
"""


def test_container_on_the_network_gets_the_addresses_there(probes: Airflow) -> None:
    run, outcome = execute(probes, SURROUNDINGS, "probe_on_the_network")
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe_on_the_network") == {
        "networks": ["eth0", "lo"],
        "addresses": [f"ML_MLFLOW_URI={MLFLOW}"],
    }


def test_container_without_a_network_gets_no_address(probes: Airflow) -> None:
    run, _ = execute(probes, SURROUNDINGS)
    assert probes.result(run, "probe") == {"networks": ["lo"], "addresses": []}


def test_command_by_hand_is_on_the_network_too(probes: Airflow) -> None:
    _, outcome = execute(probes, f"{SURROUNDINGS}\nraise SystemExit(3)", "probe_on_the_network")
    by_hand = str(outcome.error).partition("By hand: ")[2]
    again = subprocess.run(shlex.split(by_hand), capture_output=True, text=True)
    assert again.returncode == 3
    assert json.loads(again.stdout) == {"networks": ["eth0", "lo"], "addresses": [f"ML_MLFLOW_URI={MLFLOW}"]}


def test_network_without_a_name_fails_at_once_and_says_what_to_set(
    probes: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never runs on the engine's default network, which reaches everything."""
    monkeypatch.delenv("ML_MLFLOW_NETWORK")
    _, outcome = execute(probes, RESULT, "probe_on_the_network")
    assert outcome.ti.state == "failed"
    assert "ML_MLFLOW_NETWORK is unset or empty" in str(outcome.error)


def test_network_that_the_engine_does_not_have_is_named(probes: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: the container had been removed by somebody else."""
    monkeypatch.setenv("ML_MLFLOW_NETWORK", "airflow-ml_nowhere")
    _, outcome = execute(probes, RESULT, "probe_on_the_network")
    assert outcome.ti.state == "up_for_retry"
    assert "the engine has no network airflow-ml_nowhere, which ML_MLFLOW_NETWORK names" in str(outcome.error)


def test_container_of_a_task_that_only_reads_cannot_write(probes: Airflow) -> None:
    run, _ = execute(probes, CONFINEMENT, "probe_read_only")
    assert probes.result(run, "probe_read_only")["writing to /data"] == "OSError 30"


def test_container_knows_its_run_and_image(probes: Airflow, probe_lock: Path) -> None:
    code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('ML_')}))"
    run, _ = execute(probes, code)
    found = probes.result(run, "probe")
    assert (found["ML_DAG_ID"], found["ML_TASK_ID"], found["ML_TRY_NUMBER"]) == ("probes", "probe", "1")
    assert found["ML_RUN_ID"] == run.run_id
    assert found["ML_IMAGE_ID"] == json.loads(probe_lock.read_text())["images"]["probe"]["id"]


ANSWER_S, SILENT_S = 10, 15
CLOSING = f"import os, time; {RESULT}; os.close(1); os.close(2); time.sleep({SILENT_S})".replace(
    "}))", "}), flush=True)"
)


@pytest.mark.parametrize("code", [f"import time; time.sleep({SILENT_S}); {RESULT}", CLOSING])
def test_container_silent_for_longer_than_an_answer_may_take_is_waited_for(
    probes: Airflow, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    follow = DockerEngine.follow

    def follow_briefly(self: DockerEngine, container: str, seconds: float) -> Iterator[Output]:
        """All other answers may take their time: a busy engine needs it to start a container."""
        self._client.timeout = ANSWER_S
        yield from follow(self, container, seconds)
        self._client.timeout = PATIENCE_S

    monkeypatch.setattr(DockerEngine, "follow", follow_briefly)
    _, outcome = execute(probes, code)
    assert outcome.ti.state == "success"


def test_task_that_takes_too_long_leaves_no_container(probes: Airflow, engine: Engine) -> None:
    run, outcome = execute(probes, "import time; time.sleep(600)", "probe_briefly")
    assert outcome.ti.state == "up_for_retry"
    assert type(outcome.error).__name__ == "AirflowTaskTimeout"
    assert engine.containers(run.run_id) == []


@pytest.fixture
def _own_signal_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_own_signal_handler")
@pytest.mark.parametrize("code", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
def test_task_that_is_killed_leaves_no_container(probes: Airflow, engine: Engine, code: str) -> None:
    """Airflow's supervisor sends SIGTERM; here a thread does, once the container runs."""
    run = probes.manual("probes", day("2026-11-21"), {"code": code + "print('up'); import time; time.sleep(600)"})

    def kill_once_it_runs() -> None:
        while not any("up" in docker("logs", container) for container in engine.containers(run.run_id)):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=kill_once_it_runs, daemon=True)
    killer.start()
    outcome = probes.run_task(run, "probe")
    killer.join()
    assert outcome.ti.state == "up_for_retry"
    assert engine.containers(run.run_id) == []


COUNTED = f"""
import pathlib
with pathlib.Path("/data/starts").open("a") as file:
    file.write("x")
{HELD}{RESULT}
"""
WORKER = """
import json, sys
from airflow.models import DagRun
from airflow.utils.session import create_session
from tests.dags.runs import Airflow
airflow = Airflow.__new__(Airflow)  # on the database that is there
airflow.files = json.loads(sys.argv[1])
with create_session() as session:
    run = session.query(DagRun).filter(DagRun.run_id == sys.argv[2]).one()
airflow.run_task(run, "probe")
"""
STARTS = (
    "import json, pathlib; f = pathlib.Path('/data/starts'); print(json.dumps({'n': len(f.read_text())})); f.unlink()"
)


def test_next_try_joins_the_container_of_a_worker_that_is_killed(probes: Airflow, engine: Engine) -> None:
    """The work goes on without its worker, and is not done twice."""
    run = probes.manual("probes", day("2026-11-21"), {"code": COUNTED})
    places = {**os.environ, "PYTHONPATH": f"{ROOT}:{DAGS}"}
    files = json.dumps(probes.files)
    worker = subprocess.Popen([sys.executable, "-c", WORKER, files, run.run_id], env=places)
    while not engine.containers(run.run_id, "running"):
        assert worker.poll() is None
        time.sleep(0.1)
    worker.kill()
    worker.wait()
    engine.let_go(run.run_id)
    assert probes.run_task(run, "probe").ti.state == "success"
    assert probes.result(run, "probe")["rows"] == 3
    assert engine.containers(run.run_id) == []
    run, _ = execute(probes, STARTS)
    assert probes.result(run, "probe") == {"n": 1}


@pytest.mark.parametrize(
    "change", [{}, {"last-try": "0"}, {"last-try": "2", "command": "import time; time.sleep(600)"}]
)
def test_container_that_does_other_work_is_removed_not_joined(
    probes: Airflow, engine: Engine, change: dict[str, str]
) -> None:
    """A person cleared the task, or its command is another one: two containers would write the same files."""
    run = probes.manual("probes", day("2026-11-21"), {"code": RESULT})
    labels = {"dag": "probes", "task": "probe", "run": run.run_id, "map-index": "-1", "data": engine.name, "try": "1"}
    command = change.pop("command", RESULT)

    def start(labels: dict[str, str]) -> str:
        options = [word for key, value in labels.items() for word in ("--label", f"airflow-ml.{key}={value}")]
        return docker("run", "--detach", *options, engine.tags[0], "-c", command)[:12]

    start({**labels, **change})
    other = start({**labels, "task": "another"})
    assert probes.run_task(run, "probe").ti.state == "success"
    assert engine.containers(run.run_id) == [other]
    docker("rm", "--force", other)


def test_container_that_has_failed_is_removed_not_joined(probes: Airflow, engine: Engine) -> None:
    """As when its machine lost its power: the next try does the work again, it does not end as that one did."""
    code = f"import os, time; time.sleep(600 * ('HANGS' in os.environ)); {RESULT}"
    run = probes.manual("probes", day("2026-11-21"), {"code": code})
    labels = {
        "dag": "probes", "task": "probe", "run": run.run_id, "map-index": "-1", "data": engine.name, "try": "1",
        "last-try": "2",
    }  # fmt: skip
    options = [word for key, value in labels.items() for word in ("--label", f"airflow-ml.{key}={value}")]
    container = docker("run", "--detach", "--env=HANGS=", *options, engine.tags[0], "-c", code)
    docker("kill", container)
    docker("wait", container)
    assert probes.run_task(run, "probe").ti.state == "success"
    assert engine.containers(run.run_id) == []


@pytest.fixture
def _no_patience(_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every container takes longer than a worker waits."""
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)


SLOW = f"""
import sys
for number in range(3):
    print(f"2026-11-21T21:34:26Z WARNING probe run: line {{number}}", file=sys.stderr, flush=True)
    if not number:
        exec({HELD!r})
{RESULT}
"""


@pytest.mark.usefixtures("_no_patience")
def test_long_work_holds_no_worker(probes: Airflow, engine: Engine) -> None:
    with structlog.testing.capture_logs() as logs:
        run, outcome = execute(probes, SLOW)
        assert outcome.ti.state == "deferred"
        engine.let_go(run.run_id)
        probes.fire_trigger(run, "probe", PATIENCE_S)
        outcome = probes.run_task(run, "probe", new_try=False)
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe") == {"ds": "2026-11-21", "rows": 3}
    assert probes.asset_events(run) == [("raw", {"ds": "2026-11-21", "rows": 3})]
    assert engine.containers(run.run_id) == []
    lines = [log["event"] % log.get("positional_args", ()) for log in logs]
    assert [line for line in lines if line.startswith("line ")] == ["line 0", "line 1", "line 2"]


@pytest.mark.usefixtures("_no_patience")
def test_container_that_ends_while_the_worker_hangs_has_its_result_read(
    probes: Airflow, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's time was over before it had read everything; when it looks again, the container has ended."""
    look = DockerEngine.state

    def look_late(self: DockerEngine, container: str) -> State:
        if docker("inspect", "--format={{.State.Running}}", container) == "true":
            docker("exec", container, "python", "-c", "open('/tmp/go', 'w')")
        docker("wait", container)
        return look(self, container)

    monkeypatch.setattr(DockerEngine, "state", look_late)
    with structlog.testing.capture_logs() as logs:
        run, outcome = execute(probes, SLOW)
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe") == {"ds": "2026-11-21", "rows": 3}
    assert engine.containers(run.run_id) == []
    lines = [log["event"] % log.get("positional_args", ()) for log in logs]
    assert [line for line in lines if line.startswith("line ")] == ["line 0", "line 1", "line 2"]


def test_log_that_was_cut_off_is_read_again(probes: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the client, a connection that ends is the end of the log."""
    follow, cut = DockerEngine.follow, []

    def follow_once(self: DockerEngine, container: str, seconds: float) -> Iterator[Output]:
        output = list(follow(self, container, seconds))
        if not cut:
            cut.append(output.pop(next(place for place, (stdout, _) in enumerate(output) if stdout)))
        yield from output

    monkeypatch.setattr(DockerEngine, "follow", follow_once)
    run, outcome = execute(probes, RESULT)
    assert cut
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe")["rows"] == 3


@pytest.mark.usefixtures("_no_patience")
def test_time_limit_is_that_of_all_waits_together(probes: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trigger that fires early sends the task to another wait, which had the whole limit again."""
    run, _ = execute(probes, "import time; time.sleep(600)")
    waiting = probes.waiting(run, "probe")
    Trigger.submit_event(waiting.trigger_id, TriggerEvent(probes.trigger(run, "probe").container))  # type: ignore[attr-defined]
    # Nearly the whole limit is spent, as this process sees it; Airflow still counts from now.
    monkeypatch.setattr(operator, "time", lambda: time.time() + 100)
    assert probes.run_task(run, "probe", new_try=False).ti.state == "deferred"
    assert probes.waiting(run, "probe").trigger_timeout < waiting.trigger_timeout
    asyncio.run(probes.trigger(run, "probe").on_kill())


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (f"{HELD}raise SystemExit(1)", "probe ended with exit code 1: the stage failed"),
        ("import time; time.sleep(600)", "has been removed by somebody else (a retry may help)"),
    ],
)
def test_failure_of_long_work_is_reported_as_that_of_short_work(
    probes: Airflow, engine: Engine, code: str, message: str
) -> None:
    run, _ = execute(probes, code)
    if "600" in code:
        docker("rm", "--force", *engine.containers(run.run_id))
    else:
        engine.let_go(run.run_id)
    probes.fire_trigger(run, "probe", PATIENCE_S)
    outcome = probes.run_task(run, "probe", new_try=False)
    assert outcome.ti.state == "up_for_retry"
    assert message in str(outcome.error)
    assert engine.containers(run.run_id) == []


LATE_LINE = f"{HELD}import sys; print('2026-11-21T21:34:26Z WARNING probe run: late line', file=sys.stderr, flush=True)"


def time_out(probes: Airflow, run: DagRun) -> TaskRunResult:
    """What the scheduler does when a task has waited for too long, and the worker after it."""
    probes.let_wait_end(run, "probe")
    return probes.run_task(run, "probe", new_try=False)


@pytest.mark.usefixtures("_no_patience")
def test_time_limit_holds_while_the_triggerer_waits(probes: Airflow, engine: Engine) -> None:
    run, outcome = execute(probes, f"{LATE_LINE}; time.sleep(600)")
    assert outcome.ti.state == "deferred"
    engine.let_go(run.run_id)
    (container,) = engine.containers(run.run_id)
    wait_until(lambda: "late line" in harness.docker("logs", container).stderr, "the line is written")
    with structlog.testing.capture_logs() as logs:
        outcome = time_out(probes, run)
    assert outcome.ti.state == "up_for_retry"
    assert "probe did not end within 0:02:00, the task's execution_timeout" in str(outcome.error)
    assert "late line" in [log["event"] % log.get("positional_args", ()) for log in logs]
    assert engine.containers(run.run_id) == []


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize(
    ("end", "state", "message"), [(RESULT, "success", ""), ("raise SystemExit(3)", "failed", "exit code 3: bad input")]
)
def test_container_that_has_ended_when_the_time_is_over_is_collected(
    probes: Airflow, engine: Engine, end: str, state: str, message: str
) -> None:
    """No triggerer looked, so the scheduler ended the wait: the work that was done counts."""
    run, outcome = execute(probes, f"{LATE_LINE}\n{end}")
    assert outcome.ti.state == "deferred"
    engine.let_go(run.run_id)
    docker("wait", *engine.containers(run.run_id))
    with structlog.testing.capture_logs() as logs:
        outcome = time_out(probes, run)
    assert outcome.ti.state == state, outcome.error
    assert message in str(outcome.error)
    if state == "success":
        assert probes.result(run, "probe") == {"ds": "2026-11-21", "rows": 3}
    assert [log["event"] % log.get("positional_args", ()) for log in logs].count("late line") == 1
    assert engine.containers(run.run_id) == []


@pytest.mark.usefixtures("_no_patience")
def test_wait_that_fails_leaves_no_container(probes: Airflow, engine: Engine) -> None:
    run, _ = execute(probes, "import time; time.sleep(600)")
    Trigger.submit_failure(probes.waiting(run, "probe").trigger_id)
    outcome = probes.run_task(run, "probe", new_try=False)
    assert outcome.ti.state == "up_for_retry"
    assert "probe could not be waited for" in str(outcome.error)
    assert engine.containers(run.run_id) == []


@pytest.mark.usefixtures("_no_patience")
def test_person_who_stops_the_task_stops_the_container(probes: Airflow, engine: Engine) -> None:
    run, _ = execute(probes, "import time; time.sleep(600)")
    assert engine.containers(run.run_id)
    asyncio.run(probes.trigger(run, "probe").on_kill())
    assert engine.containers(run.run_id) == []


def test_triggerer_waits_for_an_engine_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    trigger = ContainerTrigger("0" * 64, {"airflow-ml.data": "data"})

    async def wait() -> None:
        await asyncio.wait_for(anext(trigger.run()), timeout=2)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())


@pytest.mark.parametrize("change", [{"image": "airflow-ml-base:nowhere"}, {"id": "sha256:0"}])
def test_image_that_is_not_the_locked_one_is_never_pulled_or_run(
    probes: Airflow, probe_lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
) -> None:
    content = json.loads(probe_lock.read_text())
    content["images"]["probe"] |= change
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(content))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    _, outcome = execute(probes, RESULT)
    assert outcome.ti.state == "failed"
    assert "./build_images.sh" in str(outcome.error)
    assert content["images"]["probe"]["image"] in str(outcome.error)


def test_host_folder_as_data_gets_files_of_its_owner(
    probes: Airflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.getuid() or 12345
    folder = tmp_path / "data"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, owner, owner)
    for name, value in {"ML_DATA": str(folder), "ML_UID": str(owner), "ML_GID": str(owner)}.items():
        monkeypatch.setenv(name, value)
    _, outcome = execute(probes, f"import pathlib; pathlib.Path('/data/new').write_text('x'); {RESULT}")
    assert outcome.ti.state == "success"
    assert (folder / "new").stat().st_uid == owner
