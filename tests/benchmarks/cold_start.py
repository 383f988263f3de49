"""Where the time of a container goes that does next to nothing: engine, interpreter, imports, work, exit."""

import json
import time
from functools import partial
from statistics import median

from figures import Start
from lab import STEPS, Lab, alternate

ROWS = 1_000
# What takes a second is measured this often, whatever --repeats says of the rest.
OFTEN = 7
SHARES = ("container", "interpreter", "imports", "work", "exit")


def cold_start(lab: Lab) -> list[Start]:
    """Medians of an idle container of the base, of each stage's `--help`, and of each step on 1,000 rows."""
    often = 1 if lab.repeats == 1 else OFTEN
    with Lab(ROWS, ROWS, lab.repeats) as small:
        starts = [measure(small, "base: pass", "base", ["-c", "pass"], "/bench/nothing.py", [], often)]
        for stage in dict.fromkeys(step.stage for step in STEPS.values()):
            program = f"/opt/stage/{stage}.py"
            starts.append(measure(small, f"{stage} --help", stage, ["--help"], program, ["--help"], often))
        for name in ("generate", "prepare", "split", "train", "validate", "features", "predict"):
            stage, arguments = STEPS[name].stage, small.arguments(name)
            program, what = f"/opt/stage/{stage}.py", f"{name}, {ROWS:,} rows"
            starts.append(measure(small, what, stage, arguments, program, arguments, often))
    return starts


def measure(
    lab: Lab, what: str, image: str, arguments: list[str], program: str, inside: list[str], often: int
) -> Start:
    """One line: the plain `docker run` and, in turn with it, one that is looked into."""
    plain, seen = alternate(
        partial(lab.seconds_of_container, image, *arguments), partial(shares, lab, image, program, *inside), often
    )
    return Start(
        what,
        median(plain),
        {name: median(run[name] for run in seen) for name in SHARES},
        {"plain": plain, "shares": seen},
    )


def shares(lab: Lab, image: str, program: str, *arguments: str) -> dict[str, float]:
    """Seconds of each share, of one container; see inside/phases.py."""
    started = time.perf_counter()
    *_, last = lab.lines(image, "python", "-I", "-S", "/bench/phases.py", program, *arguments)
    total, parts = time.perf_counter() - started, json.loads(last)
    return {"container": total - parts["inside"] - parts["unseen"], **{name: parts[name] for name in SHARES[1:]}}
