"""What ran when: the steps of each Dag run as bars, each a row that fits a phone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stagekit.lineage import Step

# Steps by hand belong together if the pause between two of them is shorter than this.
PAUSE = timedelta(minutes=15)
# A bar has at least this share of the width, so that it can be seen.
SHORTEST = 0.004


@dataclass(frozen=True)
class Run:
    """The steps of one Dag run, or of one session by hand, in the order of their start."""

    dag: str
    run: str
    steps: Sequence[tuple[datetime, Step]]

    @property
    def start(self) -> datetime:
        return self.steps[0][0]

    @property
    def seconds(self) -> float:
        """The time from the first start to the last end."""
        return max((at - self.start).total_seconds() + seconds_of(step) for at, step in self.steps)


@dataclass(frozen=True)
class Bar:
    """A row of a drawing: a name, a bar, and a note behind it. `begin` and `share` are of the whole width, 0 to 1."""

    name: str
    share: float
    note: str
    begin: float = 0.0
    tooltip: str = ""


def runs(steps: Sequence[Step]) -> list[Run]:
    """The steps by Dag run, the earliest first. A step without a recorded start is left out.

    Starts are known to the second. Steps that start in the same second keep their order.
    """
    found: list[Run] = []
    for at, step in sorted(_timed(steps), key=lambda one: one[0]):
        dag, name = str(step.run["dag_id"] or ""), str(step.run["run_id"] or "")
        same = next((run for run in reversed(found) if (run.dag, run.run) == (dag, name)), None)
        if same and (name or at - same.steps[-1][0] < PAUSE):
            found[found.index(same)] = Run(dag, name, [*same.steps, (at, step)])
        else:
            found.append(Run(dag, name, [(at, step)]))
    return found


def _timed(steps: Sequence[Step]) -> list[tuple[datetime, Step]]:
    timed = []
    for step in steps:
        try:
            timed.append((datetime.strptime(str(step.record.get("started")), "%Y-%m-%dT%H:%M:%SZ"), step))
        except ValueError:
            continue
    return timed


def seconds_of(step: Step) -> float:
    """How long a step took; 0 if its record does not say."""
    seconds = step.record.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def bars(run: Run) -> list[Bar]:
    """The steps of one run, on the scale of its seconds."""
    whole, shown = max(run.seconds, 1.0), []
    for at, step in run.steps:
        seconds = seconds_of(step)
        share = max(SHORTEST, seconds / whole)
        begin = min((at - run.start).total_seconds() / whole, 1 - share)
        tooltip = f"{step.command or step.name}, started {at:%Y-%m-%d %H:%M:%S} UTC, took {seconds:g} s"
        shown.append(Bar(f"{step.name} → {step.partition}", share, f"{seconds:g} s", begin, tooltip))
    return shown
