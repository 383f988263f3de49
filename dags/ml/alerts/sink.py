"""The folder that keeps every alert for a person to read, and the claims by which no failure is reported twice.

Reads: ML_ALERTS_FOLDER (default $AIRFLOW_HOME/logs/alerts, which all of Airflow's services share).
Writes: alerts.log, the alerts as text, the newest last; alerts.log.1 to .3, older ones; sent/, a file per alert sent.
"""

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from ml.alerts.message import Message

RULE = "=" * 20
MAX_BYTES, OLDER = 1024 * 1024, 3
# Longer than Airflow or a person retries or clears a task.
KEEP_SENT_S = 90 * 24 * 3600
FOLDER_MODE, FILE_MODE = 0o750, 0o640


def folder() -> Path:
    """The sink's folder; it may not exist yet."""
    home = os.environ.get("AIRFLOW_HOME") or "/opt/airflow"
    return Path(os.environ.get("ML_ALERTS_FOLDER") or f"{home}/logs/alerts")


def claim(*key: str | int) -> bool:
    """Whether this caller is the first, in any process, to report what the key names. Errors: OSError.

    Making the file is the claim: a process that dies right after has reported nothing, which is better than twice.
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
    """Whether any process has claimed what the key names."""
    return _claimed(*key).exists()


def _claimed(*key: str | int) -> Path:
    # A hash, as run ids hold characters that file names may not, and are as long as a file name may be.
    return folder() / "sent" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"


def keep(message: Message, problems: list[str]) -> None:
    """Append an alert, and what went wrong when it was sent. Errors: OSError."""
    make_folder(folder())
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    not_sent = [f"NOT SENT: {problem}" for problem in problems]
    text = "\n".join([f"{RULE} {stamp}  {message.subject}", *not_sent, message.body(), ""])
    with _locked():
        # Opened under the lock for one alert: a handler that stays open would write on into a file that another
        # process has rotated.
        handler = _AlertsLog(folder() / "alerts.log", maxBytes=MAX_BYTES, backupCount=OLDER, encoding="utf-8")
        try:
            handler.emit(logging.makeLogRecord({"msg": text}))
        finally:
            handler.close()
        _forget_old_claims()


class _AlertsLog(RotatingFileHandler):
    """The standard library's rotation; the files are for their group alone, and an error is raised, not printed."""

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=_open_for_group)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the parent's
        raise


def _open_for_group(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)


def make_folder(path: Path) -> None:
    """Make the folder and those above it."""
    for each in reversed([path, *path.parents]):
        if not each.exists():
            each.mkdir(mode=FOLDER_MODE, exist_ok=True)


@contextmanager
def _locked() -> Iterator[None]:
    """One process at a time rotates and writes."""
    with os.fdopen(_open_for_group(str(folder() / ".lock"), os.O_WRONLY | os.O_CREAT), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_old_claims() -> None:
    for path in (folder() / "sent").glob("*.json"):
        if time.time() - path.stat().st_mtime > KEEP_SENT_S:
            path.unlink(missing_ok=True)
