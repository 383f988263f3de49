"""What a task's container did: what the task's error and an alert about it tell. Reads and writes nothing."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

MAX_LINE_BYTES = 64 * 1024
LINES_KEPT = 15


@dataclass
class Outcome:
    """The container of one try, as far as it got."""

    image: str
    by_hand: str = ""
    exit_code: int | None = None
    meaning: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    result: dict[str, Any] = field(default_factory=dict)


def lines_of(output: Iterable[tuple[bytes | None, bytes | None]]) -> Iterator[tuple[int, str]]:
    """Each line that is not empty, as it comes, after the number of its stream: 0 stdout, 1 stderr.

    A line without an end is cut at MAX_LINE_BYTES, as the whole of it would have to be kept.
    """
    pending = [b"", b""]
    for frame in chain(output, [(b"\n", b"\n")]):
        for stream, chunk in enumerate(frame):
            *lines, pending[stream] = (pending[stream] + (chunk or b"")).split(b"\n")
            if len(pending[stream]) > MAX_LINE_BYTES:
                lines, pending[stream] = [*lines, pending[stream]], b""
            for line in lines:
                if text := line.decode("utf-8", errors="replace").rstrip():
                    yield stream, text
