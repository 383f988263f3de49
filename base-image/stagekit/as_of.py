"""`--as-of` of a training: only labels that had arrived by a time are in its rows, whatever other runs do meanwhile."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime, time
from typing import Any

from stagekit.errors import BadInput
from stagekit.options import option
from stagekit.partition import Partition


def moment(text: str) -> str:
    """The type of a time, ISO 8601: as marks write it, in UTC. A day means its end; no offset means UTC."""
    try:
        found = datetime.fromisoformat(text)
        if len(text) == len("2026-11-21"):
            found = datetime.combine(found, time(23, 59, 59))
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a time such as 2026-11-21 or 2026-11-21T04:00:00Z") from None
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


MADE_AS_OF = option(
    "--as-of",
    type=moment,
    metavar="TIME",
    help="the --as-of that the rows were made with; others, such as another run's, are refused (default: none)",
)


def as_of_of(partition: Partition, file: str) -> str | None:
    """The --as-of that the command had which wrote a file."""
    call: dict[str, Any] = partition.step(file).get("call") or {}
    found = (call.get("arguments") or {}).get("as_of")
    return None if found is None else str(found)


def shown(as_of: str | None) -> str:
    """How a message says it."""
    return f"with --as-of {as_of}" if as_of else "without --as-of"


def check_as_of(partition: Partition, file: str, as_of: str | None, command: str) -> None:
    """Errors: BadInput if the `command` that wrote a file was called with another --as-of."""
    found = as_of_of(partition, file)
    if found != as_of:
        raise BadInput(
            f"{partition.name}/{file} was made {shown(found)}",
            expected=f"rows that were made {shown(as_of)}",
            do=f"run `{command}` {shown(as_of)} again, or this step {shown(found)}",
        )
