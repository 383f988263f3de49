"""Checks that a data folder keeps what partitions rely on, also between two hosts.

Two processes change one file in turns, as publications change a mark: take the lock, read, write beside, fsync, rename.
If both can hold the lock, changes are lost. If a host keeps old names or contents in its cache, reads fail or are old.

Reads   nothing
Writes  a folder below .check-storage, which it removes
Exit    0 the folder is safe, 1 nobody joined or the check was ended, 2 wrong usage, 3 the folder is not safe
"""

import json
import logging
import re
import shutil
import subprocess
import sys
import time
import uuid
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagekit.cli import Command, run_stage
from stagekit.errors import BadInput, StageError, UsageError
from stagekit.locks import locked
from stagekit.mark import fsync
from stagekit.options import option, whole_number

FOLDER = ".check-storage"
# The files of a check: what both change, and what one leaves for the other.
COUNT, JOINED, BEGUN, SEEN, SEEN_BY_BOTH = "count", "joined", "begun", "seen", "seen-by-both"
WORD = re.compile(r"[A-Za-z0-9-]{1,40}")
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


def word(text: str) -> str:
    """The type of a word at which two hosts meet."""
    if not WORD.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not a word of letters, digits and dashes, such as monday-1")
    return text


@dataclass
class Seen:
    """What one process saw: its `changes` of the file, and of its reads those that found no file, or an older one.

    Of both, `total` is the count at the end.
    """

    changes: int = 0
    missing: int = 0
    older: int = 0
    total: int = 0


def run(args: Namespace) -> Mapping[str, Any]:
    """Check with another process of this host, or with `--meet` with the host that meets at the same word.

    The first host leads the check, the other one joins it: only one of them can make the folder of the word.
    Errors: BadInput if the folder is not safe; StageError if the other process does not come or does not end.
    """
    if not args.data_dir.is_dir():
        raise UsageError(f"there is no folder {args.data_dir}", do="mount the data there, or name it with --data-dir")
    meeting = args.data_dir / FOLDER / (args.meet or uuid.uuid4().hex[:8])
    meeting.parent.mkdir(exist_ok=True)
    try:
        meeting.mkdir()
    except FileExistsError:
        seen = _join(meeting, args)
    else:
        seen = _lead(meeting, args)
    _judge(args, seen)
    return {"hosts": 2 if args.meet else 1, "file_system": file_system(args.data_dir), "changes": seen.total}


def _lead(meeting: Path, args: Namespace) -> Seen:
    other = None
    try:
        _write(meeting / COUNT, "0")
        if args.meet:
            do = "run the same command on the other host meanwhile"
            log.info("waiting for another host, which runs the same command")
        else:
            do = "read what the other process of this host has written above, or raise --wait"
            same = ["-m", "stagekit.check_storage", "--meet", meeting.name, "--changes", str(args.changes)]
            command = [sys.executable, *same, "--data-dir", str(args.data_dir)]
            other = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _wait_for(meeting / JOINED, args.wait, "nobody joined", do)
        _write(meeting / BEGUN, "")
        ours = _change(meeting, args.changes)
        theirs = Seen(**json.loads(_wait_for(meeting / SEEN, args.wait, "the other process did not end")))
        with locked(meeting):
            total = int((meeting / COUNT).read_text())
        seen = Seen(ours.changes + theirs.changes, ours.missing + theirs.missing, ours.older + theirs.older, total)
        _write(meeting / SEEN_BY_BOTH, json.dumps(asdict(seen)))
    except BaseException:
        if other is not None:
            other.terminate()
        shutil.rmtree(meeting, ignore_errors=True)
        raise
    finally:
        if other is not None:
            other.wait()
    return seen


def _join(meeting: Path, args: Namespace) -> Seen:
    try:
        (meeting / JOINED).touch(exist_ok=False)
    except FileExistsError:
        raise StageError(
            f"two processes have met at {meeting.name} already",
            expected="a word for each check",
            do="choose another word, on both hosts",
        ) from None
    except FileNotFoundError:
        raise StageError(
            f"the host that was first at {meeting.name} has just ended its check",
            expected="that it waits",
            do="run the command again, on both hosts",
        ) from None
    _wait_for(meeting / BEGUN, args.wait, "the host that was here first does not answer")
    _write(meeting / SEEN, json.dumps(asdict(_change(meeting, args.changes))))
    seen = Seen(**json.loads(_wait_for(meeting / SEEN_BY_BOTH, args.wait, "the other process did not end")))
    # The last one to look.
    shutil.rmtree(meeting, ignore_errors=True)
    return seen


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


def _wait_for(path: Path, seconds: float, otherwise: str, do: str = "look at the other process") -> str:
    """The content of a file, once it is there. Errors: StageError after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return path.read_text()
        except FileNotFoundError:
            time.sleep(0.05)
    raise StageError(f"{otherwise}: {path} did not appear within {seconds:g} s", do=do)


def _judge(args: Namespace, seen: Seen) -> None:
    """Errors: BadInput that names all that was missing, old or lost. Both hosts come to the same verdict."""
    made, missing, older = seen.changes, seen.missing, seen.older
    found = []
    if seen.total != made:
        found.append(f"{made - seen.total} of {made} changes were lost, because two processes held one lock")
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
        option("--meet", type=word, metavar="WORD", help="check with the host that runs the same command"),
        option("--changes", type=whole_number(1), default=100, metavar="N", help="of each process (default: 100)"),
        option("--wait", type=whole_number(1), default=120, metavar="S", help="for the other (default: 120 seconds)"),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit code."""
    return run_stage("check-storage", __doc__ or "", [COMMAND], argv)


if __name__ == "__main__":
    sys.exit(main())
