"""The result of a command for people, as a terminal shows it; programs read the JSON line."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stagekit.progress import duration

# Of a list or an object so many members are shown.
MOST_SHOWN = 8
# What is in the first line already, or was logged as it happened.
NOT_REPEATED = ("stage", "command", "ds", "seconds", "cached", "warnings")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def summarize(result: Mapping[str, Any]) -> str:
    """What was done and how long it took, then a line for each member of the result line."""
    day = f" of {result['ds']}" if "ds" in result else ""
    done = "was done before, and its files are intact" if result.get("cached") else "done"
    head = f"{result['command']}{day}: {done} ({duration(result['seconds'])})"
    members = {name.replace("_", " "): text(value) for name, value in result.items() if name not in NOT_REPEATED}
    width = max(map(len, members), default=0)
    return "\n".join([head, *(f"  {name:{width}}  {one_line(shown)}" for name, shown in members.items())])


def text(value: Any) -> str:
    """A value of JSON in one line."""
    if isinstance(value, Mapping):
        parts = [f"{name} {text(inner)}" for name, inner in value.items()]
        return ", ".join(_some(parts)) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_some([text(inner) for inner in value])) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def one_line(text: str) -> str:
    """The text with its line breaks and other control characters written as \\n, \\x1b and so on."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _some(parts: list[str]) -> Iterator[str]:
    yield from parts[:MOST_SHOWN]
    if len(parts) > MOST_SHOWN:
        yield f"and {len(parts) - MOST_SHOWN} more"
