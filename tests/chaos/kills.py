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
from dataclasses import dataclass, field
from pathlib import Path

from airflow_ml.common import number_from_1
from maintain.image_report import fill

from tests.harness import RESTRICTED, ROOT, Data, Done, copy_of, data_volume, docker, images

from .scene import DAY, OF_THE_RUN, TRAINED
from .tables import markdown

MODEL, SMALL = f"models/{TRAINED}", "--rows=3000"
RULES = json.loads((ROOT / "dags" / "rules.json").read_text(encoding="utf-8"))
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
class Count:
    """How often a command was killed, and what that did."""

    kills: int = 0
    published: int = 0
    torn: int = 0
    other: int = 0
    left: int = 0

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.torn and not self.other and not self.left


def torn(data: Data, files: dict[str, str]) -> list[str]:
    """The files that a mark names, and that are not there or have other bytes."""
    marks = [path.rpartition("/")[0] for path in files if path.endswith("/_meta.json")]
    named = {f"{mark}/{name}": one["sha256"] for mark in marks for name, one in data.mark(mark)["outputs"].items()}
    return [path for path, sha in named.items() if files.get(path) != sha]


def lasting(files: dict[str, str]) -> dict[str, str]:
    """The files, without the bytes that differ from run to run."""
    return {path: "" if path.endswith(OF_THE_RUN) else sha for path, sha in files.items()}


def kill_step(data: Data, step: Callable[[Data], Done], kills: int, draw: random.Random) -> Count:
    """Kill a command so many times, each time on a copy of the data."""
    count, before = Count(), data.files()
    with copy_of(data, "kills") as whole:
        done = step(Struck(whole.source))
        assert done.code == 0, done.log
        expected = lasting(whole.files())
    while count.kills < kills:
        with copy_of(data, "kills") as copy:
            if step(Struck(copy.source, after_s=draw.uniform(0, done.seconds))).code == 0:
                continue  # it had ended
            count.kills += 1
            after = copy.files()
            marks = {path for path in after if path.endswith("/_meta.json")}
            count.published += any(after[path] != before.get(path) for path in marks)
            found_torn = torn(copy, after)
            step(copy)
            found = lasting(copy.files())
        lost = {path for path, sha in expected.items() if found.get(path) != sha}
        left = found.keys() - expected.keys()
        for what in (found_torn, lost, left):
            if what:
                print(f"killed after {count}: {sorted(what)}", file=sys.stderr, flush=True)
        count.torn, count.other, count.left = (
            count.torn + len(found_torn), count.other + len(lost), count.left + len(left),
        )  # fmt: skip
    return count


def table(counts: dict[str, Count]) -> list[str]:
    """Markdown."""
    rows = [(name, one.kills, one.published, one.torn, one.other, one.left) for name, one in counts.items()]
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    return markdown(HEADER, rows)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.chaos.kills", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kills", type=number_from_1, default=16, metavar="N", help="of each command (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the moments (default: %(default)s)")
    parser.add_argument("--doc", type=Path, metavar="FILE", help="the page whose table is replaced")
    arguments = parser.parse_args(argv)
    draw = random.Random(arguments.seed)
    counts: dict[str, Count] = {}
    with data_volume("kills") as data:
        for name, step in STEPS.items():
            counts[name] = kill_step(data, step, arguments.kills, draw)
            print(f"{name}: {counts[name]}", file=sys.stderr, flush=True)
            step(data)
    lines = table(counts)
    if arguments.doc:
        page = arguments.doc.read_text(encoding="utf-8")
        arguments.doc.write_text(fill(page, {"kills": lines}), encoding="utf-8")
    print("\n".join(lines))
    return 0 if all(one.is_well for one in counts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
