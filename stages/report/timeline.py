"""What ran when: the steps of each Dag run as bars on a scale of seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup
from stagekit.lineage import Step

from svg import Scale, drawing, element, label, path, tick

# Steps by hand belong together if the pause between two of them is shorter than this.
PAUSE = timedelta(minutes=15)
ROW, TOP = 22.0, 8.0


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


def timeline(run: Run, width: float = 720.0) -> Markup:
    """The bars of one run."""
    left, bottom = 226.0, TOP + len(run.steps) * ROW
    x = Scale(0.0, max(run.seconds, 1.0), left, width - 74)
    parts = [element("path", d=path([(x(v), TOP), (x(v), bottom)]), class_="g") for v in x.ticks()]
    parts += [label(x(v), bottom + 15, f"{tick(v)} s", "t m") for v in x.ticks()]
    for row, (at, step) in enumerate(run.steps):
        y, begin = TOP + row * ROW, (at - run.start).total_seconds()
        seconds = seconds_of(step)
        long = max(2.0, x(begin + seconds) - x(begin))
        tooltip = element(
            "title", f"{step.command or step.name}, started {at:%Y-%m-%d %H:%M:%S} UTC, took {seconds:g} s"
        )
        parts.append(element("rect", tooltip, x=x(begin), y=y + 3, width=long, height=ROW - 8, rx=3, class_="b s0"))
        parts.append(label(left - 8, y + 15, f"{step.name} → {step.partition}", "t e", 32))
        parts.append(label(x(begin) + long + 5, y + 15, f"{seconds:g} s"))
    return drawing(width, bottom + 22, f"{len(run.steps)} steps in {run.seconds:g} seconds", parts)
