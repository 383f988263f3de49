"""Where a step writes before it publishes: a hidden folder in the partition's, claimed by its writer."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from stagekit.locks import CLAIM, claim, is_claimed, locked
from stagekit.process import at_termination

# The name, in the workspace, of the folder for files that are not published.
SCRATCH = ".scratch"
# Which names in a partition's folder are those of workspaces.
WORKSPACES = ".*.tmp"


class Workspace:
    """A temporary folder, `path`, in a partition's `folder`, which is made where it is missing; `close` removes it.

    A process that is killed leaves it behind: no reader looks at it, and the next writer removes it.
    """

    def __init__(self, folder: Path, step: str) -> None:
        self._folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            folder.mkdir(exist_ok=True)
            _remove_abandoned(folder)
            self.path = Path(tempfile.mkdtemp(prefix=f".{step}-", suffix=".tmp", dir=folder))
            self._claim = claim(self.path)
        self._forget = at_termination(self._discard)

    @property
    def scratch(self) -> Path:
        """A folder for files that are not published."""
        folder = self.path / SCRATCH
        folder.mkdir(exist_ok=True)
        return folder

    def outputs(self) -> list[Path]:
        """The files to publish, by name; the scratch folder goes."""
        shutil.rmtree(self.path / SCRATCH, ignore_errors=True)
        return sorted(path for path in self.path.iterdir() if path.name != CLAIM)

    def close(self) -> None:
        """Remove the folder, and the partition's where nothing was published in it."""
        self._forget()
        self._discard()

    def _discard(self) -> None:
        os.close(self._claim)  # first: on NFS a file that is open leaves a name behind
        shutil.rmtree(self.path, ignore_errors=True)
        with locked(self._folder), contextlib.suppress(OSError):
            self._folder.rmdir()  # only an empty folder goes


def clean_up(folder: Path) -> None:
    """Remove the workspaces that writers of a published partition left behind when they were killed.

    A writer does so too. But a step that was killed after it had published has nothing to write again.
    """
    with contextlib.suppress(OSError):  # the data may be mounted to be read only
        if any(folder.glob(WORKSPACES)):
            with locked(folder):
                _remove_abandoned(folder)


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary folders of writers that were killed: nobody claims them any more."""
    for path in folder.glob(WORKSPACES):
        with contextlib.suppress(FileNotFoundError):
            if not is_claimed(path):
                shutil.rmtree(path, ignore_errors=True)
