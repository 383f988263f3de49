"""How this process was called, as a mark records it: enough to call the same command again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Decided by where and how a stage runs, not by what it makes.
NOT_RECORDED = {"command", "data_dir", "verbose"}

_call: dict[str, Any] = {"stage": None, "command": None, "arguments": None}


def remember_call(stage: str, command: str | None, arguments: Mapping[str, Any]) -> None:
    """Remember the stage, the sub-command (None where it has none) and each argument's value, those by default too.

    A file is recorded by its name alone, `{"file": "/own/data.csv"}`: its content is no parameter, and could be secret.
    """
    kept = {name: _plain(value) for name, value in sorted(arguments.items()) if name not in NOT_RECORDED}
    _call.update(stage=stage, command=command, arguments=kept)


def recorded_call() -> dict[str, Any]:
    """`stage`, `command`, `arguments` of this process; None each where no command line was parsed."""
    return dict(_call)


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Path):
        return {"file": str(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
