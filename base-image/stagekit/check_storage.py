"""Checks that a data folder keeps what partitions rely on, also between two hosts.

Two processes change one file in turns, as publications change a mark: take the lock, read, write beside, fsync, rename.
If both can hold the lock, changes are lost. If a host keeps old names or contents in its cache, reads fail or are old.

Reads   nothing
Writes  a folder below .check-storage, which it removes
Exit    0 the folder is safe, 1 nobody joined or the check was ended, 2 wrong usage, 3 the folder is not safe
"""

import json
import logging
import shutil
import subprocess
import sys
import time
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagekit.cli import Command, run_stage
from stagekit.errors import BadInput, StageError, UsageError
from stagekit.locks import locked
from stagekit.mark import fsync
from stagekit.options import option, whole_number

FOLDER, COUNT = ".check-storage", "count"
MOUNT_OPTIONS = {
    "fuse.juicefs": "mount it with --attr-cache 0 --entry-cache 0 --dir-entry-cache 0",
    "nfs": "mount it with lookupcache=none,noac and without nolock or local_lock",
    "nfs4": "mount it with lookupcache=none,noac and without local_lock",
    "cifs": "mount it with cache=none,actimeo=0 and without nobrl",
}
OTHERWISE = "use a file system whose locks (flock) and renames every host sees immediately, such as JuiceFS or NFS 4"
# How long a file that should be there is looked for before the check ends.
PATIENCE_S = 10.0
# Seconds between reading and writing, in which a second holder of the lock would do harm.
HOLD_S = 0.002

log = logging.getLogger("stagekit")


@dataclass
class Seen:
    """What one process saw: its `changes` of the file, and of its reads those that found no file, or an older one."""

    changes: int = 0
    missing: int = 0
    older: int = 0


def run(args: Namespace) -> Mapping[str, Any]:
    """Lead a check with a process of this host, or with `--hosts 2` of another one; or join one.

    Errors: BadInput if the folder is not safe; StageError if the other process does not come or does not end.
    """
    if args.join:
        return _join(args.data_dir / FOLDER / args.join, args)
    if not args.data_dir.is_dir():
        raise UsageError(f"there is no folder {args.data_dir}", do="mount the data there, or name it with --data-dir")
    meeting = args.data_dir / FOLDER / uuid.uuid4().hex[:8]
    meeting.mkdir(parents=True)
    try:
        (meeting / COUNT).write_text("0")
        return _lead(meeting, args)
    finally:
        shutil.rmtree(meeting, ignore_errors=True)


def _lead(meeting: Path, args: Namespace) -> dict[str, Any]:
    joining = ["-m", "stagekit.check_storage", "--join", meeting.name, "--changes", str(args.changes)]
    if args.hosts > 1:
        log.info("run this on the other host, with the data mounted at /data: "
                 "docker run --rm -v DATA:/data airflow-ml-base %s", " ".join(joining))  # fmt: skip
        other = None
    else:
        other = subprocess.Popen(
            [sys.executable, *joining, "--data-dir", str(args.data_dir)], stdout=subprocess.DEVNULL
        )
    try:
        _wait_for(meeting / "joined", args.wait, "nobody joined")
        ours = _change(meeting, args.changes)
        theirs = Seen(**json.loads(_wait_for(meeting / "seen", args.wait, "the other process did not end")))
    finally:
        if other is not None:
            other.terminate()
            other.wait()
    with locked(meeting):
        total = int((meeting / COUNT).read_text())
    _judge(args, [ours, theirs], total)
    return {"hosts": args.hosts, "file_system": file_system(args.data_dir), "changes": total}


def _join(meeting: Path, args: Namespace) -> dict[str, Any]:
    if not meeting.is_dir():
        raise StageError(
            f"nobody leads the check {args.join} in {meeting.parent}",
            expected="the word that the first host printed, on the same data",
            do="run the check without --join on the first host, and join while it waits",
        )
    _write(meeting / "joined", "")
    seen = _change(meeting, args.changes)
    _write(meeting / "seen", json.dumps(asdict(seen)))
    _judge(args, [seen])
    return {"file_system": file_system(args.data_dir), **asdict(seen)}


def _change(meeting: Path, changes: int) -> Seen:
    """Add 1 to the count, over and over, as a publication changes a mark."""
    seen, last = Seen(), 0
    for _ in range(changes):
        with locked(meeting):
            text, missing = _read(meeting / COUNT)
            count = int(text)
            seen.missing += missing
            seen.older += count < last
            time.sleep(HOLD_S)
            last = count + 1
            _write(meeting / COUNT, str(last))
            seen.changes += 1
    return seen


def _read(path: Path) -> tuple[str, bool]:
    """A file's content, and whether it was missing before it was found."""
    try:
        return path.read_text(), False
    except FileNotFoundError:
        return _wait_for(path, PATIENCE_S, "the file that all processes change has gone"), True


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    beside.write_text(text)
    fsync(beside)
    beside.replace(path)
    fsync(path.parent)


def _wait_for(path: Path, seconds: float, otherwise: str) -> str:
    """The content of a file, once it is there. Errors: StageError after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return path.read_text()
        except FileNotFoundError:
            time.sleep(0.05)
    raise StageError(f"{otherwise}: {path} did not appear within {seconds:g} s", do="look at the other process")


def _judge(args: Namespace, seen: Sequence[Seen], total: int | None = None) -> None:
    """Errors: BadInput that names all that was missing or old, and what was lost if the `total` is known."""
    made, missing, older = (sum(getattr(one, name) for one in seen) for name in ("changes", "missing", "older"))
    found = []
    if total is not None and total != made:
        found.append(f"{made - total} of {made} changes were lost, because two processes held one lock")
    if missing:
        found.append(f"{missing} of {made} reads did not find a file that had just been replaced")
    if older:
        found.append(f"{older} of {made} reads found a content from before the last change")
    if found:
        kind = file_system(args.data_dir)
        raise BadInput(
            f"{args.data_dir} ({kind}) is not safe for partitions: {'; '.join(found)}",
            expected="locks and renames that each process sees immediately",
            do=MOUNT_OPTIONS.get(kind, OTHERWISE),
        )


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that a folder is on, such as ext4 or fuse.juicefs; "unknown" if nothing says so."""
    found, longest = "unknown", -1
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        if folder.resolve().is_relative_to(point) and len(point) >= longest:
            found, longest = after.split()[0], len(point)
    return found


COMMAND = Command(
    "check-storage",
    "check that a data folder is safe for partitions, on this host or between two",
    "stagekit.check_storage:run",
    needs_ds=False,
    publishes=False,
    writes=True,
    example="docker run --rm -v data:/data airflow-ml-base -m stagekit.check_storage",
    options=(
        option("--hosts", type=whole_number(1, 2), default=1, metavar="N", help="2: wait for another host to join"),
        option("--join", metavar="WORD", help="take part in the check that another host leads"),
        option("--changes", type=whole_number(1), default=100, metavar="N", help="of each process (default: 100)"),
        option("--wait", type=whole_number(1), default=120, metavar="S", help="for the other (default: 120 seconds)"),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit code."""
    return run_stage("check-storage", __doc__ or "", [COMMAND], argv)


if __name__ == "__main__":
    sys.exit(main())
