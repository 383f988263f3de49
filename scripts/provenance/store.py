"""The published data, wherever it lies: a Docker volume is read by a short container, a host folder directly."""

import json
from pathlib import Path
from typing import Any

from provenance import reader
from provenance.engine import Settings, run_python
from provenance.errors import ProvenanceError

DATA_FOLDER = "/data"
Snapshot = dict[str, Any]


def snapshot(settings: Settings, targets: list[str], marks: dict[str, Any] | None = None) -> Snapshot:
    """What `reader.read` finds for the targets, each given in any of the forms that `data_path` takes."""
    names = [data_path(settings, target) for target in targets]
    if settings.folder is None:
        request = {"root": DATA_FOLDER, "targets": names, "marks": marks or {}}
        found = run_python(settings, Path(reader.__file__), request, settings.mount(DATA_FOLDER))
    elif settings.folder.is_dir():
        found = _read_here(settings.folder, names, marks or {})
    else:
        raise ProvenanceError(
            f"there is no folder {settings.folder}",
            expected="the volume or host folder that ML_DATA names, in .env or the environment",
            do="`make run` makes a first day of data",
        )
    for target in found["targets"]:
        if "problem" in target:
            near = f"; near names: {', '.join(target['near'])}" if target["near"] else ""
            raise ProvenanceError(
                f"{target['name']} in {settings.data!r}: {target['problem']}",
                expected=f"a published file or partition, such as predictions/2026-11-21/predictions.csv{near}",
                do="name one that its partition's _meta.json names",
            )
    return {**found, "given": sorted(marks or {})}


def _read_here(folder: Path, names: list[str], marks: dict[str, Any]) -> Snapshot:
    try:
        return reader.read(folder, names, marks)
    except PermissionError as error:
        raise ProvenanceError(
            f"{error.filename} cannot be read ({error.strerror})", do="run this as the user whom the data belongs to"
        ) from None


def data_path(settings: Settings, text: str) -> str:
    """A path below the data folder, for one that may start with /data, or lie in the host folder of the data."""
    path = Path(text)
    if settings.folder is not None:
        folder = settings.folder.resolve()
        absolute = path if path.is_absolute() else Path.cwd() / path
        if absolute.resolve().is_relative_to(folder) and (path.is_absolute() or absolute.exists()):
            return str(absolute.resolve().relative_to(folder))
    if not path.is_absolute():
        return str(path)
    if path.is_relative_to(DATA_FOLDER):
        return str(path.relative_to(DATA_FOLDER))
    where = f"{settings.folder} or {DATA_FOLDER}" if settings.folder else DATA_FOLDER
    raise ProvenanceError(f"{text} is not below {where}", expected="a path such as models/2026-11-21/model.txt")


def saved_mark(settings: Settings, text: str) -> dict[str, Any] | None:
    """The mark in a host file outside of the data, such as a kept copy of a `_meta.json`; None for any other path."""
    path = Path(text)
    if path.suffix != ".json" or not path.is_file():
        return None
    if settings.folder is not None and path.resolve().is_relative_to(settings.folder.resolve()):
        return None
    entry = reader.load_mark(path, None)
    if entry["mark"] is None:
        raise ProvenanceError(
            f"{text} is no commit mark: {entry['problem']}".replace("None/_meta.json", "it"),
            expected="a copy of a _meta.json",
        )
    mark: dict[str, Any] = entry["mark"]
    return mark


def to_json(content: Any) -> str:
    """JSON as our commands print it."""
    return json.dumps(content, indent=2, ensure_ascii=False)
