"""`list`: shows the versions: which is the champion, how good each was, who promoted it and why."""

import logging
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from stagekit import StageError

from events import Event, format_moment
from registered_model import RegisteredModel, read_registered_model
from rest import Refused
from runs import FIGURES, shorten
from server import Server, connect, explained
from versions import Version, all_versions

COLUMNS = ("version", "alias", "day", *FIGURES, "champion since", "by", "why")
WIDEST = 60
# So many versions are in the result of a command that changes them, for Airflow's form.
MOST_OFFERED = 10

log = logging.getLogger("registry")


def list_(_: Namespace) -> dict[str, Any]:
    """Every version, the newest first, and every event, the oldest first."""
    server = connect()
    registered, versions = read_registered_model(server), all_versions(server)
    rows = [_describe(server, version, registered) for version in versions]
    for line in table(COLUMNS, [_cells(row) for row in rows]):
        log.info("%s", line)
    if not versions:
        log.info("%s has no versions yet", server.name)
    events = [
        {"at": format_moment(e.at), "version": e.version, "kind": e.kind, "by": e.by, "reason": e.reason}
        for e in registered.events
    ]
    return {"name": server.name, "champion": registered.champion, "versions": rows, "events": events}


def newest_versions(server: Server) -> list[dict[str, Any]]:
    """The newest versions and those with an alias, the newest first: what a person may want to promote.

    It follows what is done already, so an answer that fails is only logged.
    """
    try:
        registered, versions = read_registered_model(server), all_versions(server)
        named = set(registered.aliases.values())
        offered = [one for place, one in enumerate(versions) if place < MOST_OFFERED or one.number in named]
        rows = [_describe(server, version, registered) for version in offered]
    except StageError as error:
        log.warning("the versions are not listed: %s", error)
        return []
    return [{name: row[name] for name in ("version", "aliases", "ds", "metrics")} for row in rows]


def _describe(server: Server, version: Version, registered: RegisteredModel) -> dict[str, Any]:
    """A version in the result; `promoted` is its last event."""
    event: Event | None = next((e for e in reversed(registered.events) if e.version == version.number), None)
    measured = _figures(server, version)
    return {
        "version": version.number,
        "aliases": sorted(alias for alias, number in registered.aliases.items() if number == version.number),
        "ds": version.tag("ds") or None,
        "model": version.tag("model") or None,
        "run_id": version.run_id,
        "decision": version.tag("decision") or None,
        "metrics": {name: measured[name] for name in FIGURES if name in measured},
        "promoted": {"at": format_moment(event.at), "by": event.by, "reason": event.reason, "kind": event.kind}
        if event
        else None,
    }


def _figures(server: Server, version: Version) -> Mapping[str, float]:
    """The metrics of a version's run; none where it cannot be read."""
    with explained(server, f"reading the run of version {version.number}"):
        try:
            found = server.rest.run(version.run_id)["data"].get("metrics", [])
            return {str(one["key"]): value for one in found if math.isfinite(value := float(one["value"]))}
        except Refused as error:
            log.warning("the run of version %s cannot be read: %s", version.number, shorten(str(error)))
    return {}


def _cells(row: Mapping[str, Any]) -> list[str]:
    promoted = row["promoted"] or {}
    figures = [f"{row['metrics'][name]:.4f}" if name in row["metrics"] else "-" for name in FIGURES]
    return [
        *(row["version"], ", ".join(row["aliases"]) or "-", row["ds"] or "-", *figures),
        *(str(promoted.get("at", "-"))[:19], promoted.get("by", "-"), promoted.get("reason", "-")),
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns; a text that is wider than a column may be is cut."""
    short = [[_one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*short, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in short]


def _one_line(text: str) -> str:
    """A cell without line ends and control characters, at most WIDEST characters."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"
