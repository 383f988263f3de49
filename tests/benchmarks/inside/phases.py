"""Runs a stage's command and prints, as the last line of stdout, how long each part of its process took.

Usage: python -I -S phases.py COMMAND.py [ARGUMENT ...]; without any argument it ends immediately. The line is JSON, in
seconds: `interpreter` is from the start of the process to its first line, `exit` from its last one to its end;
`imports` and `work` lie between. `inside` is all that was seen from here; `unseen` is what starting and ending this
program took in addition. Whoever measures the container from outside subtracts both: what is left is the container.

Modules that cost time are imported after the first clock reading: what comes after it is subtracted.
"""

import posix
import sys
import time

BEGIN = time.monotonic_ns()
if len(sys.argv) == 1:
    posix._exit(0)

import json  # noqa: E402
import os  # noqa: E402

TIMED_MAIN = "/bench/timed_main.py"


def run(*arguments: str) -> tuple[int, int, int]:
    """Run Python with these arguments; returns when it started, when it ended, and its exit code."""
    # What the other programs of this folder get; a stage does not have it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    started = time.monotonic_ns()
    process = os.posix_spawn(sys.executable, [sys.executable, *arguments], environment)
    _, status = os.waitpid(process, 0)
    return started, time.monotonic_ns(), os.waitstatus_to_exitcode(status)


def main() -> int:
    """Run both; returns the command's exit code."""
    born, gone, _ = run("-I", "-S", __file__)
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    started, ended, code = run(TIMED_MAIN, str(writer), *sys.argv[1:])
    os.close(writer)
    first, begin, end, imports = map(int, os.read(reader, 1000).split())
    parts = {
        "interpreter": first - started,
        "imports": imports,
        "work": end - begin - imports,
        "exit": ended - end,
        "unseen": gone - born,
        "inside": time.monotonic_ns() - BEGIN,
    }
    print(json.dumps({name: nanoseconds / 1e9 for name, nanoseconds in parts.items()}), flush=True)
    return code


posix._exit(main())
