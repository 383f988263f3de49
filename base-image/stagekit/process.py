"""The life of a stage's process: a prompt, clean end on SIGTERM, and how many processors it may use."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from stagekit.errors import TERMINATED

log = logging.getLogger("stagekit")

_clean_ups: list[Callable[[], None]] = []


def at_termination(clean_up: Callable[[], None]) -> Callable[[], None]:
    """Run `clean_up` when SIGTERM or SIGINT ends the process; returns the function that takes it back."""
    _clean_ups.append(clean_up)
    return lambda: _clean_ups.remove(clean_up)


def end_on_signals() -> None:
    """End within moments of SIGTERM or SIGINT, even while native code runs.

    Python runs signal handlers in the main thread only, between two bytecodes: a long call into LightGBM
    or polars would delay them past the grace period of `docker stop`. The C-level handler writes to a
    socket immediately, and a separate thread answers it (the libraries' long calls release the GIL).
    """
    wake, signalled = socket.socketpair()
    signalled.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(signalled.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        number = wake.recv(1)[0]
        signalled.close()
        log.error("ended by %s; nothing was published", signal.Signals(number).name)
        for clean_up in reversed(_clean_ups):
            clean_up()
        os._exit(128 + number if number else TERMINATED)

    threading.Thread(target=wait, name="signals", daemon=True).start()


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many CPUs this container may use: its CPU set, or its quota where that is less; 1 or more.

    Libraries with threads of their own see the CPUs of the host; threads beyond the quota wait for each other.
    """
    allowed = len(os.sched_getaffinity(0))
    quota, period = _cpu_quota(cgroup)
    return max(1, min(allowed, int(quota / period))) if quota > 0 and period > 0 else allowed


def _cpu_quota(cgroup: Path) -> tuple[int, int]:
    """Microseconds of CPU time per period, from cgroup version 2 or 1; zeros where there is no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        except OSError:
            return 0, 0
    return (0, 0) if quota == "max" else (int(quota), int(period))
