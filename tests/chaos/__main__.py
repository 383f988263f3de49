"""Strikes a day that runs with each fault, looks at how it ends, and prints a table; `--doc` writes it into a page.

Each try publishes the same day from nothing: generate_data, train_model, predict and monitor, asked for together, with
the fault at a moment that the seed draws. Its files must be those of a day without a fault, byte for byte. A reader
reads every partition all the time. The stack is a compose project of its own; its data is on a small disk of its own.
Takes hours. Exit codes: 0 every day completed, after a clear at most, and nothing was lost, torn or left over;
1 not so, or a fault did not strike; 2 wrong usage.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from maintain.image_report import fill, part

from .faults import ALL_DAY, FAULTS, OF_MACHINE, Fault
from .scene import Reading, Scene, Task, reader, struck_machine, struck_stack
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
    "seconds to heal, median and worst",
)
ALL = {**FAULTS, **OF_MACHINE}


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
    healed_s: float | None
    seconds: float

    @property
    def is_well(self) -> bool:
        """Whether the fault struck, and the day is whole all the same."""
        whole = (self.by_itself or self.after_clear) and not self.wrong
        return bool(self.strikes) and whole and not self.reading.torn and bool(self.reading.looks) and not self.orphans


def run_day(scene: Scene, fault: Fault | None, moment: float, expected: dict[str, str]) -> Try:
    """Publish the day, with a fault so many seconds after it was asked for, or when the next stage works."""
    scene.start_day()
    started = time.monotonic()
    with reader(scene.partitions) as read:
        time.sleep(moment)
        strikes = fault(scene) if fault and scene.at_work() else []
        # Of what was struck all day long, most has healed before the end of the fault.
        struck = set[Task]() if fault in ALL_DAY else set[Task]().union(*strikes)
        states, cleared, healed_s = scene.see_through(struck)
        seconds = time.monotonic() - started
        reading = read()
    found = scene.files()
    wrong = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    wrong += scene.wrong_in_copies(expected)
    completed = set(states) == {"success"}
    by_itself, after_clear = completed and not cleared, completed and cleared
    orphans = len(scene.orphans())
    return Try(
        len(strikes), by_itself, after_clear, tuple(wrong), reading, orphans, scene.alerts(),
        healed_s if struck else None, seconds,
    )  # fmt: skip


def row(name: str, tries: Sequence[Try]) -> list[str]:
    """A fault's line of the table."""
    healed = sorted(one.healed_s for one in tries if one.healed_s is not None)
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
        f"{healed[len(healed) // 2]:.0f}, {healed[-1]:.0f}" if healed else "–",
    ]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    return markdown(HEADER, rows)


def merged(page: str, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows of a page's table with these in place of those of the same faults, in the order of ALL.

    A row of a fault that is gone goes.
    """
    there = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part(page, "faults")]
    known = {cells[0]: cells for cells in [*there, *map(list, rows)] if len(cells) == len(HEADER)}
    return [known[name] for name in ("none", *ALL) if name in known]


def strike(scene: Scene, names: Sequence[str], tries: int) -> Iterator[tuple[str, list[Try]]]:
    """The tries of each of these faults, after the day without a fault."""
    # Were a day not the same twice, each day that is struck would differ from it.
    usual = replace(run_day(scene, None, 0, {}), wrong=())
    expected = scene.files()
    if not usual.by_itself or not expected:
        raise SystemExit(f"error: a day without a fault has failed: {usual}")
    yield "none", [usual]
    for name in names:
        done = []
        for _ in range(tries):
            moment = 0 if ALL[name] in ALL_DAY else scene.draw.uniform(0, usual.seconds)
            one = run_day(scene, ALL[name], moment, expected)
            if not one.strikes:  # on a machine that is less busy now the day had ended
                one = run_day(scene, ALL[name], moment / 2, expected)
            done.append(one)
            print(f"{name}: {one}", file=sys.stderr, flush=True)
        yield name, done


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
    chosen = [name for name in ALL if re.search(arguments.only, name)]
    if not chosen or arguments.tries < 1:
        parser.error(f"no fault's name fits {arguments.only!r}, or --tries is below 1; faults: {'; '.join(ALL)}")
    rows, all_well = [], True
    with_clock = any("clock" in name for name in chosen)
    for faults, stage in ((FAULTS, partial(struck_stack, with_clock=with_clock)), (OF_MACHINE, struck_machine)):
        if names := [name for name in chosen if name in faults]:
            with stage() as scene:
                scene.draw.seed(arguments.seed)
                for name, tries in strike(scene, names, arguments.tries):
                    all_well &= all(one.is_well for one in tries if name != "none")
                    rows.append(row(name, tries))
                    if arguments.doc:  # after each fault: the whole takes long
                        page = arguments.doc.read_text(encoding="utf-8")
                        arguments.doc.write_text(fill(page, {"faults": table(merged(page, rows))}), encoding="utf-8")
    print("\n".join(table(rows)))
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
