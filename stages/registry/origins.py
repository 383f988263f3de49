"""What a model was made from, and by what: followed through the commit marks, back to the raw data."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, read_partition

log = logging.getLogger("registry")


def follow(root: Path, model: Partition) -> tuple[dict[str, str], dict[str, str]]:
    """The sha256 of every file that went into a model, by its path; the images by stage.

    It reads marks only: which bytes went in is what the steps recorded. A partition that is gone, or was made anew
    since, ends the walk there, with a warning.
    """
    data: dict[str, str] = {}
    images: dict[str, set[str]] = {}
    own = {f"{model.name}/{file}": output["sha256"] for file, output in model.meta["outputs"].items()}
    todo = dict(own)
    marks: dict[str, Mapping[str, Any] | None] = {model.name: model.meta}
    while todo:
        path, digest = todo.popitem()
        step = _step_that_wrote(root, path, digest, marks)
        if step is None:
            continue
        stage, image = step["call"].get("stage"), step["image"].get("name")
        if stage and image:
            images.setdefault(stage, set()).add(image)
        for source, found in step["inputs"].items():
            if source not in own and source not in data:
                data[source] = todo[source] = found
    return dict(sorted(data.items())), {stage: ", ".join(sorted(images[stage])) for stage in sorted(images)}


def _step_that_wrote(
    root: Path, path: str, digest: str, marks: dict[str, Mapping[str, Any] | None]
) -> Mapping[str, Any] | None:
    """The record of the step that wrote these bytes; None where its mark does not know them any more."""
    name, _, file = path.rpartition("/")
    if name not in marks:
        try:
            marks[name] = read_partition(root, name, []).meta
        except (NotReady, BadInput) as error:
            log.warning("what %s was made from is not recorded: %s", name, error)
            marks[name] = None
    mark = marks[name]
    if mark is None:
        return None
    output = mark["outputs"].get(file, {})
    if output.get("sha256") != digest:
        log.warning("what %s was made from is not recorded: it was made anew since", path)
        return None
    record: Mapping[str, Any] | None = mark["steps"].get(output["step"])
    return record
