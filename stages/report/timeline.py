"""What ran when: the steps of each Dag run as bars on a scale of seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from marks import Step
from svg import Scale, drawing, element, label, path, tick

# Steps by hand belong together when less than this lies between them.
PAUSE = timedelta(minutes=15)
ROW, TOP = 22.0, 8.0


@dataclass(frozen=True)
class Run:
    """The steps of one Dag run, or of one sitting by hand, in the order of their start."""

    dag: str
    run: str
    steps: Sequence[tuple[datetime, Step]]

    @property
    def start(self) -> datetime:
        return self.steps[0][0]

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return max((at - self.start).total_seconds() + step.seconds for at, step in self.steps)


def runs(steps: Sequence[Step]) -> list[Run]:
    """The steps by Dag run, the first one first. A step whose start is not told is left out.

    Starts are known to the second: within one, the order of the steps as they are given stays.
    """
    found: list[Run] = []
    for at, step in sorted(_timed(steps), key=lambda one: one[0]):
        same = next((run for run in reversed(found) if (run.dag, run.run) == (step.dag, step.run)), None)
        if same and (step.run or at - same.steps[-1][0] < PAUSE):
            found[found.index(same)] = Run(same.dag, same.run, [*same.steps, (at, step)])
        else:
            found.append(Run(step.dag, step.run, [(at, step)]))
    return found


def _timed(steps: Sequence[Step]) -> list[tuple[datetime, Step]]:
    timed = []
    for step in steps:
        try:
            timed.append((datetime.strptime(step.started, "%Y-%m-%dT%H:%M:%SZ"), step))
        except ValueError:
            continue
    return timed


def timeline(run: Run, width: float = 720.0) -> Markup:
    """The bars of one run"""
    left, bottom = 226.0, TOP + len(run.steps) * ROW
    x = Scale(0.0, max(run.seconds, 1.0), left, width - 74)
    parts = [element("path", d=path([(x(v), TOP), (x(v), bottom)]), class_="g") for v in x.ticks()]
    parts += [label(x(v), bottom + 15, f"{tick(v)} s", "t m") for v in x.ticks()]
    for row, (at, step) in enumerate(run.steps):
        y, begin = TOP + row * ROW, (at - run.start).total_seconds()
        long = max(2.0, x(begin + step.seconds) - x(begin))
        told = element("title", f"{step.command or step.name}, started {step.started}, took {step.seconds:g} s")
        parts.append(element("rect", told, x=x(begin), y=y + 3, width=long, height=ROW - 8, rx=3, class_="b s0"))
        parts.append(label(left - 8, y + 15, f"{step.name} → {step.partition}", "t e", 32))
        parts.append(label(x(begin) + long + 5, y + 15, f"{step.seconds:g} s"))
    return drawing(width, bottom + 22, f"{len(run.steps)} steps in {run.seconds:g} seconds", parts)
