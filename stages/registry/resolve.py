"""`resolve`: says which model is in production: the one that was named, else the champion, with its files verified."""

import logging
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from stagekit import BadInput, NotReady, StageError, UsageError
from stagekit.models import model_name

from bundle import model_hash, read_model
from events import as_of, champion, format_moment, parse_moment
from last_champion import recall, remember
from registered_model import CHAMPION, SHADOW, RegisteredModel, read_registered_model
from restore import find_or_restore
from runs import experiment_id
from server import OutOfReach, Server, connect
from versions import get_champion, get_version

DO = "run the Dag train_model (it promotes a first model that passes), or promote one with the Dag promote_model"

log = logging.getLogger("registry")


def resolve(args: Namespace) -> dict[str, Any]:
    """Which model is in production; with `--or-last`, without the server too."""
    if args.model:
        return _resolve_named(args)
    try:
        return _resolve_champion(args)
    except OutOfReach as error:
        if not args.or_last:
            raise
        if args.as_of:
            raise OutOfReach(f"{error}; --or-last knows the last champion only, not that of {args.as_of}") from None
        known = recall(args.data_dir, error)
        found = describe_model(known.model, known.model_sha256, known.version, known.run_id, "last resolved")
        # The run goes on, so only this makes somebody look at the server.
        return {**found, "breaches": [f"{error}; used {known.label}"]}


def _resolve_named(args: Namespace) -> dict[str, Any]:
    """The model that someone chose, verified; it takes no server."""
    model = read_model(args.data_dir, model_name(args.data_dir, args.model))
    log.info("%s is in production, as the Variable model_path says", model.name)
    return describe_model(model.name, model_hash(model), None, None, "variable")


def _resolve_champion(args: Namespace) -> dict[str, Any]:
    moment = _parse_as_of(args.as_of)
    server = connect()
    registered = read_registered_model(server)
    number = _champion_at(registered, moment)
    if number is None:
        return _resolve_none(server, registered, moment, allowed=args.or_none)
    version = get_champion(server, number)
    model = find_or_restore(args, server, version)
    log.info("%s is in production: %s", model.name, version.label)
    source = f"champion of {format_moment(moment)}" if moment else "champion"
    result = describe_model(model.name, model_hash(model), number, version.run_id, source)
    if moment is None:
        remember(args, model, {**result, "name": server.name})
    shadow = _find_shadow(args, server, registered) if args.shadow and moment is None else {}
    return {**result, **shadow, "experiment_id": experiment_id(server)}


def _find_shadow(args: Namespace, server: Server, registered: RegisteredModel) -> dict[str, Any]:
    """The version in shadow with its files verified, as `shadow_version` and so on; nothing if there is none.

    The champion's work does not depend on it, so a version that cannot be loaded is only logged.
    """
    number = registered.aliases.get(SHADOW)
    if number is None:
        return {}
    try:
        version = get_version(server, number)
        model = find_or_restore(args, server, version)
    except StageError as error:
        log.warning("version %s is in shadow, but cannot score: %s", number, error)
        return {}
    log.info("%s is in shadow: %s", model.name, version.label)
    found = {"model": model.name, "model_sha256": model_hash(model), "version": number, "run_id": version.run_id}
    return {f"shadow_{key}": value for key, value in found.items()}


def _parse_as_of(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_moment(text)
    except ValueError:
        raise UsageError(f"--as-of {text!r} is not a time", expected="2026-11-21 or 2026-11-21T03:00:00Z") from None


def _champion_at(registered: RegisteredModel, moment: datetime | None) -> str | None:
    """The champion at a moment, or now. The events count, not the alias."""
    if moment is not None:
        return champion(as_of(registered.events, moment))
    alias = registered.aliases.get(CHAMPION)
    if alias != registered.champion:
        log.warning(
            "the alias %s names version %s, but the history says version %s, which counts; do: promote the one you "
            "want with `registry promote`, it records who and why",
            *(CHAMPION, alias or "none", registered.champion or "none"),
        )
    return registered.champion


def _resolve_none(
    server: Server, registered: RegisteredModel, moment: datetime | None, *, allowed: bool
) -> dict[str, Any]:
    """Without a champion. Errors: NotReady where one can still come; BadInput for a moment in the past."""
    first = f"; the first promotion was at {format_moment(registered.events[0].at)}" if registered.events else ""
    when = f" at {format_moment(moment)}" if moment else " yet"
    found = f"{server.name} had no champion{when}{first}"
    if allowed:
        log.info("%s", found)
        return describe_model(None, None, None, None, "none")
    if moment and moment < datetime.now(UTC):
        raise BadInput(
            found, expected="a time after the first promotion: the past gets no other champion",
            do="leave out --as-of (the Dag's `as_of`), or give a later day",
        )  # fmt: skip
    raise NotReady(found, expected="a promoted version", do=DO)


def describe_model(
    model: str | None, model_sha256: str | None, version: str | None, run_id: str | None, source: str
) -> dict[str, Any]:
    """The result of the command."""
    return {"model": model, "model_sha256": model_sha256, "version": version, "run_id": run_id, "source": source}
