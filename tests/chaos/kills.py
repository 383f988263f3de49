"""Kills containers of stages at random moments, hundreds of times, without Airflow: what a stage leaves must be whole.

Each command of a day starts on a copy of the data that it finds, and SIGKILL comes at a moment that the seed draws. A
file that a mark names and that has other bytes then is torn. The command runs again, and must leave the files of a run
that nobody killed, and no other. What Airflow does about a killed container is in `python -m tests.chaos`.
Exit codes: 0 nothing torn, lost, other or left over; 1 not so; 2 wrong usage.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from airflow_ml.common import number_from_1
from maintain.image_report import fill

from tests.harness import RESTRICTED, ROOT, Data, Done, copy_of, data_volume, docker, images

from .scene import DAY, OF_THE_RUN, TRAINED
from .tables import markdown

MODEL, SMALL = f"models/{TRAINED}", "--rows=3000"
RULES = json.loads((ROOT / "dags" / "rules.json").read_text(encoding="utf-8"))["monitoring"]
RULES_JSON = f"--rules-json={json.dumps(RULES)}"
# The commands of two days, in their order: a model is trained on the first, the second is scored and measured.
STEPS: dict[str, Callable[[Data], Done]] = {
    "generate": lambda data: data.generate(TRAINED, SMALL),
    "prepare": lambda data: data.prepare(TRAINED),
    "split": lambda data: data.split(TRAINED),
    "train": lambda data: data.train(TRAINED),
    "validate": lambda data: data.validate(TRAINED),
    "plot": lambda data: data.plot(TRAINED),
    "generate, the next day": lambda data: data.generate(DAY, SMALL),
    "features": lambda data: data.features(DAY, MODEL),
    "predict": lambda data: data.predict(DAY, MODEL),
    "explain": lambda data: data.explain(DAY, MODEL),
    "label": lambda data: data.label(DAY),
    "evaluate": lambda data: data.stage("prediction", "evaluate", f"--ds={DAY}", RULES_JSON),
    "page": lambda data: data.page(DAY),
}
HEADER = ("command", "kills", "of them after it had published", "torn", "files lost or other", "files left over")


@dataclass(frozen=True)
class Struck(Data):
    """Data on which a stage is killed so many seconds after its start; by default it may end."""

    after_s: float | None = field(default=None, kw_only=True)

    def stage(self, stage: str, *arguments: str, network: str = "none", **_: object) -> Done:  # type: ignore[override]
        """Start a stage, and kill it; whatever it ends with is no error."""
        confined = [*(option for option in RESTRICTED if option != "--rm"), f"--network={network}", self.mount]
        container = docker("run", "--detach", *confined, images()[stage], *arguments).stdout.strip()
        started = time.monotonic()
        try:
            if self.after_s is not None:
                time.sleep(self.after_s)
                docker("kill", container, check=False)  # it may have ended
            code = int(docker("wait", container).stdout)
            return Done(code, {}, docker("logs", container).stderr, time.monotonic() - started)
        finally:
            docker("rm", "--force", container)


@dataclass
class Victim:
    """A command, the data that it finds, how it ends if nobody kills it, and what the kills did."""

    step: Callable[[Data], Done]
    before: Data
    seconds: float
    expected: dict[str, str]
    draw: random.Random
    kills: int = 0
    published: int = 0
    torn: int = 0
    other: int = 0
    left: int = 0

    def figures(self) -> list[int]:
        """The cells of its row."""
        return [self.kills, self.published, self.torn, self.other, self.left]

    def kill(self) -> None:
        """Kill the command once, on a copy of the data, and run it again there."""
        before = self.before.files()
        while True:
            with copy_of(self.before, "kills") as copy:
                after_s = self.draw.uniform(0, self.seconds)
                if self.step(Struck(copy.source, after_s=after_s)).code == 0:
                    continue  # it had ended
                after = copy.files()
                found_torn = torn(copy, after)
                self.step(copy)
                found = lasting(copy.files())
            break
        other = {path for path, sha in self.expected.items() if found.get(path) != sha}
        left = found.keys() - self.expected.keys()
        if found_torn or other or left:
            print(f"killed after {after_s:.2f} s: {found_torn=} {other=} {left=}", file=sys.stderr, flush=True)
        self.kills += 1
        self.published += any(after[path] != before.get(path) for path in after if path.endswith("/_meta.json"))
        self.torn, self.other, self.left = self.torn + len(found_torn), self.other + len(other), self.left + len(left)


def torn(data: Data, files: dict[str, str]) -> list[str]:
    """The files that a mark names, and that are not there or have other bytes."""
    marks = [path.rpartition("/")[0] for path in files if path.endswith("/_meta.json")]
    named = {f"{mark}/{name}": one["sha256"] for mark in marks for name, one in data.mark(mark)["outputs"].items()}
    return [path for path, sha in named.items() if files.get(path) != sha]


def lasting(files: dict[str, str]) -> dict[str, str]:
    """The files, without the bytes that differ from run to run."""
    return {path: "" if path.endswith(OF_THE_RUN) else sha for path, sha in files.items()}


def line_up(stack: ExitStack, seed: int) -> dict[str, Victim]:
    """Every command, with the data that it finds; each runs once."""
    victims, data = {}, stack.enter_context(data_volume("kills"))
    for name, step in STEPS.items():
        before = stack.enter_context(copy_of(data, "kills"))
        done = step(Struck(data.source))
        assert done.code == 0, f"{name}: {done.log}"
        victims[name] = Victim(step, before, done.seconds, lasting(data.files()), random.Random(f"{seed} {name}"))
    return victims


def table(victims: dict[str, Victim]) -> list[str]:
    """Markdown."""
    rows = [one.figures() for one in victims.values()]
    total = [sum(column) for column in zip(*rows, strict=True)]
    return markdown(HEADER, [[name, *row] for name, row in zip([*victims, "all"], [*rows, total], strict=True)])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.chaos.kills", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kills", type=number_from_1, default=16, metavar="N", help="of each command (default: %(default)s)"
    )
    parser.add_argument(
        "--at-once", type=number_from_1, default=2, metavar="N", help="containers (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the moments (default: %(default)s)")
    parser.add_argument("--doc", type=Path, metavar="FILE", help="the page whose table is replaced")
    arguments = parser.parse_args(argv)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(arguments.at_once))
        victims = line_up(stack, arguments.seed)
        for number in range(arguments.kills):
            list(pool.map(Victim.kill, victims.values()))
            lines = table(victims)
            print(f"round {number + 1}: {lines[-1]}", file=sys.stderr, flush=True)
            if arguments.doc:  # after each round: the whole takes long
                page = arguments.doc.read_text(encoding="utf-8")
                arguments.doc.write_text(fill(page, {"kills": lines}), encoding="utf-8")
    print("\n".join(lines))
    return 1 if any(one.torn or one.other or one.left for one in victims.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
