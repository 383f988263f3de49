"""Puts load on a stack of its own, and prints what each service takes of memory at the start, at most and at the end.

Four backfills run together, one of each Dag, and meanwhile runs of `predict` are asked for through the API. Then the
stack is left alone for a minute. Memory is what `docker stats` shows: without the files that the kernel could forget.
The defaults take an hour. Exit codes: 0 every run succeeded; 1 not so, or the time was over; 2 wrong usage.
"""

import argparse
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

from airflow_ml.airflow_api import FINAL_STATES
from airflow_ml.backfill import begin, body_of
from airflow_ml.common import number_from_1

from tests.end_to_end.conftest import DAGS, PROJECT, Stack, compose_stack, remove_stack, start_collector, write_rules
from tests.harness import docker

# The champion's day; the backfills begin the day after.
TRAINED = date(2026, 8, 31)
LOOK_S, QUIET_S = 10, 60
# Days that a backfill runs together.
AT_ONCE = 2
SUNDAY = 7
UNITS = {"B": 1 / 1024**2, "KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
HEADER = ("service", "limit, MiB", "start, MiB", "peak, MiB", "end, MiB")
States = dict[str, Counter[str]]


class Memory:
    """The memory of each service, in MiB: at the start, the most that was seen every LOOK_S seconds, and at the end."""

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}
        self.start = self.look()
        self.peak = dict(self.start)
        self.end: dict[str, float] = {}

    def look(self) -> dict[str, float]:
        """What each service has now."""
        containers = docker("ps", "--quiet", f"--filter=label=com.docker.compose.project={PROJECT}").stdout.split()
        lines = docker("stats", "--no-stream", "--format={{.Name}} {{.MemUsage}}", *containers).stdout.splitlines()
        now = {}
        for name, used, _, limit in (line.split() for line in lines):
            service = name.removeprefix(f"{PROJECT}-").rpartition("-")[0]
            now[service], self.limits[service] = mebibytes(used), mebibytes(limit)
        return now

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look until the block ends."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(LOOK_S):
                for service, used in self.look().items():
                    self.peak[service] = max(used, self.peak.get(service, 0))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.end = self.look()

    def table(self) -> list[str]:
        """Markdown."""
        columns = (self.limits, self.start, self.peak, self.end)
        rows = [[name, *(f"{column.get(name, 0):.0f}" for column in columns)] for name in sorted(self.start)]
        return [f"| {' | '.join(cells)} |" for cells in (HEADER, ["---"] * len(HEADER), *rows)]


def mebibytes(text: str) -> float:
    """A number of `docker stats`, such as 1.5GiB."""
    number = re.match(r"[\d.]+", text)[0]  # type: ignore[index]
    return float(number) * UNITS[text.removeprefix(number)]


def states(stack: Stack) -> States:
    """How many runs of each Dag are in each state."""
    found: States = {}
    for dag in DAGS:
        found[dag], seen = Counter(), 0
        while True:
            path = f"/dags/{dag}/dagRuns?limit=100&offset={seen}"
            page = stack.airflow.request("GET", path)["dag_runs"]
            seen += len(page)
            # A backfill lets Airflow begin the run that today's schedule has asked for already.
            found[dag].update(str(run["state"]) for run in page if run["run_type"] != "scheduled")
            if not page:
                break
    return found


def put_load(stack: Stack, days: int, runs: int, until: float) -> None:
    """Start the backfills and ask for the runs; returns when all have ended, or at `until` on the monotonic clock."""
    first, last = (TRAINED + timedelta(days=number) for number in (1, days))
    for dag in DAGS:
        # Unlike those of `./airflow-ml backfill`, these runs wait for the data of the other Dags.
        begin(stack.airflow, body_of(dag, first, last, AT_ONCE))
    for _ in range(runs):
        stack.airflow.trigger("predict", {"ds": str(TRAINED)})
    while time.monotonic() < until:
        counts = states(stack)
        print({dag: dict(count) for dag, count in counts.items()}, file=sys.stderr, flush=True)
        if set().union(*counts.values()) <= FINAL_STATES:
            return
        time.sleep(LOOK_S)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.chaos.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=number_from_1, default=60, help="of each backfill (default: %(default)s)")
    parser.add_argument("--runs", type=number_from_1, default=200, help="through the API (default: %(default)s)")
    parser.add_argument("--minutes", type=number_from_1, default=240, help="at most (default: %(default)s)")
    arguments = parser.parse_args(argv)
    remove_stack()
    write_rules()
    try:
        compose_stack.start()
        start_collector()
        stack = Stack()
        for dag in ("generate_data", "train_model", "predict"):
            stack.run(dag, {"ds": str(TRAINED)})
        memory, started = Memory(), time.monotonic()
        with memory.watched():
            put_load(stack, arguments.days, arguments.runs, started + 60 * arguments.minutes)
            minutes = (time.monotonic() - started) / 60
            counts = states(stack)
            time.sleep(QUIET_S)
    finally:
        remove_stack()
    print("\n".join(memory.table()))
    wanted = {dag: arguments.days + 1 + (arguments.runs if dag == "predict" else 0) for dag in DAGS}
    wanted["monitor"] -= 1
    # A training is weekly.
    days = [TRAINED + timedelta(days=number) for number in range(1, arguments.days + 1)]
    wanted["train_model"] = 1 + sum(day.isoweekday() == SUNDAY for day in days)
    for dag, count in counts.items():
        print(f"{dag}: {dict(count)} of {wanted[dag]} runs")
    print(f"{minutes:.0f} minutes")
    return 0 if all(counts[dag] == {"success": number} for dag, number in wanted.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
