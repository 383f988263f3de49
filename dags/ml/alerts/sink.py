"""The folder in which every alert is kept for a person to read, and by which no failure is told twice.

Reads: ML_ALERTS_FOLDER (default $AIRFLOW_HOME/logs/alerts, which all of Airflow's services share).
Writes: alerts.log, the alerts as text, the newest last; alerts.log.1 to .3, older ones; sent/, a file per failure told.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ml.alerts.message import Message

RULE = "=" * 20
MAX_BYTES, OLDER = 1024 * 1024, 3
# Longer than Airflow or a person retries or clears a task.
KEEP_SENT_S = 90 * 24 * 3600
FOLDER_MODE, FILE_MODE = 0o750, 0o640


def folder() -> Path:
    home = os.environ.get("AIRFLOW_HOME") or "/opt/airflow"
    return Path(os.environ.get("ML_ALERTS_FOLDER") or f"{home}/logs/alerts")


def claim(*key: str | int) -> bool:
    """Whether this caller is the first, in any process, to tell of what the key names. Errors: OSError.

    Making the file is the claim: a process that dies right after has told nobody, which is better than twice.
    """
    path = _claimed(*key)
    make_folder(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(key))
    return True


def is_claimed(*key: str | int) -> bool:
    return _claimed(*key).exists()


def _claimed(*key: str | int) -> Path:
    # A hash, as run ids hold what file names may not, and as many characters as those may have at most.
    return folder() / "sent" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"


def keep(message: Message, problems: list[str]) -> None:
    """Append an alert, and what went wrong when it was sent. Errors: OSError."""
    make_folder(folder())
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    not_sent = [f"NOT SENT: {problem}" for problem in problems]
    text = "\n".join([f"{RULE} {stamp}  {message.subject}", *not_sent, message.body, "", ""])
    with _locked():
        _rotate()
        with _open(folder() / "alerts.log") as file:
            file.write(text)
        _forget_old_claims()


def make_folder(path: Path) -> None:
    for each in reversed([path, *path.parents]):
        if not each.exists():
            each.mkdir(mode=FOLDER_MODE, exist_ok=True)


@contextmanager
def _locked() -> Iterator[None]:
    with _open(folder() / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE), "w", encoding="utf-8")


def _rotate() -> None:
    log = folder() / "alerts.log"
    if not log.exists() or log.stat().st_size < MAX_BYTES:
        return
    names = [log, *(folder() / f"alerts.log.{number}" for number in range(1, OLDER + 1))]
    for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
        if newer.exists():
            newer.replace(older)


def _forget_old_claims() -> None:
    for path in (folder() / "sent").glob("*.json"):
        if time.time() - path.stat().st_mtime > KEEP_SENT_S:
            path.unlink(missing_ok=True)
