"""Which model is in production; its files, as they were registered, restored from MLflow where they are not there."""

import json
import logging
import re
import shutil
import tempfile
from argparse import Namespace
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, Publication, StageError, UsageError, read_partition

from bundle import MODEL_FILE, file_hashes, model_hash, model_name, read_json, read_model
from events import as_of, champion, format_moment, parse_moment
from history import CHAMPION, History, read_history
from server import OutOfReach, Server, connect, read_settings
from versions import MARK_FILE, Version, fetch, get_version

PRODUCTION, REMEMBERED = "registry/production", "resolved.json"
DO = "run the Dag train_model (it promotes a first model that passes), or promote one with the Dag promote_model"
DATED = re.compile(r"models/\d{4}-\d\d-\d\d")

log = logging.getLogger("registry")


def resolve(args: Namespace) -> dict[str, Any]:
    """Say which model is in production: the one that was named, else the champion."""
    if args.model:
        return _named(args.data_dir, args.model)
    try:
        return _champion(args)
    except OutOfReach as error:
        if not args.or_last:
            raise
        if args.as_of:
            raise OutOfReach(f"{error}; --or-last knows the last champion only, not that of {args.as_of}") from None
        return _last(args.data_dir, error)


def _named(root: Path, text: str) -> dict[str, Any]:
    """The model that someone chose, verified; it takes no server."""
    model = read_model(root, model_name(root, text))
    log.info("%s is in production, as the Variable model_path says", model.name)
    return _told(model.name, model_hash(model), None, None, "variable")


def _champion(args: Namespace) -> dict[str, Any]:
    moment = _moment(args.as_of)
    server = connect()
    history = read_history(server)
    number = _champion_of(history, moment)
    if number is None:
        return _none(server, history, moment, allowed=args.or_none)
    version = get_version(server, number)
    model = find_or_restore(args.data_dir, server, version)
    log.info("%s is in production: %s", model.name, version.label)
    source = f"champion of {format_moment(moment)}" if moment else "champion"
    told = _told(model.name, model_hash(model), number, version.run_id, source)
    if moment is None:
        _remember(args.data_dir, model, {**told, "name": server.name})
    return told


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_moment(text)
    except ValueError:
        raise UsageError(f"--as-of {text!r} is no time", expected="2026-11-21 or 2026-11-21T03:00:00Z") from None


def _champion_of(history: History, moment: datetime | None) -> str | None:
    """The champion of then, or of now. The history counts, not the alias."""
    if moment is not None:
        return champion(as_of(history.events, moment))
    alias = history.aliases.get(CHAMPION)
    if alias != history.champion:
        log.warning(
            "the alias %s names version %s, but the history says version %s, which counts; do: promote the one you "
            "want with `registry promote`, it records who and why",
            *(CHAMPION, alias or "none", history.champion or "none"),
        )
    return history.champion


def _none(server: Server, history: History, moment: datetime | None, *, allowed: bool) -> dict[str, Any]:
    first = f"; the first promotion was at {format_moment(history.events[0].at)}" if history.events else ""
    when = f" at {format_moment(moment)}" if moment else " yet"
    if not allowed:
        raise NotReady(f"{server.name} had no champion{when}{first}", expected="a promoted version", do=DO)
    log.info("%s had no champion%s%s", server.name, when, first)
    return _told(None, None, None, None, "none")


def find_or_restore(root: Path, server: Server, version: Version) -> Partition:
    """The partition that holds a version's files as registered: the one it was made in, or one restored from MLflow."""
    name = version.tag("model")
    if not version.model_files or not DATED.fullmatch(name):
        raise BadInput(
            f"{version.label} of {server.name} has no record of its model and files",
            expected="a version that `registry register` made", do="promote another version (`registry list`)",
        )  # fmt: skip
    restored = f"{name}-v{version.number}"
    return (
        _as_registered(root, name, version)
        or _as_registered(root, restored, version)
        or _restore(root, restored, server, version)
    )


def _as_registered(root: Path, name: str, version: Version) -> Partition | None:
    """The partition, if its files are those of the version; else it says what is wrong with it."""
    try:
        model = read_model(root, name)
    except (NotReady, BadInput) as error:
        log.info("%s is not the model of version %s: %s", name, version.number, error)
        return None
    hashes = file_hashes(model)
    other = sorted(file for file, digest in version.model_files.items() if hashes.get(file) != digest)
    if other:
        log.info("%s is not the model of version %s any more: %s differ", name, version.number, ", ".join(other))
        return None
    return model


def _restore(root: Path, name: str, server: Server, version: Version) -> Partition:
    """Publish the version's files as a partition of their own; the day's may be of a later training."""
    origin = {"version": version.number, "run_id": version.run_id, "model": version.tag("model")}
    with (
        Publication(root, name, "restore", parameters={**origin, "name": server.name}, reuse=False) as publication,
        tempfile.TemporaryDirectory() as folder,
    ):
        mark = json.loads(fetch(server, version, MARK_FILE, Path(folder)).read_text(encoding="utf-8"))
        for file in sorted(version.model_files):
            shutil.move(fetch(server, version, file, Path(folder)), publication.path(file))
            if (rows := mark["outputs"].get(file, {}).get("rows")) is not None:
                publication.rows[file] = rows
    log.warning("restored %s from MLflow: %s is not there any more as it was registered", name, version.tag("model"))
    return read_model(root, name)


def _remember(root: Path, model: Partition, told: dict[str, Any]) -> None:
    """Write down the champion, for a day on which the server is out of reach."""
    kept = {key: told[key] for key in ("version", "run_id", "model", "model_sha256", "name")}
    with Publication(root, PRODUCTION, "resolve", inputs=[model], parameters=kept, reuse=False) as publication:
        text = json.dumps(kept, indent=2, ensure_ascii=False)
        publication.path(REMEMBERED).write_text(f"{text}\n", encoding="utf-8")


@dataclass(frozen=True)
class Remembered:
    """The champion that was resolved last, and when."""

    version: str
    run_id: str
    model: str
    model_sha256: str
    since: str


def _last(root: Path, error: OutOfReach) -> dict[str, Any]:
    """The champion that was resolved last, verified; a warning says since when it is the last known."""
    try:
        known = _recall(root)
        model = _still_there(root, known)
    except (NotReady, BadInput) as missing:
        raise StageError(f"{error}; --or-last does not help: {missing}") from None
    log.warning("%s", error)
    log.warning("using %s, version %s: the champion when it was resolved last, at %s",
                model.name, known.version, known.since)  # fmt: skip
    return _told(model.name, known.model_sha256, known.version, known.run_id, "last resolved")


def _recall(root: Path) -> Remembered:
    kept = read_partition(root, PRODUCTION, [REMEMBERED])
    content, name = read_json(kept, REMEMBERED), read_settings().name
    if content.get("name") != name:
        raise BadInput(f"{PRODUCTION}/{REMEMBERED} is of {content.get('name')}", expected=f"the champion of {name}")
    try:
        known = {key: str(content[key]) for key in ("version", "run_id", "model", "model_sha256")}
        return Remembered(**known, since=kept.meta["steps"]["resolve"]["started"])
    except KeyError as error:
        raise BadInput(f"{PRODUCTION}/{REMEMBERED} has no {error}", do="resolve with the server in reach") from None


def _still_there(root: Path, known: Remembered) -> Partition:
    """The remembered model, or the same restored under its version. Errors: BadInput where neither is there."""
    names = dict.fromkeys((known.model, f"{known.model.partition('-v')[0]}-v{known.version}"))
    for name in names:
        try:
            model = read_model(root, name)
        except (NotReady, BadInput) as error:
            log.info("%s", error)
            continue
        if model_hash(model) == known.model_sha256:
            return model
    raise BadInput(
        f"{' and '.join(names)} are not the model that was resolved last, at {known.since}",
        expected=f"a {MODEL_FILE} with sha256 {known.model_sha256[:12]}…",
        do="resolve with the server in reach: it restores the model",
    )


def _told(
    model: str | None, model_sha256: str | None, version: str | None, run_id: str | None, source: str
) -> dict[str, Any]:
    return {"model": model, "model_sha256": model_sha256, "version": version, "run_id": run_id, "source": source}
