"""Locks between processes that share nothing but the data folder: not a host, not a clock, not a list of processes.

Each lock is `flock` on a regular file that is open for writing. Shared file systems pass such a lock on to other hosts.
The lock of a folder they grant on each host alone (FUSE), and NFS needs a file that is open for writing.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

# Beside the partitions of a kind, such as raw/.lock. It stays, because those who wait for it would
# otherwise wait for a file that others no longer see.
LOCK = ".lock"
# In a writer's temporary folder.
CLAIM = ".claim"


@contextlib.contextmanager
def locked(partition: Path) -> Iterator[None]:
    """Hold the lock under which a partition's folder and mark change; it is common to all partitions of one kind."""
    descriptor = _open(partition.parent / LOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def unchanging(partition: Path) -> Iterator[None]:
    """Let nobody publish in a partition. A reader may have no right to write: it needs none."""
    try:
        descriptor = os.open(partition.parent / LOCK, os.O_RDONLY)
    except FileNotFoundError:  # images of this release have published nothing there
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def claim(folder: Path) -> int:
    """Claim a new folder for as long as this process lives, or until it closes the descriptor that is returned."""
    descriptor = _open(folder / CLAIM)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def is_claimed(folder: Path) -> bool:
    """Whether a living process has claimed a folder. Errors: FileNotFoundError if the folder has gone."""
    file = folder / CLAIM
    # Images of an earlier release lock the folder itself.
    # A claim is not made here: in a folder that its writer removes now, it would be left behind.
    descriptor = os.open(file, os.O_RDWR) if file.exists() else os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _open(file: Path) -> int:
    """Open a lock file for writing. Whoever may write into its folder may take the lock."""
    try:
        return os.open(file, os.O_RDWR)
    except FileNotFoundError:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        with contextlib.suppress(PermissionError):  # somebody else has made it meanwhile
            os.fchmod(descriptor, 0o666)
        return descriptor
