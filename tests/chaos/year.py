"""Lets a year of days run through the stages on disks of a fixed size, with a weekly tidying, and prints what they use.

The clock of the stages and of MLflow moves a week at a time. In each week every day is generated, scored, measured and
put on a page, as the Dags do it; the first day trains a model, and now and then a person promotes it. At the
end of a week it runs what `./airflow-ml tidy --older-than 38` does with the data and MLflow, then the same for the
other kinds, with 60 days. Airflow has no part in it. A stage loads its libraries once, so a year takes minutes.
Exit codes: 0 the use stays level, and what was asked for is there; 1 not so, or a disk was full; 2 wrong usage.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow_ml.common import number_from_1
from airflow_ml.tidy import LEAST_DAYS, tidy_data

from tests.harness import ROOT, data_volume, docker
from tests.images.registry_lab import RULES, Server, serve

from .machine import Disk, build_clock, make_disks, remove_disks, set_clock
from .tables import markdown
from .warm import WarmData, WarmStages

NAME = "airflow-ml-year"
DISKS: dict[str, Disk] = {"data": (f"{NAME}-data", "64m", 10001), "MLflow": (f"{NAME}-mlflow", "24m", 10001)}
CLOCK = ROOT / ".cache" / "clock" / NAME
# A Sunday: each week begins with a training.
FIRST = date(2026, 1, 4)
NEW_CHAMPION_EVERY = 5
# Kinds that `tidy` removes by default go after 38 days, these after 60.
OTHER_KINDS, OTHER_DAYS = "raw,predictions,reports,plots", 60
FEW_TREES = "--param=num_boost_round=20"
# The kinds that each day has, those of a day that is measured too, and those of a training.
OF_A_DAY = ("raw", "features", "predictions")
OF_A_MEASURED_DAY = ("labels", "reports")
OF_A_TRAINING = ("processed", "models", "plots", "comparisons")
# The use is level if it grows by no more than this from the first weeks after OTHER_DAYS to the last weeks.
SOME_WEEKS, MOST_GROWTH = 3, 1.1
HEADER = (
    *("week", "data, MB", "of it days", "of it models", "of it marks", "partitions with files", "marks"),
    *("versions", "runs", "artifacts, MB", "MLflow's database, MB"),
)
# Bytes as the disk counts them, in blocks.
LOOK = """
import json, os
from collections import Counter
from pathlib import Path

used = {}
for name in ("data", "MLflow"):
    disk = os.statvfs(f"/disks/{name}")
    used[name] = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
size, marks, with_files = Counter(), 0, 0
for mark in Path("/disks/data").glob("*/*/_meta.json"):
    named = json.loads(mark.read_text())["outputs"]
    files = [one.stat().st_blocks * 512 for name in named if (one := mark.parent / name).exists()]
    is_model = mark.parent.parent.name == "models"
    marks, with_files = marks + 1, with_files + (bool(files) and not is_model)
    size["models" if is_model else "days"] += sum(files)
print(json.dumps({"used": used, "marks": marks, "with_files": with_files, **size}))
"""


@dataclass(frozen=True)
class Week:
    """What is used after a week: bytes by disk and by sort of file, and how many marks, versions and runs.

    `with_files` are the partitions, beside models, that have files.
    """

    number: int
    used: dict[str, int]
    days: int
    models: int
    with_files: int
    marks: int
    versions: int
    runs: int
    database: int

    def row(self) -> list[object]:
        """A line of the table."""
        data, artifacts = self.used["data"], self.used["MLflow"]
        sizes = [megabytes(size) for size in (data, self.days, self.models, data - self.days - self.models)]
        mlflow = [self.versions, self.runs, megabytes(artifacts), megabytes(self.database)]
        return [self.number, *sizes, self.with_files, self.marks, *mlflow]


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


class Year:
    """The days, the server, and a pool that does the same step for several days."""

    def __init__(self, data: WarmData, server: Server, pool: ThreadPoolExecutor, rows: int, measured: int) -> None:
        self.data, self.server, self.pool, self.rows, self.measured = data, server, pool, rows, measured
        self.weeks: list[Week] = []

    def live(self, days: Sequence[date]) -> None:
        """A week: its days, a training on the first of them, and the tidying at its end."""
        number, today = len(self.weeks) + 1, days[-1]
        noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC).timestamp()
        set_clock(CLOCK, int(noon - time.time()))
        self.each(days, lambda ds: self.data.generate(ds, f"--rows={self.rows}"))
        training = self.pool.submit(self.train, str(days[0]), promotes=number % NEW_CHAMPION_EVERY == 1)
        if number == 1:  # there is no champion before
            training.result()
        self.each(days, self.score)
        training.result()
        self.each(days[-self.measured :], self.measure)
        fullest = self.look()["used"]
        tidied = self.tidy(today)
        self.weeks.append(self.weigh(number))
        print(f"{' | '.join(map(str, self.weeks[-1].row()))}; before: {fullest}; {tidied}", file=sys.stderr, flush=True)

    def each(self, days: Sequence[date], step: Callable[[str], object]) -> None:
        """A step for each day."""
        list(self.pool.map(step, map(str, days)))

    def train(self, ds: str, *, promotes: bool) -> None:
        """A training as its Dag does it; a person promotes the model, or leaves it a challenger."""
        for step in (self.data.prepare, self.data.split):
            step(ds)
        self.data.train(ds, FEW_TREES)
        for step in (self.data.validate, self.data.plot):
            step(ds)
        version = self.server.register(ds)["version"]
        champion = self.server.registry("resolve", "--or-none").line
        self.data.compare(ds, RULES["gate"], champion["model"] or "", champion["version"] or "")
        self.server.registry("decide", f"--ds={ds}", "--promote=manual")
        if promotes:
            self.server.promote(version, "it was time")

    def score(self, ds: str) -> None:
        """A day, scored by the champion."""
        found = self.server.registry("resolve").line
        resolved = [f"--model-{name.replace('_', '-')}={found[name]}" for name in ("version", "run_id")]
        self.data.score(ds, found["model"], *resolved, f"--model-sha256={found['model_sha256']}")

    def measure(self, ds: str) -> None:
        """What `monitor` does with a scored day."""
        rules = RULES["monitoring"]
        self.data.evaluate(ds, rules)
        self.data.stage("prediction", "confirm", f"--ds={ds}", f"--rules-json={json.dumps(rules)}")
        self.data.page(ds)
        self.server.registry("log-evaluation", f"--ds={ds}")

    def tidy(self, today: date) -> list[object]:
        """What `./airflow-ml tidy` does with the data and MLflow."""
        before = today - timedelta(days=LEAST_DAYS)
        mlflow = self.pool.submit(self.server.registry, "tidy", f"--before={before}")
        done = [
            tidy_data(before, None, dry=False),
            tidy_data(today - timedelta(days=OTHER_DAYS), OTHER_KINDS, dry=False),
        ]
        removed = mlflow.result().line
        return [*done, {name: removed[name] for name in ("versions", "runs", "pages", "bytes")}]

    def look(self) -> dict[str, Any]:
        return dict(json.loads(docker("exec", NAME, "python", "-c", LOOK).stdout))

    def weigh(self, number: int) -> Week:
        """What is used now."""
        sql = ("psql", "--username=mlflow", "--tuples-only", "--command=select pg_database_size('mlflow')")
        database = int(docker("exec", f"{self.server.network}-db", *sql).stdout)
        versions, runs = len(self.server.versions()), len(self.server.runs())
        return Week(number=number, **self.look(), versions=versions, runs=runs, database=database)

    # --- at the end ---

    def problems(self, days: Sequence[date]) -> Iterator[str]:
        """What is not as it should be, in words."""
        yield from self.growth(days)
        yield from self.missing(days)
        yield from self.lost_versions()
        # The host tool reads the volume that ML_DATA names.
        last, old = (f"predictions/{ds}/predictions.csv" for ds in (days[-1], days[len(days) // 8]))
        for command in (["lineage", "--check", last], ["rerun", "--depth=all", old]):
            done = subprocess.run([ROOT / "airflow-ml", *command], text=True, capture_output=True, check=False)
            print(f"{' '.join(command)}: {done.stdout.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
            if done.returncode:
                yield f"`{' '.join(command)}` ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"

    def growth(self, days: Sequence[date]) -> Iterator[str]:
        """What is not level in the last weeks. Models and marks are not meant: they stay."""
        start = OTHER_DAYS // 7 + 2
        if len(self.weeks) < start + 2 * SOME_WEEKS:
            print(f"{len(days)} days are too few to see whether the use stays level", file=sys.stderr)
            return
        first, last = self.weeks[start : start + SOME_WEEKS], self.weeks[-SOME_WEEKS:]
        for what in ("days", "with_files"):
            before, now = (max(getattr(week, what) for week in weeks) for weeks in (first, last))
            if now > before * MOST_GROWTH:
                yield f"{what} grew from {before:,} to {now:,}"

    def missing(self, days: Sequence[date]) -> Iterator[str]:
        """Marks that are gone, and files that are gone too early or have other bytes."""
        found = self.data.follow()
        weeks = [days[first : first + 7] for first in range(0, len(days), 7)]
        measured = [day for week in weeks for day in week[-self.measured :]]
        of = {OF_A_DAY: days, OF_A_MEASURED_DAY: measured, OF_A_TRAINING: days[::7]}
        wanted = {f"{kind}/{day}" for kinds, their_days in of.items() for kind in kinds for day in their_days}
        if gone := wanted - set(found["partitions"]):
            yield f"marks of {sorted(gone)} are gone"
        print(f"{len(found['partitions'])} marks, {found['files']} files of theirs followed", file=sys.stderr)
        others = set(OTHER_KINDS.split(","))
        for path, kind in found["problems"]:
            sort, day = path.split("/")[:2]
            may_go = timedelta(days=OTHER_DAYS if sort in others else LEAST_DAYS)
            if kind != "removed" or sort == "models" or date.fromisoformat(day) >= days[-1] - may_go:
                yield f"{path}: {kind}"

    def lost_versions(self) -> Iterator[str]:
        """Versions that an alias or an event names and that are gone, and champions whose files cannot be restored."""
        there, model = {one["version"] for one in self.server.versions()}, self.server.model()
        events = self.server.registry("list").line["events"]
        if gone := {*model["aliases"].values(), *(event["version"] for event in events)} - there:
            yield f"versions {sorted(gone)} are gone"
        with data_volume("year") as empty, closing(WarmStages()) as stages:
            elsewhere = replace(self.server, data=replace(self.data, source=empty.source, stages=stages))
            for event in events:
                found = elsewhere.registry("resolve", f"--as-of={event['at']}").line
                sha256 = self.server.version(event["version"])["tags"]["airflow_ml.model_sha256"]
                if (found["version"], found["model_sha256"]) != (event["version"], sha256):
                    yield f"the champion of {event['at']} is not {event}: {found}"
        print(f"{len(events)} champions restored from MLflow, of versions {sorted(there, key=int)}", file=sys.stderr)


@contextmanager
def new_year(rows: int, measured: int, at_once: int) -> Iterator[Year]:
    """Disks, a clock and MLflow, for as long as the block runs."""
    remove_disks(NAME, DISKS)
    build_clock(CLOCK)
    clock = ("--env=LD_PRELOAD=/clock/clock.so", f"--volume={CLOCK}:/clock:ro")
    stages = WarmStages()
    data = WarmData(DISKS["data"][0], clock, stages=stages)
    os.environ["ML_DATA"] = data.source
    artifacts = f"--volume={DISKS['MLflow'][0]}:/opt/mlflow/artifacts:nocopy"
    try:
        make_disks(NAME, DISKS)
        with serve(data, *clock, artifacts) as server, closing(stages), ThreadPoolExecutor(at_once) as pool:
            yield Year(data, replace(server, key="a-key-of-the-stage"), pool, rows, measured)
    finally:
        remove_disks(NAME, DISKS)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.chaos.year", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=number_from_1, default=365, help="how many (default: %(default)s)")
    parser.add_argument("--rows", type=number_from_1, default=1000, help="of each day (default: %(default)s)")
    parser.add_argument(
        "--measured", type=number_from_1, default=7, help="days of each week, the last ones (default: %(default)s)"
    )
    parser.add_argument("--at-once", type=number_from_1, default=2, help="containers (default: %(default)s)")
    parser.add_argument("--minutes", type=number_from_1, default=600, help="then no new week (default: %(default)s)")
    arguments = parser.parse_args(argv)
    days = [FIRST + timedelta(days=number) for number in range(arguments.days)]
    started = time.monotonic()
    with new_year(arguments.rows, arguments.measured, arguments.at_once) as year:
        lived: list[date] = []
        for first in range(0, len(days), 7):
            if time.monotonic() > started + 60 * arguments.minutes:
                break
            year.live(days[first : first + 7])
            lived = days[: first + 7]
        problems = list(year.problems(lived))
    print("\n".join(markdown(HEADER, [week.row() for week in year.weeks])))
    print("\n".join(problems))
    minutes = (time.monotonic() - started) / 60
    print(f"{len(lived)} days of {arguments.rows} rows, {arguments.measured} of 7 measured: {minutes:.0f} minutes")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
