"""Where a step writes before it publishes: a hidden folder in the partition's, claimed by its writer."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from stagekit.mark import locked
from stagekit.process import at_termination


class Workspace:
    """A temporary folder, `path`, in a partition's `folder`, which is made where it is missing; `close` removes it.

    A process that is killed leaves it behind: no reader looks at it, and the next writer removes it.
    """

    def __init__(self, folder: Path, step: str) -> None:
        self._folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent):
            folder.mkdir(exist_ok=True)
            _remove_abandoned(folder)
            self.path = Path(tempfile.mkdtemp(prefix=f".{step}-", suffix=".tmp", dir=folder))
            # Held for as long as this process lives: how other writers know that somebody writes here.
            self._claim = os.open(self.path, os.O_RDONLY)
            fcntl.flock(self._claim, fcntl.LOCK_EX)
        self._forget = at_termination(self._discard)

    def close(self) -> None:
        """Remove the folder, and the partition's where nothing was published in it."""
        self._forget()
        self._discard()
        os.close(self._claim)

    def _discard(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        with locked(self._folder.parent), contextlib.suppress(OSError):
            self._folder.rmdir()  # only an empty folder goes


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary folders of writers that were killed: nobody holds their lock any more."""
    for path in folder.glob(".*.tmp"):
        try:
            claim = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(claim)
