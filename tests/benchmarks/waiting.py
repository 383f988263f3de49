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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_ml import stack
from airflow_ml.airflow_api import Airflow
from airflow_overhead import DATA, ENVIRONMENT, running_stack, seconds_of
from figures import Row
from lab import INSIDE, NAME, alternate, read_lock

WORKERS = 4
# A task waits in the triggerer if its container runs for longer than a worker is patient.
ALONE_S = 20
# A worker starts a container and waits ten seconds for it. After this time all have been started, and go on for more.
SECONDS_PER_START, SETTLE_S = 20, 60
MEMORY = "32m"
SLEEPER = 'import json, sys, time; time.sleep(float(sys.argv[1])); print(json.dumps({"slept": sys.argv[1]}))\n'
DOCKERFILE = """
FROM {base}
COPY sleeper.py /opt/stage/sleeper.py
ENTRYPOINT ["/usr/bin/tini", "--", "python", "/opt/stage/sleeper.py"]
"""
DAGS = """
from airflow.sdk import DAG
from ml import dag_defaults
from ml.operator import StageOperator

for name, count in (("one", 1), ("many", {count})):
    with DAG(name, schedule=None, params={{"seconds": 1}}, max_active_tasks=count, **dag_defaults()):
        for number in range(count):
            StageOperator(task_id=f"sleep_{{number}}", stage="sleeper", command=["{{{{ params.seconds }}}}"])
"""


@contextmanager
def sleeping_stack(count: int) -> Iterator[tuple[Airflow, str]]:
    """The stack with the Dags `one` and `many`, and the name of the image that sleeps."""
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
            (folder / "sleepers.py").write_text(DAGS.format(count=count))
            shutil.copy(INSIDE / "measure.py", folder)
            os.environ |= {
                "COMPOSE_FILE": os.pathsep.join(["docker-compose.yml", "tests/benchmarks/waiting.compose.yml"]),
                "ML_BENCH_FOLDER": name,
                "ML_PARALLELISM": str(WORKERS),
            }
            ENVIRONMENT["ML_STAGE_MEMORY"] = MEMORY
            with running_stack() as airflow:
                _wait_for_dags(airflow)
                yield airflow, image
        finally:
            _docker("image", "rm", "--force", image)


def waiting_tasks(count: int, repeats: int) -> list[Row]:
    """Figures of so many tasks at once, and of one alone beside `docker run`."""
    with sleeping_stack(count) as (airflow, image):
        _run(airflow, "one", ALONE_S)  # warms both sides
        before = _triggerer_bytes()
        ours, theirs = alternate(lambda: _run(airflow, "one", ALONE_S), lambda: _by_hand(image), repeats)
        slept = count * SECONDS_PER_START // WORKERS + SETTLE_S
        with _watching() as seen:
            took = _run(airflow, "many", slept)
    at_once = max(number for number, _ in seen)
    full = [memory for number, memory in seen if number == at_once]
    per_task = (sorted(full)[len(full) // 2] - before) / at_once / 1e6
    alone, by_hand = min(ours), min(theirs)
    samples = {"seen": seen, "seconds": took, "slept": slept, "triggerer before": before}
    return [
        Row(f"{count} tasks that wait", f"{at_once} containers at once", f"{WORKERS} workers",
            at_once / WORKERS, "{:.0f} a worker", ">=", count // WORKERS, samples),
        Row("memory of a task that waits", f"{per_task:.2f} MB", f"the triggerer without any: {before / 1e6:.0f} MB",
            per_task, "{:.2f} MB"),
        Row(f"a task that waits, {ALONE_S} s", f"{alone:.2f} s", f"docker run by hand: {by_hand:.2f} s",
            alone - by_hand, "{:+.2f} s", samples={"ours": ours, "theirs": theirs}),
    ]  # fmt: skip


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, text=True, capture_output=True).stdout.strip()


def _wait_for_dags(airflow: Airflow) -> None:
    deadline = time.monotonic() + 300
    while {"one", "many"} - {dag["dag_id"] for dag in airflow.request("GET", "/dags?limit=100")["dags"]}:
        if time.monotonic() > deadline:
            raise SystemExit(f"error: Airflow has not read the Dags: {airflow.request('GET', '/importErrors')}")
        time.sleep(1)


def _run(airflow: Airflow, dag: str, seconds: int) -> float:
    """Run a Dag whose tasks sleep so long; returns the seconds from its queueing to its end."""
    run = airflow.trigger(dag, {"seconds": seconds})
    deadline = time.monotonic() + 2 * seconds + 600
    while (state := airflow.run_state(dag, run)) != "success":
        if state == "failed" or time.monotonic() > deadline:
            raise SystemExit(f"error: the run {run} of {dag} is {state}: {airflow.tasks(dag, run)}")
        time.sleep(1)
    return seconds_of(airflow, dag, run)


def _by_hand(image: str) -> float:
    started = time.perf_counter()
    confined = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    _docker("run", "--rm", *confined, f"--memory={MEMORY}", f"--memory-swap={MEMORY}", image, str(ALONE_S))
    return time.perf_counter() - started


@contextmanager
def _watching() -> Iterator[list[tuple[int, int]]]:
    """Every few seconds: how many containers run, and the memory of the triggerer."""
    seen: list[tuple[int, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(3):
            running = _docker("ps", "--quiet", f"--filter=label=airflow-ml.data={DATA}").split()
            seen.append((len(running), _triggerer_bytes()))

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
