"""Whoever is to be woken is: each kind of failure reaches a web hook and a mail server, once, with what helps."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import PATIENCE_S, ROOT, images

from .conftest import PROJECT, RUN_TIMEOUT_S, Stack, compose_stack, data

# Read when the stack starts, which is after this file was.
os.environ["ML_ALERT_URLS"] = (
    "json://receiver:8099/hook, mailto://receiver:2525/?from=airflow@example.com&to=you@example.com"
)
RECEIVER = f"{PROJECT}-receiver"
TRAINED, DAY, SCORED = "2026-01-31", "2026-02-01", "2026-02-02"
# A message that is not to come has time to come.
SILENCE_S = 5

Messages = list[dict[str, Any]]


class Receiver:
    """A web hook and a mail server in a container beside the stack."""

    def __init__(self) -> None:
        code = (Path(__file__).parents[1] / "receivers.py").read_text()
        network = ["--network", f"{PROJECT}_default", "--network-alias", "receiver"]
        command = ["docker", "run", "--detach", "--rm", "--name", RECEIVER, *network, images()["base"]]
        subprocess.run([*command, "-c", code, "8099", "2525"], check=True, capture_output=True)

    def messages(self, run: str) -> Messages:
        """What came of a run."""
        done = subprocess.run(["docker", "logs", RECEIVER], check=True, capture_output=True, text=True)
        return [found for line in done.stdout.splitlines() if f"Run: {run}" in (found := json.loads(line))["text"]]

    def wait(self, *runs: str) -> None:
        """Wait until each run has reached both, and then for what should not come."""
        deadline = time.monotonic() + PATIENCE_S
        while any(len(self.messages(run)) < 2 for run in runs) and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(SILENCE_S)

    def both(self, run: str) -> Messages:
        """The messages of a run: one by each of the two ways, and no more."""
        found = self.messages(run)
        assert sorted(one["by"] for one in found) == ["http", "smtp"], found
        return found

    def stop(self) -> None:
        subprocess.run(["docker", "rm", "--force", RECEIVER], capture_output=True, check=False)


@pytest.fixture(scope="module")
def receiver(stack: Stack) -> Iterator[Receiver]:
    _wait_for_dag(stack, "alert_deadline")
    receiver = Receiver()
    yield receiver
    receiver.stop()


def _wait_for_dag(stack: Stack, dag: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while dag not in {found["dag_id"] for found in stack.airflow.request("GET", "/dags?limit=100")["dags"]}:
        errors = stack.airflow.request("GET", "/importErrors")["import_errors"]
        assert time.monotonic() < deadline, errors
        time.sleep(1)


# What the message says: how the title begins, and a fact.
EXPECTED = {
    "alert_bad_data": (f"[error] alert_bad_data: probe failed for {DAY}: ", "Exit code: 3: bad input data"),
    # The scheduler tries this one twice.
    "alert_memory": (f"[error] alert_memory: probe failed for {DAY}: ", "Try: 2 of 2"),
    "alert_image": (
        f"[error] alert_image: probe failed for {DAY}: ",
        "not sha256:0 (engine unix:///run/engine-proxy/engine.sock); do: run ./build_images.sh",
    ),
    "alert_breach": (f"[warning] alert_breach: probe found 1 breach for {SCORED}: ", "Breach 1"),
}
TORN = (
    f"import os; os.makedirs('/data/raw/{DAY}', exist_ok=True); open('/data/raw/{DAY}/_meta.json', 'w').write('torn')"
)


def score_a_day(ds: str) -> None:
    """By hand, as quick as can be: what `evaluate` reads."""
    data.make_model(TRAINED, '--params-json={"num_boost_round": 5}')
    data.generate(ds)
    data.score(ds, f"models/{TRAINED}")
    data.label(ds)


@pytest.fixture(scope="module")
def runs(stack: Stack, receiver: Receiver) -> dict[str, str]:
    """A run of each Dag, at the same time, also of the one that runs every minute; the run by Dag."""
    data.python(TORN)
    score_a_day(SCORED)
    data.evaluate(SCORED, {"floors": {"roc_auc": 1}})
    days = {dag: SCORED if dag == "alert_breach" else DAY for dag in EXPECTED}
    started = {dag: stack.airflow.trigger(dag, {"ds": ds}) for dag, ds in days.items()}
    scheduled = first_scheduled_run(stack, "alert_deadline")
    for dag, run in started.items():
        expected = "success" if dag == "alert_breach" else "failed"
        assert stack.airflow.wait(dag, run, RUN_TIMEOUT_S) == expected, stack.explain(dag, run)
    receiver.wait(*started.values(), scheduled)
    return {**started, "alert_deadline": scheduled}


def first_scheduled_run(stack: Stack, dag: str) -> str:
    """Let a Dag run as its schedule says until it has a run."""
    stack.airflow.pause(dag, paused=False)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := stack.airflow.request("GET", f"/dags/{dag}/dagRuns?limit=1")["dag_runs"]):
            assert time.monotonic() < deadline, f"{dag} has no run"
            time.sleep(0.5)
    finally:
        stack.airflow.pause(dag)
    return str(found[0]["dag_run_id"])


@pytest.mark.parametrize("dag", EXPECTED)
def test_failure_reaches_web_hook_and_mail_once(receiver: Receiver, runs: dict[str, str], dag: str) -> None:
    title, fact = EXPECTED[dag]
    for message in receiver.both(runs[dag]):
        assert message["title"].startswith(title)
        assert fact in message["text"]
        assert f"/dags/{dag}/runs/" in message["text"]
        assert "By hand: docker run --rm " in message["text"]


def test_alerts_are_kept_where_a_person_reads_them(runs: dict[str, str]) -> None:
    done = subprocess.run(
        [str(ROOT / "airflow-ml"), "alerts", "--last=50"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for dag, run in runs.items():
        assert done.stdout.count(f"Run: {run}") == 1, (dag, done.stdout)


def test_addresses_of_the_services_are_on_no_page_and_in_no_log(
    stack: Stack, receiver: Receiver, runs: dict[str, str]
) -> None:
    """They may hold a password; the secret is a file, and no variable."""
    run = runs["alert_memory"]
    (task,) = stack.airflow.tasks("alert_memory", run)
    log = stack.airflow.log_of("alert_memory", run, task)
    assert "Alert '[error] alert_memory: probe failed" in log
    assert "receiver" not in log
    container = compose_stack.compose("ps", "--quiet", "scheduler").stdout.strip()
    assert "receiver:" not in subprocess.run(["docker", "inspect", container], capture_output=True, text=True).stdout


def containers(run: str) -> list[str]:
    """The running containers of a run."""
    command = ["docker", "ps", "--quiet", "--filter", f"label=airflow-ml.run={run}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def start(stack: Stack, dag: str, ds: str) -> str:
    """A run whose container works for a while; waits until it does."""
    run = stack.airflow.trigger(dag, {"ds": ds})
    deadline = time.monotonic() + PATIENCE_S
    while not containers(run):
        assert time.monotonic() < deadline, stack.explain(dag, run)
        time.sleep(0.2)
    return run


def wait_for_try(stack: Stack, dag: str, run: str, number: int) -> None:
    """Wait until a try runs our code, which begins with the command by hand; Airflow calls it running before."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(_works(stack, dag, run, task, number) for task in stack.airflow.tasks(dag, run)):
        assert time.monotonic() < deadline, stack.explain(dag, run)
        time.sleep(0.2)


def _works(stack: Stack, dag: str, run: str, task: dict[str, Any], number: int) -> bool:
    is_running = (task["try_number"], task["state"]) == (number, "running")
    return is_running and "By hand: " in stack.airflow.log_of(dag, run, task)


def wait_until_none_is_left(run: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while containers(run):
        assert time.monotonic() < deadline, "the container goes on"
        time.sleep(0.5)


def remove_containers(run: str) -> None:
    """What a try left that could not remove it."""
    for container in containers(run):
        subprocess.run(["docker", "rm", "--force", container], check=True, capture_output=True)


def test_engine_that_stops_sends_one_alert(stack: Stack, receiver: Receiver) -> None:
    """In the middle of the first try; the second finds no engine either."""
    run = start(stack, "alert_held", "2026-02-03")
    assert compose_stack.compose("stop", "--timeout", "1", "engine-proxy").returncode == 0
    try:
        assert stack.airflow.wait("alert_held", run, RUN_TIMEOUT_S) == "failed"
        receiver.wait(run)
        for message in receiver.both(run):
            assert "Error: the engine at unix:///run/engine-proxy/engine.sock does not answer" in message["text"]
            assert "Try: 2 of 2" in message["text"]
    finally:
        assert compose_stack.compose("start", "engine-proxy").returncode == 0
        remove_containers(run)


KILL_TASK = """
import os, signal
for name in os.listdir('/proc'):
    try:
        command = open(f'/proc/{name}/cmdline').read() if name.isdigit() else ''
    except OSError:
        continue
    if 'airflow worker -- ' in command and 'LocalExecutor' not in command:
        os.kill(int(name), signal.SIGKILL)
        print(command)
"""


def test_task_whose_process_is_killed_sends_one_alert(stack: Stack, receiver: Receiver) -> None:
    """It cannot send it: the Dag processor does. The container goes on, and the second try joins it. After the last try
    nobody will: the scheduler removes it."""
    run = start(stack, "alert_held", "2026-02-04")
    try:
        (container,) = containers(run)
        for number in (1, 2):
            wait_for_try(stack, "alert_held", run, number)
            assert containers(run) == [container]
            assert compose_stack.compose("exec", "-T", "scheduler", "python", "-c", KILL_TASK).stdout
        assert stack.airflow.wait("alert_held", run, RUN_TIMEOUT_S) == "failed"
        wait_until_none_is_left(run)
        receiver.wait(run)
        for message in receiver.both(run):
            assert "the task's own process ended without a message" in message["text"]
            assert "By hand: docker run --rm " in message["text"]
    finally:
        remove_containers(run)


def test_person_who_marks_a_long_task_failed_stops_its_container(stack: Stack) -> None:
    """A task that waits in the triggerer has no process of its own that could be stopped. The person is quick: often
    the triggerer has not begun to wait."""
    run = start(stack, "alert_long", "2026-02-06")
    try:
        deadline = time.monotonic() + PATIENCE_S
        while [task["state"] for task in stack.airflow.tasks("alert_long", run)] != ["deferred"]:
            assert time.monotonic() < deadline, stack.explain("alert_long", run)
            time.sleep(0.05)
        task = f"/dags/alert_long/dagRuns/{quote(run)}/taskInstances/probe"
        stack.airflow.request("PATCH", task, {"new_state": "failed"})
        assert stack.airflow.wait("alert_long", run, RUN_TIMEOUT_S) == "failed"
        wait_until_none_is_left(run)
    finally:
        remove_containers(run)


def test_make_up_heals_a_service_that_hangs(stack: Stack) -> None:
    """The engine starts only again what has ended."""
    container = compose_stack.container_of("reports")
    subprocess.run(["docker", "pause", container], check=True, capture_output=True)
    assert [one.name for one in compose_stack.services() if one.hangs] == ["reports"]
    compose_stack.start()
    assert all(one.is_well for one in compose_stack.services())


def test_missed_deadline_of_a_scheduled_run_sends_one_alert(receiver: Receiver, runs: dict[str, str]) -> None:
    for message in receiver.both(runs["alert_deadline"]):
        assert "alert_deadline: nowhere of " in message["title"]
        assert message["title"].endswith("missed the deadline, 00:00 UTC")
