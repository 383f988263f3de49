"""How a command was called, as a mark records it: enough to call the same command again."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stagekit.mark import file_sha256

# These decide where and how a stage runs, not what it makes.
NOT_RECORDED = {"call", "command", "data_dir", "verbose", "force", "explain"}


@dataclass
class Call:
    """One command line: the stage, its sub-command (None if it has one command only), each argument's value."""

    stage: str | None = None
    command: str | None = None
    arguments: Mapping[str, Any] | None = None

    @cached_property
    def record(self) -> dict[str, Any]:
        """`stage`, `command` and `arguments`, those by default too; None each if no command line was parsed.

        A file from outside of the data is recorded by name and hash, `{"file": "/own/data.csv", "sha256": "69d5..."}`.
        Its content is no parameter, and could be secret.
        """
        arguments = None
        if self.arguments is not None:
            kept = sorted(self.arguments.keys() - NOT_RECORDED)
            arguments = {name: _plain(self.arguments[name]) for name in kept}
        return {"stage": self.stage, "command": self.command, "arguments": arguments}


def call_of(args: Namespace) -> Call:
    """The call that `run_stage` parsed these arguments of; an empty one if it did not parse them."""
    call = getattr(args, "call", None)
    return call if isinstance(call, Call) else Call()


def for_day(args: Namespace, ds: str, **changed: Any) -> Namespace:
    """The arguments of the same command for another day, with some of them `changed`, as if it had been called so."""
    other = Namespace(**{**vars(args), "ds": ds, **changed})
    call = call_of(args)
    other.call = Call(call.stage, call.command, None if call.arguments is None else vars(other))
    return other


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _file(path: Path) -> dict[str, str]:
    try:
        # What is no regular file, such as a pipe, can be read only once.
        return {"file": str(path), **({"sha256": file_sha256(path)} if path.is_file() else {})}
    except OSError:
        return {"file": str(path)}  # the command itself reports what is wrong with the file
