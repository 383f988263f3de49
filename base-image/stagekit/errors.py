"""The ways a stage can fail, each with its exit code and a message that says what to do."""

import errno
import os
import re

# Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input data, 4 input not there yet.
FAILED, USAGE, BAD_INPUT, NOT_READY = 1, 2, 3, 4
# What a shell reports for a process that SIGTERM ended.
TERMINATED = 128 + 15


class StageError(Exception):
    """A stage cannot do its work. The message names what was found, what was expected, what to do."""

    exit_code = FAILED

    def __init__(self, found: str, *, expected: str = "", do: str = "") -> None:
        self.found, self.expected, self.do = found, expected, do
        parts = [found]
        if expected:
            parts.append(f"expected: {expected}")
        if do:
            parts.append(f"do: {do}")
        super().__init__("; ".join(parts))


class UsageError(StageError):
    """The command line is wrong (exit code 2)."""

    exit_code = USAGE


class BadInput(StageError):
    """The input data is wrong and will be wrong again on a retry (exit code 3)."""

    exit_code = BAD_INPUT


class NotReady(StageError):
    """The input is not there yet; a retry later may find it (exit code 4)."""

    exit_code = NOT_READY


def explain_os_error(error: OSError, root: str) -> StageError:
    """Turn an operating-system error met under the data folder into a message that helps."""
    place = error.filename or root
    if error.errno == errno.ENOSPC:
        return StageError(
            f"no space left on the device that holds {place}",
            expected="room for this stage's outputs",
            do="free some space and run the stage again; nothing was published",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StageError(
            f"{place} cannot be written or read by user {os.getuid()} ({error.strerror})",
            expected=f"a {root} that belongs to the user this container runs as",
            do=f"mount {root} writable, and run with `--user` set to its owner",
        )
    return StageError(f"{place}: {error.strerror or error}")


def to_os_error(error: Exception) -> Exception:
    """The operating-system error behind an error of native code, which has the number in its text only.

    polars and other libraries written in Rust raise errors such as "No space left on device (os error 28)" without
    an `errno`. Any other error is returned as it is.
    """
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number is None or isinstance(error, StageError) or getattr(error, "errno", None) is not None:
        return error
    return OSError(int(number[1]), os.strerror(int(number[1])))
