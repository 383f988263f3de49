"""Finds the files of a version below the data folder, or restores them from MLflow."""

import logging
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, Publication, publish

from bundle import MARK_FILE, Bundle, file_hashes, parse_rows, read_model
from server import Server
from versions import Version, artifacts_of, fetch, require_signed

log = logging.getLogger("registry")


def find_or_restore(args: Namespace, server: Server, version: Version) -> Partition:
    """The partition with a version's files as registered: the one it was made in, or `models/{ds}-v{N}`, restored."""
    bundle = version.bundle()
    require_signed(server, version)
    restored = f"{bundle.model}-v{version.number}"
    for name in (bundle.model, restored):
        if model := _as_registered(args.data_dir, name, version.number, bundle):
            return model
    _restore(args, restored, server, version)
    log.warning("restored %s from MLflow: %s does not hold what was registered", restored, bundle.model)
    return read_model(args.data_dir, restored)


def _as_registered(root: Path, name: str, number: str, bundle: Bundle) -> Partition | None:
    """The partition, if its files are those of the version; else the log says what is different."""
    try:
        model = read_model(root, name)
    except (NotReady, BadInput) as error:
        log.info("%s is not the model of version %s: %s", name, number, error)
        return None
    hashes = file_hashes(model)
    if other := sorted(file for file, digest in bundle.model_files.items() if hashes.get(file) != digest):
        log.info("%s is not the model of version %s any more: %s differ", name, number, ", ".join(other))
        return None
    return model


def _restore(args: Namespace, name: str, server: Server, version: Version) -> None:
    """Publish the version's files as a partition of their own: the day's partition may hold a later training."""
    bundle, place = version.bundle(), artifacts_of(server, version)

    def work(publication: Publication) -> dict[str, Any]:
        mark = fetch(server, version, place, MARK_FILE, publication.scratch).read_bytes()
        publication.rows.update(parse_rows(mark, bundle.model_files))
        for file in sorted(bundle.model_files):
            shutil.move(fetch(server, version, place, file, publication.scratch), publication.path(file))
        return {}

    origin = {"version": version.number, "run_id": version.run_id, "model": bundle.model, "name": server.name}
    publish(args, name, "restore", work, parameters=origin, reuse=False)
