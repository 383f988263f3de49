"""Puts load on a stack of its own, prints what each service takes of memory, and judges it.

Four backfills run together, one of each Dag, and meanwhile runs of `predict` are asked for through the API. Then the
stack is left alone for a minute. Memory is what `docker stats` shows: without the files that the kernel could forget.
A service leaks if it has more in the last third of the looks than in the first, by more than a tenth of its limit. The
defaults take an hour. Exit codes: 0 every run succeeded, no service leaks, none was near its limit or ended; 1 not so,
or the time was over; 2 wrong usage.
"""

import argparse
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median

from airflow_ml.airflow_api import FINAL_STATES
from airflow_ml.backfill import begin, body_of
from airflow_ml.common import number_from_1

from tests.end_to_end.conftest import DAGS, PROJECT, Stack, compose_stack, remove_stack, start_collector, write_rules
from tests.harness import docker

from .tables import markdown

# The champion's day; the backfills begin the day after.
TRAINED = date(2026, 8, 31)
LOOK_S, QUIET_S = 10, 60
# Days that a backfill runs together.
AT_ONCE = 2
SUNDAY = 7
UNITS = {"B": 1 / 1024**2, "KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
# Of a service's limit: the most that it may have, and the most by which it may grow.
MOST, MOST_GROWTH = 0.9, 0.1
HEADER = (
    "service", "limit, MiB", "start, MiB", "first third, MiB", "last third, MiB", "peak, MiB", "end, MiB", "verdict",
)  # fmt: skip
States = dict[str, Counter[str]]


@dataclass
class Use:
    """The memory of a service in MiB: its limit, and what was seen every LOOK_S seconds. How often it was restarted."""

    limit: float
    seen: list[float] = field(default_factory=list)
    restarts: int = 0

    @property
    def thirds(self) -> tuple[float, float]:
        """The median of the first and of the last third of the looks."""
        third = max(1, len(self.seen) // 3)
        return median(self.seen[:third]), median(self.seen[-third:])

    @property
    def verdict(self) -> str:
        """What is wrong, in words, or "well"."""
        first, last = self.thirds
        if self.restarts:
            return "restarted"
        if max(self.seen) > MOST * self.limit:
            return "near its limit"
        return "leaks" if last - first > MOST_GROWTH * self.limit else "well"

    def cells(self) -> list[str]:
        """Its cells of the table."""
        figures = (self.limit, self.seen[0], *self.thirds, max(self.seen), self.seen[-1])
        return [*(f"{figure:.0f}" for figure in figures), self.verdict]


class Memory:
    """The memory of each service while the block of `watched` runs."""

    def __init__(self) -> None:
        self.services: dict[str, Use] = {}

    def look(self) -> None:
        """What each service has now."""
        containers = docker("ps", "--quiet", f"--filter=label=com.docker.compose.project={PROJECT}").stdout.split()
        lines = docker("stats", "--no-stream", "--format={{.Name}} {{.MemUsage}}", *containers).stdout.splitlines()
        for name, used, _, limit in (line.split() for line in lines):
            use = self.services.setdefault(_service(name), Use(mebibytes(limit)))
            use.seen.append(mebibytes(used))
        restarts = docker("inspect", "--format={{.Name}} {{.RestartCount}}", *containers).stdout.splitlines()
        for name, count in map(str.split, restarts):
            self.services[_service(name.removeprefix("/"))].restarts = int(count)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look until the block ends."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(LOOK_S):
                self.look()

        self.look()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.look()

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong with any service."""
        return all(use.verdict == "well" for use in self.services.values())

    def table(self) -> list[str]:
        """Markdown."""
        return markdown(HEADER, [[name, *use.cells()] for name, use in sorted(self.services.items())])


def _service(container: str) -> str:
    """The service of a container, by its name."""
    return container.removeprefix(f"{PROJECT}-").rpartition("-")[0]


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
    return 0 if memory.is_well and all(counts[dag] == {"success": number} for dag, number in wanted.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
