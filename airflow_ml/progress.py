"""How far long work of the host tool is: the part of stagekit that shows it, as a bar or a line a minute.

That part is loaded from this checkout, without the rest of stagekit: it needs the standard library alone.
"""

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from gzip import GzipFile
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_ml.common import ROOT

if TYPE_CHECKING:
    from stagekit.progress import LINE_SECONDS, LogHandler, progress, say, show_progress, track
else:
    _spec = importlib.util.spec_from_file_location("progress", ROOT / "base-image" / "stagekit" / "progress.py")
    _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
    LINE_SECONDS, LogHandler, progress, say = _module.LINE_SECONDS, _module.LogHandler, _module.progress, _module.say
    show_progress, track = _module.show_progress, _module.track

__all__ = ["Bytes", "copy", "progress", "reading", "say", "show", "track"]

# What is read or written: a file, or one that is packed.
Bytes = IO[bytes] | GzipFile
BLOCK = 1 << 20


@contextlib.contextmanager
def show(command: str, seconds: float = LINE_SECONDS) -> Iterator[None]:
    """Show how far a command of the host tool is, until the body ends."""
    logger = logging.getLogger("stagekit")
    handler = LogHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with show_progress(command, seconds):
            yield
    finally:
        logger.removeHandler(handler)


class _Counted(BufferedReader):
    """A file that says how much of it was read."""

    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        super().__init__(FileIO(path))
        self._advance = advance

    def read(self, size: "int | None" = -1) -> bytes:
        found = super().read(size)
        self._advance(len(found))
        return found


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A file that is open for reading; shows how much of it was read."""
    with progress(what, path.stat().st_size, "bytes") as advance, _Counted(path, advance) as file:
        yield file


def copy(source: Bytes, target: Bytes, advance: Callable[[int], None] = lambda _: None) -> None:
    """Copy the rest of a file, and say how much."""
    while block := source.read(BLOCK):
        target.write(block)
        advance(len(block))
