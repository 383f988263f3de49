"""A container's output, line by line, with the level of each line. Reads and writes nothing."""

import logging
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

STDOUT, STDERR = 0, 1
MAX_LINE_BYTES = 64 * 1024
# How a stage logs: `2026-11-21T21:34:26Z WARNING preprocessing prepare: rejected data.csv line 15`. Airflow's log has
# a time and the task of its own, so of these only the level and the text are kept.
LOGGED = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR|CRITICAL) [a-z][a-z0-9 _-]*: (.*)", re.DOTALL
)
# How a command line is refused: `airflow-ml-training: error: unrecognized arguments: --rows`.
REFUSED = re.compile(r"[a-z][a-z0-9 ._-]*: error: (.*)", re.DOTALL)


class Line(NamedTuple):
    """One line of a container's output: 0 stdout or 1 stderr, a level of `logging`, and the text."""

    stream: int
    level: int
    text: str


def lines_of(output: Iterable[tuple[bytes | None, bytes | None]]) -> Iterator[Line]:
    """Each line that is not empty, as it comes, from pairs of what stdout and stderr hold.

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
                    yield _with_level(stream, text)


def _with_level(stream: int, text: str) -> Line:
    """A line of stdout is never a log line: its last one is the result, whatever it holds."""
    if stream == STDERR and (logged := LOGGED.fullmatch(text)):
        return Line(stream, logging.getLevelNamesMapping()[logged[1]], logged[2])
    if stream == STDERR and (refused := REFUSED.fullmatch(text)):
        return Line(stream, logging.ERROR, refused[1])
    return Line(stream, logging.INFO, text)
