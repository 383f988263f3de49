"""What a benchmark says, as a table for people and as JSON for programs."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Row:
    """One line: our figure, the figure it is compared with, and how the two relate.

    `value` is their ratio or difference, as `form` writes it. `sign` and `limit` say what it shall be: `>=`, `<=`, or
    nothing where the line only informs. `samples` holds every single measurement.
    """

    HEADER: ClassVar[tuple[str, ...]] = ("what", "ours", "compared with", "", "target", "met")

    what: str
    ours: str
    compared_with: str
    value: float
    form: str = "{:.2f} x"
    sign: str = ""
    limit: float = 0.0
    samples: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if not self.sign:
            return None
        return self.value >= self.limit if self.sign == ">=" else self.value <= self.limit

    def cells(self) -> tuple[str, ...]:
        """The row as texts, in the order of HEADER."""
        target = f"{self.sign} {self.form.format(self.limit)}" if self.sign else ""
        met = {True: "yes", False: "NO", None: ""}[self.met]
        return self.what, self.ours, self.compared_with, self.form.format(self.value), target, met


@dataclass(frozen=True)
class Start:
    """One line: the seconds of a plain `docker run`, and those of each share of one that was looked into; medians."""

    HEADER: ClassVar[tuple[str, ...]] = (
        "cold start",
        "docker run",
        "container",
        "interpreter",
        "imports",
        "work",
        "exit",
    )

    what: str
    seconds: float
    shares: dict[str, float]
    samples: dict[str, Any] = field(default_factory=dict)
    met: ClassVar[bool | None] = None

    def cells(self) -> tuple[str, ...]:
        """The line as texts, in the order of HEADER; each share with its part of their sum."""
        whole = sum(self.shares.values())
        shares = (f"{seconds:.3f} s, {seconds / whole:.0%}" for seconds in self.shares.values())
        return self.what, f"{self.seconds:.2f} s", *shares


Line = Row | Start


def tables(lines: Sequence[Line]) -> list[list[tuple[str, ...]]]:
    """The lines as texts below their headers; each kind of line is a table of its own."""
    kinds = [[line for line in lines if isinstance(line, kind)] for kind in (Row, Start)]
    return [[kind[0].HEADER, *(line.cells() for line in kind)] for kind in kinds if kind]


def text_table(lines: Sequence[Line]) -> str:
    """The lines in columns for a terminal."""
    return "\n\n".join(map(_columns, tables(lines)))


def _columns(table: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in table)


def markdown_table(lines: Sequence[Line], machine: dict[str, str]) -> str:
    """The lines as docs/benchmarks.md holds them, and the machine they were measured on."""
    texts = [[head, ("---",) * len(head), *rest] for head, *rest in tables(lines)]
    written = ["\n".join(f"| {' | '.join(line)} |" for line in table) for table in texts]
    return "\n\n".join([*written, f"{'; '.join(f'{name}: {value}' for name, value in machine.items())}."])


def as_json(lines: Sequence[Line], machine: dict[str, str], images: dict[str, str]) -> dict[str, Any]:
    """All that was measured."""
    rows = [{**asdict(line), "met": line.met} for line in lines if isinstance(line, Row)]
    starts = [asdict(line) for line in lines if isinstance(line, Start)]
    return {"machine": machine, "images": images, "rows": rows, "cold_start": starts}


def describe_machine() -> dict[str, str]:
    """What the figures depend on and the programs do not say."""
    cpus = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model n" in line
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    engine = ["docker", "version", "--format", "{{.Server.Version}}"]
    return {
        "processor": f"{len(os.sched_getaffinity(0))} x {cpus[0] if cpus else platform.machine()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "engine": subprocess.run(engine, text=True, capture_output=True, check=True).stdout.strip(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
