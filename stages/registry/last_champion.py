"""The champion that was resolved last, kept in `registry/production` for a day on which the server is out of reach."""

import json
import logging
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, Publication, StageError, publish, read_partition
from stagekit.models import model_name

from bundle import MODEL_FILE, model_hash, read_model
from server import OutOfReach, read_settings

PRODUCTION, RESOLVED_FILE = "registry/production", "resolved.json"
KEPT = ("version", "run_id", "model", "model_sha256", "name")

log = logging.getLogger("registry")


@dataclass(frozen=True)
class LastChampion:
    """The champion that was resolved last, and when."""

    version: str
    run_id: str
    model: str
    model_sha256: str
    since: str

    @property
    def label(self) -> str:
        """The champion in words."""
        return f"{self.model}, version {self.version}: the champion when it was resolved last, at {self.since}"


def remember(args: Namespace, model: Partition, resolved: Mapping[str, Any]) -> None:
    """Write `resolved.json`: what `resolve` found, and the name of the registered model."""
    kept = {key: resolved[key] for key in KEPT}

    def work(publication: Publication) -> dict[str, Any]:
        text = json.dumps(kept, indent=2, ensure_ascii=False)
        publication.path(RESOLVED_FILE).write_text(f"{text}\n", encoding="utf-8")
        return {}

    publish(args, PRODUCTION, "resolve", work, inputs=[model], parameters=kept, reuse=False)


def recall(root: Path, error: OutOfReach) -> LastChampion:
    """The champion that was resolved last, verified; a warning says when that was.

    Errors: StageError where there is none, or its model is gone.
    """
    try:
        known = _read(root)
        model = _find(root, known)
    except (NotReady, BadInput) as missing:
        raise StageError(f"{error}; --or-last does not help: {missing}") from None
    found = LastChampion(known.version, known.run_id, model.name, known.model_sha256, known.since)
    log.warning("%s", error)
    log.warning("using %s", found.label)
    return found


def _read(root: Path) -> LastChampion:
    partition = read_partition(root, PRODUCTION, [RESOLVED_FILE])
    content, name = partition.json(RESOLVED_FILE), read_settings().name
    if wrong := [key for key in KEPT if not isinstance(content.get(key), str)]:
        raise BadInput(f"{PRODUCTION}/{RESOLVED_FILE} has no {wrong[0]}", do="resolve with the server in reach")
    if content["name"] != name:
        raise BadInput(f"{PRODUCTION}/{RESOLVED_FILE} is of {content['name']}", expected=f"the champion of {name}")
    since = partition.step(RESOLVED_FILE)["started"]
    return LastChampion(content["version"], content["run_id"], content["model"], content["model_sha256"], since)


def _find(root: Path, known: LastChampion) -> Partition:
    """The model, or the same restored under its version. Errors: BadInput where neither exists."""
    names = dict.fromkeys((known.model, f"{known.model.partition('-v')[0]}-v{known.version}"))
    for name in names:
        try:
            model = read_model(root, model_name(root, name))
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
