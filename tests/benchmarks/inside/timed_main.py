"""Runs a program as Python would, and reports when it began and ended and how much of that imports took.

Usage: timed_main.py FILE_DESCRIPTOR PROGRAM.py [ARGUMENT ...]. Four numbers go to the descriptor, in nanoseconds: the
first line, the beginning and the end of the program by the clock, and the time in imports of the main thread. Reading
and compiling the program itself counts as import. Stages import late, so imports are timed wherever they happen.
"""

import time

FIRST = time.monotonic_ns()

import builtins  # noqa: E402
import importlib  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from _thread import get_ident  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Imports:
    """The time that outermost imports of the main thread take; those within them are part of them."""

    def __init__(self) -> None:
        self.nanoseconds = 0
        self._thread = get_ident()
        self._within = False

    def timed(self, function: "Callable[..., Any]") -> "Callable[..., Any]":
        """The function, timed."""

        def run(*arguments: "Any", **named: "Any") -> "Any":
            if self._within or get_ident() != self._thread:
                return function(*arguments, **named)
            self._within, started = True, time.monotonic_ns()
            try:
                return function(*arguments, **named)
            finally:
                self.nanoseconds += time.monotonic_ns() - started
                self._within = False

        return run


def main() -> None:
    """Run the program; SystemExit passes through, as the program's exit code."""
    descriptor, sys.argv = int(sys.argv[1]), sys.argv[2:]
    program = sys.argv[0]
    sys.path[0] = os.path.dirname(program)  # noqa: PTH120 - pathlib is an import that a stage may not have
    module = type(sys)("__main__")
    module.__file__ = program
    sys.modules["__main__"] = module
    imports = Imports()
    builtins.__import__ = imports.timed(builtins.__import__)
    importlib.import_module = imports.timed(importlib.import_module)
    begin = time.monotonic_ns()
    try:
        exec(imports.timed(compile_file)(program), module.__dict__)
    finally:
        os.write(descriptor, b"%d %d %d %d" % (FIRST, begin, time.monotonic_ns(), imports.nanoseconds))


def compile_file(path: str) -> "Any":
    """The program's code."""
    with open(path, "rb") as file:  # noqa: PTH123
        return compile(file.read(), path, "exec")


main()
