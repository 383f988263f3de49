"""How far long work is: a bar on a terminal, a log line a minute anywhere else.

The work says how far it is, with `progress` or `track`. `show_progress`, which runs around every command, shows it.
Work that says nothing still gets its line, because proxies cut log streams that are idle.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO, TypeVar

# The host tool loads this file too, with Python 3.10, where a handler takes no type.
if TYPE_CHECKING:
    StreamHandler = logging.StreamHandler[TextIO]
else:
    StreamHandler = logging.StreamHandler

log = logging.getLogger("stagekit")

LINE_SECONDS, BAR_SECONDS = 60.0, 0.2
BAR_WIDTH, ERASE = 24, "\r\x1b[K"
COLUMNS = 80  # of a terminal that does not say how many it has
Item = TypeVar("Item")


@dataclass(eq=False)
class Meter:
    """A piece of work: what it is, how much is done of how much; `total` is None if nobody knows."""

    what: str
    total: int | None
    unit: str
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""
        self.done += amount

    @property
    def share(self) -> float | None:
        """How much of the work is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else None

    def figures(self, now: float) -> str:
        """How much is done, how fast it goes, and how long it still takes."""
        seconds = now - self.started
        rate = self.done / seconds if seconds > 0 else 0.0
        done = amount(self.done, self.unit)
        if not rate:
            return done
        if self.share is None or self.total is None:
            return f"{done}, {amount(rate, self.unit)}/s"
        left = duration(max(0.0, (self.total - self.done) / rate))
        return f"{self.share:.0%} of {amount(self.total, self.unit)}, {amount(rate, self.unit)}/s, {left} left"


_running: list[Meter] = []
# What writes to the terminal: a log line must not land in the bar.
_screen = threading.RLock()


@contextmanager
def progress(what: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Shows a piece of work while the body runs; yields the function that says that so many units more are done.

    :param what: the work, such as `reading raw/2026-11-21/data.csv`
    :param total: all units; None if nobody knows
    :param unit: what is counted, such as rows; `bytes` are shown as MB
    """
    meter = Meter(what, total, unit)
    _running.append(meter)
    try:
        yield meter.advance
    finally:
        _running.remove(meter)


def track(
    items: Iterable[Item], what: str, total: int | None, unit: str, size: Callable[[Item], int] = lambda _: 1
) -> Iterator[Item]:
    """The same items, with the progress of whoever takes them; `size` is how many units an item is."""
    with progress(what, total, unit) as advance:
        for item in items:
            yield item
            advance(size(item))


@contextmanager
def show_progress(
    name: str, seconds: float = LINE_SECONDS, screen: TextIO | None = None, bar_seconds: float = BAR_SECONDS
) -> Iterator[None]:
    """Show the innermost running work until the body ends: as a bar if `screen` is a terminal, else in the log."""
    screen = screen or sys.stderr
    on_terminal = screen.isatty()
    done, started = threading.Event(), time.monotonic()

    def show() -> None:
        while not done.wait(bar_seconds if on_terminal else seconds):
            now = time.monotonic()
            if on_terminal:
                draw(screen, bar(name, started, now))
            else:
                log.info("%s", line(name, started, now))

    thread = threading.Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if on_terminal:
            draw(screen, "")


def line(name: str, started: float, now: float) -> str:
    """What the log says of the work, each minute."""
    still = f"still running {name} after {now - started:.0f} s"
    meter = _running[-1] if _running else None
    return f"{still}: {meter.what}: {meter.figures(now)}" if meter else still


def bar(name: str, started: float, now: float) -> str:
    """What a terminal shows of the work."""
    meter = _running[-1] if _running else None
    if meter is None:
        return f"{name}  {duration(now - started)}"
    if meter.share is None:
        return f"{name}  {meter.what}  {meter.figures(now)}"
    full = round(meter.share * BAR_WIDTH)
    return f"{name}  [{'#' * full}{'.' * (BAR_WIDTH - full)}]  {meter.what}  {meter.figures(now)}"


def draw(screen: TextIO, text: str) -> None:
    """Replace the last line of a terminal; a longer text is cut, because a second line could not be replaced."""
    try:
        columns = os.get_terminal_size(screen.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    with _screen:
        screen.write(ERASE + text[: (columns or COLUMNS) - 1])
        screen.flush()


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, to stderr by default; on a terminal it takes the bar away first."""
    with _screen:
        if sys.stderr.isatty():
            sys.stderr.write(ERASE)
            sys.stderr.flush()
        print(text, file=stream or sys.stderr, flush=True)


class LogHandler(StreamHandler):
    """Writes the log to stderr; on a terminal it takes the bar away first."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._on_terminal = sys.stderr.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        with _screen:
            if self._on_terminal:
                self.stream.write(ERASE)
            super().emit(record)


def amount(number: float, unit: str) -> str:
    """So many units for people."""
    if unit == "bytes":
        return f"{number / 1e6:,.1f} MB"
    return f"{number:,.1f} {unit}" if 0 < number < 10 and number % 1 else f"{number:,.0f} {unit}"


def duration(seconds: float) -> str:
    """A time for people, in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
