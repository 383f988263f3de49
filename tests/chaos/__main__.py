"""Strikes a day that runs with each fault, looks at how it ends, and prints a table; `--doc` writes it into a page.

Each try publishes the same day from nothing: generate_data, train_model, predict and monitor, asked for together, with
the fault at a moment that the seed draws. Its files must be those of a day without a fault, byte for byte. A reader
reads every partition all the time. The stack is a compose project of its own; its data is on a small disk of its own.
Takes hours. Exit codes: 0 every day completed, after a clear at most, and nothing was lost, torn or left over;
1 not so, or a fault did not strike; 2 wrong usage.
"""

import argparse
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maintain.image_report import fill, part

from .faults import FAULTS, Fault
from .scene import Reading, Scene, reader, struck_stack
from .tables import markdown

HEADER = (
    "fault",
    "days",
    "strikes",
    "completed without a hand",
    "completed after a clear",
    "files lost or other",
    "torn, of reads",
    "orphans",
    "alerts",
    "seconds more, median and worst",
)


@dataclass(frozen=True)
class Try:
    """How a day ended that was struck."""

    strikes: int
    by_itself: bool
    after_clear: bool
    wrong: tuple[str, ...]
    reading: Reading
    orphans: int
    alerts: int
    seconds: float

    @property
    def is_well(self) -> bool:
        """Whether the fault struck, and the day is whole all the same."""
        whole = (self.by_itself or self.after_clear) and not self.wrong
        return bool(self.strikes) and whole and not self.reading.torn and bool(self.reading.looks) and not self.orphans


def run_day(scene: Scene, fault: Fault | None, moment: float, expected: dict[str, str]) -> Try:
    """Publish the day, with a fault so many seconds after it was asked for."""
    scene.start_day()
    started = time.monotonic()
    with reader() as read:
        time.sleep(moment)
        strikes = fault(scene) if fault else 0
        states, cleared = scene.see_through()
        seconds = time.monotonic() - started
        reading = read()
    found = scene.files()
    wrong = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    completed = set(states) == {"success"}
    by_itself, after_clear = completed and not cleared, completed and cleared
    orphans = len(scene.orphans())
    return Try(strikes, by_itself, after_clear, tuple(wrong), reading, orphans, scene.alerts(), seconds)


def row(name: str, tries: Sequence[Try], usual_s: float) -> list[str]:
    """A fault's line of the table."""
    more = sorted(one.seconds - usual_s for one in tries)
    return [
        name,
        str(len(tries)),
        str(sum(one.strikes for one in tries)),
        str(sum(one.by_itself for one in tries)),
        str(sum(one.after_clear for one in tries)),
        str(sum(len(one.wrong) for one in tries)),
        f"{sum(one.reading.torn for one in tries)} of {sum(one.reading.looks for one in tries):,}",
        str(sum(one.orphans for one in tries)),
        str(sum(one.alerts for one in tries)),
        f"{more[len(more) // 2]:.0f}, {more[-1]:.0f}",
    ]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    return markdown(HEADER, rows)


def merged(page: str, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows of a page's table with these in place of those of the same faults, in the order of FAULTS.

    A row of a fault that is gone goes.
    """
    there = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part(page, "faults")]
    known = {cells[0]: cells for cells in [*there, *map(list, rows)] if len(cells) == len(HEADER)}
    return [known[name] for name in ("none", *FAULTS) if name in known]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tries", type=int, default=2, metavar="N", help="days for each fault (default: %(default)s)")
    parser.add_argument(
        "--only", default="", metavar="EXPRESSION", help="only faults whose name fits, such as 'disk|twice'"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the moments (default: %(default)s)")
    parser.add_argument("--doc", type=Path, metavar="FILE", help="the page whose rows of these faults are replaced")
    arguments = parser.parse_args(argv)
    chosen = {name: fault for name, fault in FAULTS.items() if re.search(arguments.only, name)}
    if not chosen or arguments.tries < 1:
        parser.error(f"no fault's name fits {arguments.only!r}, or --tries is below 1; faults: {'; '.join(FAULTS)}")
    draw = random.Random(arguments.seed)
    rows, all_well = [], True
    with struck_stack() as scene:
        # Were a day not the same twice, each day that is struck would differ from it.
        usual = replace(run_day(scene, None, 0, {}), wrong=())
        expected = scene.files()
        if not usual.by_itself or not expected:
            raise SystemExit(f"error: a day without a fault has failed: {usual}")
        rows.append(row("none", [usual], usual.seconds))
        for name, fault in chosen.items():
            tries = []
            for _ in range(arguments.tries):
                moment = draw.uniform(0, usual.seconds)
                one = run_day(scene, fault, moment, expected)
                if not one.strikes:  # on a machine that is less busy now the day had ended
                    one = run_day(scene, fault, moment / 2, expected)
                tries.append(one)
                all_well &= tries[-1].is_well
                print(f"{name}: {tries[-1]}", file=sys.stderr, flush=True)
            rows.append(row(name, tries, usual.seconds))
            if arguments.doc:  # after each fault: the whole takes long
                page = arguments.doc.read_text(encoding="utf-8")
                arguments.doc.write_text(fill(page, {"faults": table(merged(page, rows))}), encoding="utf-8")
    print("\n".join(table(rows)))
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
