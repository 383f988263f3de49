"""Many tasks that wait at once for their containers, with few workers: how many, what each takes, what each costs.

The containers sleep, in the base image with a module of one line as their stage. They run under the operator, through
the engine proxy, as any task does. The stack is a compose project of its own, with Dags of its own.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from airflow_ml import stack
from airflow_ml.airflow_api import Airflow
from airflow_overhead import DATA, ENVIRONMENT, running_stack, seconds_of
from figures import Row
from lab import INSIDE, NAME, alternate, read_lock

WORKERS = 4
# A task waits in the triggerer if its container runs for longer than a worker is patient.
ALONE_S = 15
# A worker is patient for ten seconds; with as many tasks as here, for one. They sleep until all of them do.
PATIENCE_S, SLEEP_S, SETTLE_S, LONGEST_S = 1, 7200, 20, 1200
MEMORY = "32m"
# As any stage it finds done what is done: the file of each container says whether it has worked, or only looked.
SLEEPER = """
import json, os, sys, time
from pathlib import Path
folder = Path("/data/starts", os.environ.get("ML_RUN_ID", "by-hand"), os.environ.get("ML_TASK_ID", ""))
folder.mkdir(parents=True, exist_ok=True)
is_done = (folder / "done").exists()
(folder / f"{os.environ['HOSTNAME']}.{'looked' if is_done else 'worked'}").touch()
time.sleep(0 if is_done else float(sys.argv[1]))
(folder / "done").touch()
print(json.dumps({"slept": sys.argv[1]}))
"""
DOCKERFILE = """
FROM {base}
COPY sleeper.py /opt/stage/sleeper.py
ENTRYPOINT ["/usr/bin/tini", "--", "python", "/opt/stage/sleeper.py"]
"""
HEAD = f"""
from datetime import timedelta
from airflow.sdk import DAG
from ml import dag_defaults, operator
from ml.operator import StageOperator
operator.PATIENCE = timedelta(seconds={PATIENCE_S})
"""
ONE = """
from airflow.sdk import DAG
from ml import dag_defaults
from ml.operator import StageOperator
with DAG("one", schedule=None, params={"seconds": 1}, **dag_defaults()):
    StageOperator(task_id="sleep", stage="sleeper", command=["{{ params.seconds }}"])
"""
MANY = """{head}
with DAG("many", schedule=None, max_active_tasks={count}, **dag_defaults()):
    for number in range({count}):
        StageOperator(task_id=f"sleep_{{number}}", stage="sleeper", command=["{seconds}"])
"""


@contextmanager
def sleeping_stack(dags: Mapping[str, str], *compose_files: str) -> Iterator[tuple[Airflow, str]]:
    """The stack with Dags, each the text of its file, and the name of the image that sleeps."""
    image = f"airflow-ml-sleeper:{NAME}"
    with tempfile.TemporaryDirectory(prefix=NAME) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "sleeper.py").write_text(SLEEPER)
        (folder / "Dockerfile").write_text(DOCKERFILE.format(base=read_lock()["base"]))
        _docker("build", "--quiet", "--tag", image, name)
        try:
            entry = {"image": image, "id": _docker("image", "inspect", "--format", "{{.Id}}", image)}
            (folder / "images.lock.json").write_text(json.dumps({"version": 1, "images": {"sleeper": entry}}))
            for dag, text in dags.items():
                (folder / f"{dag}_dag.py").write_text(text)
            shutil.copy(INSIDE / "measure.py", folder)
            files = ["docker-compose.yml", "tests/benchmarks/waiting.compose.yml", *compose_files]
            os.environ |= {
                "COMPOSE_FILE": os.pathsep.join(files),
                "ML_BENCH_FOLDER": name,
                "ML_PARALLELISM": str(WORKERS),
            }
            ENVIRONMENT["ML_STAGE_MEMORY"] = MEMORY
            with running_stack() as airflow:
                _wait_for_dags(airflow, dags)
                yield airflow, image
        finally:
            _docker("image", "rm", "--force", image)


def waiting_tasks(count: int, repeats: int) -> list[Row]:
    """Figures of so many tasks at once, and of one alone beside `docker run`."""
    dags = {"one": ONE, "many": MANY.format(head=HEAD, count=count, seconds=SLEEP_S)}
    with sleeping_stack(dags) as (airflow, image):
        _run(airflow, "one", ALONE_S)  # warms both sides
        before = _triggerer_bytes()
        ours, theirs = alternate(lambda: _phases(airflow), lambda: _by_hand(image), repeats)
        short = [_run(airflow, "one", 1) for _ in range(repeats)]
        with _watching() as seen:
            started = time.monotonic()
            run = airflow.trigger("many", {})
            _await_slots(airflow, count)
            all_wait_s = time.monotonic() - started
            time.sleep(SETTLE_S)
            slots = airflow.request("GET", "/pools/default_pool")
            beside = [_run(airflow, "one", 1) for _ in range(repeats)]
        again = sum(times for (of, _), times in starts().items() if of == run) - count
    at_once = max(number for number, _ in seen)
    full = [memory for number, memory in seen if number >= count]
    per_task = (sorted(full)[len(full) // 2] - before) / count / 1e6
    alone, by_hand = min(ours, key=lambda phases: sum(phases.values())), min(theirs)
    added = sum(alone.values()) - by_hand
    samples = {"seen": seen, "slots": slots, "triggerer before": before}
    return [
        Row(f"{count} tasks that wait", f"{at_once} containers at once", f"{WORKERS} workers",
            at_once / WORKERS, "{:.0f} a worker", ">=", count // WORKERS, samples),
        Row(f"{count} tasks that wait: from the first until all do", f"{all_wait_s:.0f} s", f"{WORKERS} workers",
            count / all_wait_s * 60, "{:.0f} a minute"),
        Row(f"{count} tasks that wait: slots that they hold", f"{slots['running_slots']}", f"{WORKERS} workers",
            slots["running_slots"], "{:.0f}", "<=", 0),
        Row(f"{count} tasks that wait: containers started again", f"{again}", f"{count} tasks",
            again, "{:.0f}", "<=", 0),
        Row(f"a task of 1 s beside {count} that wait", f"{min(beside):.2f} s", f"alone: {min(short):.2f} s",
            min(beside) - min(short), "{:+.2f} s", samples={"beside": beside, "alone": short}),
        Row("memory of a task that waits", f"{per_task:.2f} MB", f"the triggerer without any: {before / 1e6:.0f} MB",
            per_task, "{:.2f} MB"),
        Row(f"a task that waits, {ALONE_S} s", f"{sum(alone.values()):.2f} s", f"docker run by hand: {by_hand:.2f} s",
            added, "{:+.2f} s", samples={"ours": ours, "theirs": theirs}),
        *(Row(f"a task that waits, {ALONE_S} s: {name}", f"{seconds:.2f} s", f"all of it: {sum(alone.values()):.2f} s",
              seconds, "{:.2f} s") for name, seconds in alone.items()),
    ]  # fmt: skip


def _phases(airflow: Airflow) -> dict[str, float]:
    """The seconds of a run of the Dag `one`, from its queueing to its end, in parts."""
    since = time.time()
    run = airflow.trigger("one", {"seconds": ALONE_S})
    _await_end(airflow, "one", run)
    path = f"/dags/one/dagRuns/{run}"
    found = airflow.request("GET", path)
    queued, ended = (datetime.fromisoformat(found[name]).timestamp() for name in ("queued_at", "end_date"))
    begun, died = _life(run, since)
    lines = airflow.request("GET", f"{path}/taskInstances/sleep/logs/1?full_content=true")["content"]
    # Each of the two processes of the task begins with it.
    begins = [line["timestamp"] for line in lines if line.get("event") == "::group::Pre Execute"]
    first, *_, second = sorted(datetime.fromisoformat(moment).timestamp() for moment in begins)
    return {
        "until a worker has it": first - queued,
        "until its container runs": begun - first,
        "its container": died - begun,
        "until a worker has it again": second - died,
        "until the run ends": ended - second,
    }


def _life(run: str, since: float) -> tuple[float, float]:
    """When the container of a run was started, and when it ended, by the engine's clock."""
    times = []
    for event in ("start", "die"):
        chosen = ["--filter", f"label=airflow-ml.run={run}", "--filter", f"event={event}", "--format", "{{.TimeNano}}"]
        times.append(_docker("events", f"--since={since:.0f}", f"--until={time.time():.0f}", *chosen).split()[0])
    return int(times[0]) / 1e9, int(times[1]) / 1e9


def starts(what: str = "*ed") -> Counter[tuple[str, str]]:
    """How many containers of each run and task have begun; only those that `worked`, or that `looked`."""
    found = on_data(f"import glob; print(*glob.glob('/data/starts/*/*/*.{what}'), sep='\\n')").split()
    return Counter((run, task) for run, task in (path.split("/")[3:5] for path in found))


def on_data(code: str) -> str:
    """Run Python code on the data of the stack; returns what it printed."""
    return _docker("run", "--rm", f"--volume={DATA}:/data", "--entrypoint=python", read_lock()["base"], "-c", code)


def containers(*, running: bool) -> list[str]:
    """The containers of the stack's tasks."""
    which = [] if running else ["--all"]
    return _docker("ps", "--quiet", *which, f"--filter=label=airflow-ml.data={DATA}").split()


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, text=True, capture_output=True).stdout.strip()


def _wait_for_dags(airflow: Airflow, dags: Iterable[str]) -> None:
    deadline = time.monotonic() + 300
    while set(dags) - {dag["dag_id"] for dag in airflow.request("GET", "/dags?limit=100")["dags"]}:
        if time.monotonic() > deadline:
            raise SystemExit(f"error: Airflow has not read the Dags: {airflow.request('GET', '/importErrors')}")
        time.sleep(1)


def _run(airflow: Airflow, dag: str, seconds: int) -> float:
    """Run a Dag whose task sleeps so long; returns the seconds from its queueing to its end."""
    run = airflow.trigger(dag, {"seconds": seconds})
    _await_end(airflow, dag, run)
    return seconds_of(airflow, dag, run)


def _await_end(airflow: Airflow, dag: str, run: str) -> None:
    deadline = time.monotonic() + LONGEST_S
    while (state := airflow.run_state(dag, run)) != "success":
        if state == "failed" or time.monotonic() > deadline:
            raise SystemExit(f"error: the run {run} of {dag} is {state}: {airflow.tasks(dag, run)}")
        time.sleep(1)


def _await_slots(airflow: Airflow, count: int) -> None:
    """Wait until so many tasks wait in the triggerer."""
    deadline = time.monotonic() + LONGEST_S
    while (slots := airflow.request("GET", "/pools/default_pool"))["deferred_slots"] < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"error: not all of {count} tasks wait: {slots}")
        time.sleep(2)


def _by_hand(image: str) -> float:
    started = time.perf_counter()
    confined = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    size = [f"--memory={MEMORY}", f"--memory-swap={MEMORY}", "--volume=/data"]
    _docker("run", "--rm", *confined, *size, image, str(ALONE_S))
    return time.perf_counter() - started


@contextmanager
def _watching() -> Iterator[list[tuple[int, int]]]:
    """Every few seconds: how many containers run, and the memory of the triggerer."""
    seen: list[tuple[int, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(5):
            seen.append((len(containers(running=True)), _triggerer_bytes()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _triggerer_bytes() -> int:
    """What the triggerer's container holds (see inside/measure.py), with the process that looks."""
    look = "import sys; sys.path.append('/bench'); from measure import held_bytes; print(held_bytes())"
    done = stack.compose("exec", "-T", "triggerer", "python", "-c", look)
    if done.returncode:
        raise SystemExit(f"error: the triggerer's memory cannot be read: {done.stderr}")
    return int(done.stdout)
