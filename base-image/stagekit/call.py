"""How this process was called, as a mark records it: enough to call the same command again."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagekit.mark import file_sha256

# Decided by where and how a stage runs, not by what it makes.
NOT_RECORDED = {"call", "command", "data_dir", "verbose", "force", "explain"}


@dataclass
class Call:
    """One command line: what a mark records of it, and what it asks of the step cache.

    `force` does the work whether or not it was done before, `explain` does not do it. `published` are the
    publications that came of the call.
    """

    stage: str | None = None
    command: str | None = None
    arguments: Mapping[str, Any] | None = None
    force: bool = False
    explain: bool = False
    published: list[Any] = field(default_factory=list)
    _recorded: dict[str, Any] | None = None

    def recorded(self) -> dict[str, Any]:
        """`stage`, `command`, `arguments`; None each where no command line was parsed.

        A file from outside of the data is told by name and sha256, `{"file": "/own/data.csv", "sha256": "69d5..."}`:
        its content is no parameter, and could be secret. It is read when this is first asked for.
        """
        if self._recorded is None:
            given = sorted((self.arguments or {}).items())
            kept = {name: _plain(value) for name, value in given if name not in NOT_RECORDED}
            arguments = None if self.arguments is None else kept
            self._recorded = {"stage": self.stage, "command": self.command, "arguments": arguments}
        return self._recorded


_current = Call()


def remember_call(
    stage: str, command: str | None, arguments: Mapping[str, Any], *, force: bool = False, explain: bool = False
) -> Call:
    """Remember the stage, the sub-command (None where it has none) and each argument's value, those by default too."""
    global _current
    _current = Call(stage, command, arguments, force, explain)
    return _current


def forget_call() -> None:
    """No command runs any more."""
    global _current
    _current = Call()


def current_call() -> Call:
    """The command line that this process works on; an empty one where none was parsed."""
    return _current


def call_of(args: Namespace) -> Call:
    """The call that belongs to parsed arguments; an empty one where `run_stage` did not parse them."""
    call = getattr(args, "call", None)
    return call if isinstance(call, Call) else Call()


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _file(path: Path) -> dict[str, str]:
    try:
        # What is no regular file, such as a pipe, can be read but once.
        return {"file": str(path), **({"sha256": file_sha256(path)} if path.is_file() else {})}
    except OSError:
        return {"file": str(path)}  # the command itself says what is wrong with it
