"""Reads the lineage of published files, and which of their images the engine has."""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from airflow_ml.common import AirflowMlError, inspect_images
from airflow_ml.data import DATA_FOLDER, Data, ask_for_long, require_data
from airflow_ml.lineage.graph import Lineage, Step, lineage_of

# What the commands return if they cannot do their work; 1 is what they find.
IMPOSSIBLE = 3
READER = ("-m", "stagekit.lineage")
# Whether the engine has an image with the id that a step recorded.
ON_ENGINE, GONE, REBUILT = "on this engine", "not on this engine", "another build on this engine"


@contextlib.contextmanager
def impossible() -> Iterator[None]:
    """Every error inside ends the command with exit code 3: it says nothing about the data."""
    try:
        yield
    except AirflowMlError as error:
        error.exit_code = IMPOSSIBLE
        raise


# --- reading ---


def read_lineage(data: Data, target: str) -> Lineage:
    """The lineage of a file or partition, in any of the forms that `data_path` takes.

    Errors: AirflowMlError if nothing is published under that name; it gives near names.
    """
    return _ask(data, [data_path(data, target)], {})


def lineage_or_kept(data: Data, text: str) -> Lineage:
    """The lineage of a file or partition; or of what a kept copy of a mark speaks of, in a host file."""
    mark = kept_mark(data, text)
    return _ask(data, [mark["partition"]], {mark["partition"]: mark}) if mark else read_lineage(data, text)


def _ask(data: Data, targets: list[str], marks: dict[str, Any]) -> Lineage:
    request = {"root": DATA_FOLDER, "targets": targets, "marks": marks}
    require_data(data)
    answer = ask_for_long(data, READER, request, data.mount(DATA_FOLDER), what="hashing files")
    for target in answer["targets"]:
        if "problem" in target:
            near = f"; near names: {', '.join(target['near'])}" if target["near"] else ""
            raise AirflowMlError(
                f"{target['name']} in {data.source!r}: {target['problem']}",
                expected=f"a published file or partition, such as predictions/2026-11-21/predictions.csv{near}",
                do="name one that its partition's _meta.json names",
            )
    return lineage_of(answer)


# --- names ---


def given(name: str) -> Callable[[str], str]:
    """An argument type: a path that is not empty, as make passes if nobody gave one."""

    def parse(text: str) -> str:
        if text:
            return text
        raise argparse.ArgumentTypeError(f"name one, such as {name}=predictions/2026-11-21/predictions.csv")

    return parse


def data_path(data: Data, text: str) -> str:
    """A path below the data folder, for one that may start with /data, or lie in the host folder of the data."""
    path = Path(text)
    if data.folder is not None:
        folder = data.folder.resolve()
        absolute = path if path.is_absolute() else Path.cwd() / path
        if absolute.resolve().is_relative_to(folder) and (path.is_absolute() or absolute.exists()):
            return str(absolute.resolve().relative_to(folder))
    if not path.is_absolute():
        return str(path)
    if path.is_relative_to(DATA_FOLDER):
        return str(path.relative_to(DATA_FOLDER))
    where = f"{data.folder} or {DATA_FOLDER}" if data.folder else DATA_FOLDER
    raise AirflowMlError(f"{text} is not below {where}", expected="a path such as models/2026-11-21/model.txt")


def kept_mark(data: Data, text: str) -> dict[str, Any] | None:
    """The mark in a host file outside of the data, such as a kept copy of a `_meta.json`; None for any other path."""
    path = Path(text)
    if path.suffix != ".json" or not path.is_file():
        return None
    if data.folder is not None and path.resolve().is_relative_to(data.folder.resolve()):
        return None
    try:
        mark = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(mark, dict) and all(key in mark for key in ("version", "partition", "outputs", "steps")):
            return mark
        found = "it has no version, partition, outputs and steps"
    except ValueError as error:
        found = str(error)
    raise AirflowMlError(f"{text} is no commit mark: {found}", expected="a copy of a _meta.json")


# --- images ---


def image_ids(lineage: Lineage) -> dict[str, str | None]:
    """The engine's ids of the images that a lineage names, by name and by recorded id; None where it has none."""
    images = [step.image for step in lineage.steps.values()]
    wanted = sorted({text for image in images for text in (image["name"], image["id"]) if text})
    found = inspect_images(wanted)
    return {name: found[name]["Id"] if name in found else None for name in wanted}


def same_on_engine(step: Step, ids: dict[str, str | None]) -> str:
    """Whether the engine has the image of a step, in words; empty if the step ran outside of any image."""
    name, wanted = step.image["name"], step.image["id"]
    if name is None or name not in ids:
        return ""
    if wanted and ids.get(wanted):
        return ON_ENGINE
    if ids[name] is None:
        return GONE
    return REBUILT if wanted and ids[name] != wanted else ON_ENGINE
