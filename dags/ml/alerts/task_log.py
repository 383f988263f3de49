"""A task's log, as Airflow's services share it. Reads: its file, where Airflow puts it by default. Writes nothing."""

import json
from pathlib import Path
from typing import Any

# Enough for the last lines; a log may be gigabytes.
TAIL_BYTES = 256 * 1024


class TaskLog:
    """The log of one try of a task; empty where it cannot be read."""

    def __init__(self, folder: Path, ti: Any) -> None:
        parts = [f"dag_id={ti.dag_id}", f"run_id={ti.run_id}", f"task_id={ti.task_id}"]
        if (ti.map_index or 0) >= 0 and ti.map_index is not None:
            parts.append(f"map_index={ti.map_index}")
        self.path = folder.joinpath(*parts, f"attempt={ti.try_number}.log")

    def last(self, number: int) -> tuple[str, ...]:
        """The last lines, without those that only open and close a fold of Airflow's page."""
        return tuple([line for line in self._lines(from_end=True) if line and not line.startswith("::")][-number:])

    def after(self, words: str) -> str:
        """What follows the words in the first line that begins with them, or ''."""
        found = (line for line in self._lines(from_end=False) if line.startswith(words))
        return next(found, "")[len(words) :].strip()

    def _lines(self, from_end: bool) -> list[str]:
        try:
            with self.path.open("rb") as file:
                if from_end:
                    file.seek(max(0, self.path.stat().st_size - TAIL_BYTES))
                raw = file.read(TAIL_BYTES)
        except OSError:
            return []
        return [_event(line) for line in raw.decode("utf-8", errors="replace").splitlines()]


def _event(line: str) -> str:
    """The text of a line, which Airflow writes as a JSON object; one that was cut is no object."""
    try:
        return str(json.loads(line)["event"]).strip()
    except (ValueError, KeyError, TypeError):
        return ""
