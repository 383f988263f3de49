"""The files of an image's folder, read once: its tag is made of them, and its build context is written from them.

So what decides the tag and what a build can see are one list; a file that is not on it cannot reach the image.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_ml.common import AirflowMlError

# In a folder, but not in its image; nor are hidden files and Python's caches.
NOT_IN_IMAGE = {"README.md", "requirements.in"}


@dataclass(frozen=True)
class ContextFile:
    """A file of a build context, as git would keep it: path, executable or not, bytes."""

    path: str
    executable: bool
    content: bytes

    @property
    def fingerprint(self) -> str:
        """Mode and sha256, in one text."""
        return f"{'100755' if self.executable else '100644'} {hashlib.sha256(self.content).hexdigest()}"


def read_context(folder: Path) -> tuple[ContextFile, ...]:
    """The files that go to the builder, in the order of their names.

    Errors: AirflowMlError for a symbolic link or anything else that is neither file nor folder: its content is
    outside of the folder, so no tag could name it.
    """
    return tuple(_read(folder, path) for path in sorted(_walk(folder, ""), key=os.fsencode))


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder / prefix) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.name.startswith(".") or entry.name.endswith(".pyc") or path in NOT_IN_IMAGE:
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _walk(folder, f"{path}/")
            else:
                yield path


def _read(folder: Path, path: str) -> ContextFile:
    status = (folder / path).lstat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "neither a file nor a folder"
        raise AirflowMlError(
            f"{folder / path} is {kind}", expected="files and folders only", do="put a copy in its place"
        )
    # Of the mode only what git keeps: the rest depends on the umask of whoever checked out.
    return ContextFile(path, bool(status.st_mode & stat.S_IXUSR), (folder / path).read_bytes())


def write_context(files: Iterable[ContextFile], target: Path) -> None:
    """Write the files to a new folder, the same whatever the umask and the clock.

    The builder takes a file for the one that it knows from an earlier build if path, size, mode and time are the
    same. So the time must differ with the content: its second is always 0, its nanoseconds come from the content.
    """
    target.mkdir(parents=True)
    folders = {target}
    for file in files:
        path = target / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        folders |= {parent for parent in path.parents if target in parent.parents}
        path.write_bytes(file.content)
        path.chmod(0o755 if file.executable else 0o644)
        nanoseconds = int(hashlib.sha256(file.fingerprint.encode()).hexdigest(), 16) % 10**9
        os.utime(path, ns=(nanoseconds, nanoseconds))
    for folder in folders:
        folder.chmod(0o755)
        os.utime(folder, (0, 0))
