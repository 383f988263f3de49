"""The journal of a search: a line for each finished trial, so that a search that was killed continues.

It is a hidden file in the partition's own folder. No reader looks at it: only a mark makes files a partition. A search
holds its lock for as long as it lives. A line counts when it ends; what a kill has cut is tried again, as is everything
from a damaged line on.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from stagekit import StageError
from stagekit.shapes import COUNT, ShapeError, check, parse_object

JOURNAL_FILE = ".search.jsonl"
# A line of it.
TRIAL = {
    "number": COUNT,
    "pruned": bool,
    "value": float,
    "best_iteration": COUNT,
    "parameters": dict,
    "curve": [float],
}


@dataclass(frozen=True)
class Trial:
    """A finished trial: what was tried, and the metric on the validating rows at each iteration.

    `value` is the metric at `best_iteration`. A trial that was `pruned` ended early, because it was worse than others.
    """

    number: int
    pruned: bool
    value: float
    best_iteration: int
    parameters: dict[str, Any]
    curve: Sequence[float]


class Journal:
    """The finished `trials` of the search with this `fingerprint`; those of any other search are forgotten.

    Errors: StageError if another search of the partition is running.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path, self._head = folder / JOURNAL_FILE, json.dumps({"search": fingerprint}).encode() + b"\n"
        self.trials: list[Trial] = []

    def __enter__(self) -> "Journal":
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StageError(
                f"another search writes {self._path.parent.name} at this moment", do="wait until it has ended"
            ) from None
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            lines = file.read().splitlines(keepends=True)
        if lines and lines[0] == self._head:
            self.trials = list(_trials(lines[1:]))
            os.ftruncate(self._descriptor, sum(map(len, lines[: 1 + len(self.trials)])))
        else:
            os.ftruncate(self._descriptor, 0)
            self._append(self._head)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def add(self, trial: Trial) -> None:
        """Keep a finished trial."""
        self._append(_line(trial))
        self.trials.append(trial)

    def text(self, trials: int) -> bytes:
        """The first trials, a line of JSON each."""
        return b"".join(map(_line, self.trials[:trials]))

    def _append(self, content: bytes) -> None:
        os.lseek(self._descriptor, 0, os.SEEK_END)
        with os.fdopen(os.dup(self._descriptor), "wb") as file:
            file.write(content)
        os.fsync(self._descriptor)


def _trials(lines: Sequence[bytes]) -> Iterator[Trial]:
    """The trials before the first line that a kill has cut, or that is damaged."""
    for line in lines:
        try:
            content = parse_object(line)
            check(content, TRIAL)
            trial = Trial(**content)
        except (ShapeError, TypeError):
            return
        if not line.endswith(b"\n"):
            return
        yield trial


def _line(trial: Trial) -> bytes:
    return json.dumps(asdict(trial)).encode() + b"\n"
