"""What a benchmark says, as a table for people and as JSON for programs."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEADER = ("what", "ours", "compared with", "", "target", "met")


@dataclass(frozen=True)
class Row:
    """One line: our figure, the figure it is compared with, and how the two relate.

    `value` is their ratio or difference, as `form` writes it. `sign` and `limit` say what it shall be: `>=`, `<=`, or
    nothing where the line only informs. `samples` holds every single measurement.
    """

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


def text_table(rows: Sequence[Row]) -> str:
    """The rows in columns for a terminal."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def markdown_table(rows: Sequence[Row], machine: dict[str, str]) -> str:
    """The rows as docs/benchmarks.md holds them, and the machine they were measured on."""
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells() for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{'; '.join(f'{name}: {value}' for name, value in machine.items())}."


def as_json(rows: Sequence[Row], machine: dict[str, str], images: dict[str, str]) -> dict[str, Any]:
    """All that was measured."""
    return {"machine": machine, "images": images, "rows": [{**asdict(row), "met": row.met} for row in rows]}


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
