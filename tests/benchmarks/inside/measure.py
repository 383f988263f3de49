"""Runs a command in a container and prints, as the last line of stdout, what it took.

Usage: measure.py COMMAND [ARGUMENT ...]. The line is JSON: `seconds` from start to end of the process, its
`cpu_seconds`, and `peak_bytes`, the most memory that the container held meanwhile and that the kernel could not
have taken back: anonymous memory and tmpfs, of all its processes together. Mapped files and the page cache are left
out: they grow with whatever memory is free, and go when it is needed. What this program itself uses is subtracted.
"""

import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

INTERVAL_S = 0.02
# cgroup version 2, then version 1: the file, and the names of its figures.
STATISTICS = {
    Path("/sys/fs/cgroup/memory.stat"): ("anon", "shmem"),
    Path("/sys/fs/cgroup/memory/memory.stat"): ("total_rss", "total_shmem"),
}


def held_bytes() -> int:
    """What the container holds at this moment."""
    file = next(file for file in STATISTICS if file.exists())
    figures = dict(line.split() for line in file.read_text().splitlines())
    return sum(int(figures[name]) for name in STATISTICS[file])


class Peak:
    """The largest of the values seen by a thread of its own until `stop`."""

    def __init__(self) -> None:
        self._base = self._most = held_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(INTERVAL_S):
            self._most = max(self._most, held_bytes())

    def stop(self) -> int:
        """End the thread; returns by how much memory had grown."""
        self._done.set()
        self._thread.join()
        return self._most - self._base


def main() -> int:
    peak, started = Peak(), time.perf_counter()
    code = subprocess.run(sys.argv[1:], check=False).returncode
    seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = used.ru_utime + used.ru_stime
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak.stop()}), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
