"""Data that comes late, comes torn, or does not come: the run waits in the triggerer, and says why when it gives up."""

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness import PATIENCE_S

from .conftest import DAY, RUN_TIMEOUT_S, Results, Stack, compose_stack, data

TASK, LATE = "wait_for_raw", "2026-05-10"
# Eleven seconds. The scheduler looks every 15 whose wait is over.
BRIEF_HOURS = 0.003


def task_of(stack: Stack, dag: str, run: str) -> dict[str, Any]:
    (task,) = (task for task in stack.airflow.tasks(dag, run) if task["task_id"] == TASK)
    return task


def wait_for_state(stack: Stack, dag: str, run: str, state: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while task_of(stack, dag, run)["state"] != state:
        assert time.monotonic() < deadline, stack.explain(dag, run)
        time.sleep(0.5)


def generate(ds: str) -> None:
    """The feed comes from outside of Airflow."""
    data.generate(ds)


@dataclass(frozen=True)
class Waiting:
    """A run that waits for LATE, its tasks meanwhile, and what became of other waits while another Dag ran."""

    run: str
    tasks: dict[str, str | None]
    others: list[str]


@pytest.fixture(scope="module")
def waiting(stack: Stack, day: Results) -> Waiting:
    """As many runs wait for their day as there are workers; all but the first are given up then."""
    # A Dag has at most three runs at a time, training one.
    waits = [("predict", LATE), ("predict", "2026-04-01"), ("predict", "2026-04-02"), ("train_model", "2026-04-01")]
    runs = [(dag, stack.airflow.trigger(dag, {"ds": ds})) for dag, ds in waits]
    assert len(runs) >= int(compose_stack.settings()["ML_PARALLELISM"])
    try:
        for dag, run in runs:
            wait_for_state(stack, dag, run, "deferred")
        waiting_since = time.monotonic()
        stack.run("generate_data", {"ds": "2026-04-30", "rows": 1000})
        time.sleep(max(0, 16 - (time.monotonic() - waiting_since)))  # one look of the triggerer at least
        tasks = {task["task_id"]: task["state"] for task in stack.airflow.tasks(*runs[0])}
        return Waiting(runs[0][1], tasks, [task_of(stack, dag, run)["state"] for dag, run in runs[1:]])
    finally:
        for dag, run in runs[1:]:
            stack.airflow.request("PATCH", f"/dags/{dag}/dagRuns/{run.replace('+', '%2B')}", {"state": "failed"})


def test_waiting_runs_hold_no_worker(waiting: Waiting) -> None:
    """Another Dag has run to its end meanwhile, and those that wait go on waiting."""
    assert waiting.others == ["deferred"] * len(waiting.others)


def test_run_waits_deferred_for_late_data_and_goes_on(stack: Stack, waiting: Waiting) -> None:
    run, states = waiting.run, dict(waiting.tasks)
    assert states.pop(TASK) == "deferred"
    assert states
    assert set(states.values()) == {None}
    generate(LATE)
    assert stack.airflow.wait("predict", run, RUN_TIMEOUT_S) == "success", stack.explain("predict", run)
    assert f"predictions/{LATE}/predictions.csv" in data.files()
    log = stack.airflow.log_of("predict", run, task_of(stack, "predict", run))
    assert f"Waiting for /data/raw/{LATE}/_meta.json, 12 hours at most; now there is no /data/raw/{LATE}" in log
    assert f"Found /data/raw/{LATE}/_meta.json" in log


def restarts_of_triggerer() -> int:
    """How often the engine has restarted the triggerer's container."""
    container = compose_stack.compose("ps", "--quiet", "triggerer").stdout.strip()
    command = ["docker", "inspect", "--format", "{{.RestartCount}}", container]
    return int(subprocess.run(command, text=True, capture_output=True, check=True).stdout)


def wait_for_watcher(stack: Stack, run: str, other_than: int | None) -> int:
    """Wait until a triggerer has taken the wait of a run, such as another one; returns its job's number."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        task = task_of(stack, "predict", run)
        assert task["state"] == "deferred", stack.explain("predict", run)
        watcher = (task["triggerer_job"] or {}).get("id")
        if watcher not in (None, other_than):
            return int(watcher)
        assert time.monotonic() < deadline, f"still watched by {watcher}"
        time.sleep(0.5)


@pytest.mark.usefixtures("day")
def test_wait_outlives_the_triggerer_that_watched(stack: Stack) -> None:
    ds = "2026-05-16"
    run = stack.airflow.trigger("predict", {"ds": ds})
    wait_for_state(stack, "predict", run, "deferred")
    watcher, restarts = wait_for_watcher(stack, run, None), restarts_of_triggerer()
    # From inside, as when memory runs out: what `docker kill` ends, the engine takes for stopped on purpose.
    kill = "import os, signal; os.kill(-1, signal.SIGKILL)"
    compose_stack.compose("exec", "-T", "triggerer", "python", "-c", kill)
    wait_for_watcher(stack, run, watcher)
    assert restarts_of_triggerer() == restarts + 1
    generate(ds)
    assert stack.airflow.wait("predict", run, RUN_TIMEOUT_S) == "success", stack.explain("predict", run)
    log = stack.airflow.log_of("predict", run, task_of(stack, "predict", run))
    assert f"Found /data/raw/{ds}/_meta.json" in log


# What is found instead of a day by the wait of a Dag that ends.
FOUND = {
    ("predict", "2026-05-12"): "there is no /data/raw/2026-05-12; ",
    ("train_model", "2026-05-13"): "/data/raw/2026-05-13 holds data.csv, without a mark",
}


@pytest.fixture(scope="module")
def ended(stack: Stack) -> dict[str, str]:
    """A run of each of these Dags, at the same time, whose wait has ended; the run by Dag."""
    torn = "/data/raw/2026-05-13"
    data.python(f"import os; os.makedirs('{torn}'); open('{torn}/data.csv', 'w').write('a,b')")
    runs = {dag: stack.airflow.trigger(dag, {"ds": ds, "wait_hours": BRIEF_HOURS}) for dag, ds in FOUND}
    for dag, run in runs.items():
        assert stack.airflow.wait(dag, run, RUN_TIMEOUT_S) == "failed"
    return runs


@pytest.mark.parametrize(("dag", "ds"), FOUND)
def test_wait_that_ends_without_the_data_says_what_is_there(
    stack: Stack, ended: dict[str, str], dag: str, ds: str
) -> None:
    run, found = ended[dag], FOUND[dag, ds]
    task = task_of(stack, dag, run)
    assert (task["state"], task["try_number"]) == ("failed", 1)
    log = stack.airflow.log_of(dag, run, task)
    assert f"waited {BRIEF_HOURS} hours for raw/{ds}: {found}" in log
    assert f"expected /data/raw/{ds}/_meta.json" in log
    assert f"do: publish {ds}" in log
    before = {TASK, "check_parameters"}
    after = {other["state"] for other in stack.airflow.tasks(dag, run) if other["task_id"] not in before}
    assert after == {"upstream_failed"}


@pytest.mark.usefixtures("day")
def test_day_that_is_there_needs_no_deferral(stack: Stack) -> None:
    run = stack.last_run("predict", DAY)
    assert task_of(stack, "predict", run)["trigger"] is None
    log = stack.airflow.log_of("predict", run, task_of(stack, "predict", run))
    assert f"Found /data/raw/{DAY}/_meta.json" in log
    assert "Waiting for" not in log


@pytest.mark.parametrize("service", ["scheduler", "triggerer"])
@pytest.mark.usefixtures("stack")
def test_airflow_sees_the_data_and_cannot_write_it(service: str) -> None:
    code = "import os; print(sorted(os.listdir('/data'))); open('/data/new', 'w')"
    done = compose_stack.compose("exec", "-T", service, "python", "-c", code)
    assert "raw" in done.stdout
    assert "Read-only file system" in done.stderr


@pytest.mark.parametrize("service", ["api-server", "dag-processor"])
@pytest.mark.usefixtures("stack")
def test_services_that_need_no_data_see_none(service: str) -> None:
    """The image's own folder of that name is empty."""
    done = compose_stack.compose("exec", "-T", service, "python", "-c", "import os; print(os.listdir('/data'))")
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("data", "mount", "kind", "source"),
    [("other", "data", "volume", "other"), ("/srv/data", "/srv/data", "bind", "/srv/data")],
)
def test_volume_and_host_folder_are_mounted_where_they_are_needed(
    monkeypatch: pytest.MonkeyPatch, data: str, mount: str, kind: str, source: str
) -> None:
    monkeypatch.setenv("ML_DATA", data)
    monkeypatch.setenv("ML_DATA_MOUNT", mount)
    config = json.loads(compose_stack.compose("config", "--format", "json").stdout)
    found = {
        (service, one["type"], config["volumes"][one["source"]]["name"] if one["type"] == "volume" else one["source"])
        for service, settings in config["services"].items()
        for one in settings.get("volumes", [])
        if one["target"] == "/data" and one["read_only"]
    }
    assert found == {(service, kind, source) for service in ("scheduler", "triggerer", "reports")}
