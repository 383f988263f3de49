"""Records a validated model: one MLflow run with all that is known of it, one version of the registered model."""

import json
import logging
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import META, BadInput, NotReady, Partition, read_partition

from bundle import (
    METRICS_FILE,
    MODEL_FILE,
    PARAMETERS_FILE,
    file_hashes,
    file_sha256,
    model_hash,
    numbers,
    read_json,
    read_model,
)
from history import CHALLENGER, read_history
from mlmodel import write_loading_files
from origins import follow
from runs import Point, ensure_run, log_params, log_points, milliseconds, note, run_tags, upload
from server import Server, connect, exists_already, explained
from versions import FOLDER, TAG, Version, as_version, get_version, own_version, versions_of

log = logging.getLogger("registry")


def register(args: Namespace) -> dict[str, Any]:
    """Record models/{ds}; a second time, or after a failure, it completes what is there."""
    model = read_model(args.data_dir, f"models/{args.ds}")
    plots = _plots(args.data_dir, args.ds, model)
    val = _validation_rows(args.data_dir, args.ds, model)
    tags = run_tags(args.ds, model.name, model_hash(model), *follow(args.data_dir, model))
    server = connect()
    told = note(server.settings, args.ds, model.name)
    run = ensure_run(server, args.ds, tags, told)
    known = own_version(versions_of(server, model_hash(model)), tags[f"{TAG}dag_run_id"])
    files = _upload_bundle(server, run.info.run_id, model, val, known)
    if plots:
        _upload_plots(server, run.info.run_id, plots)
    _log_figures(server, run.info.run_id, model)
    tags[f"{TAG}files"] = json.dumps(files)
    number = known.number if known else _create_version(server, run, tags, told)
    if known and dict(known.tags) != {**known.tags, **tags}:
        _renew_tags(server, known, tags)
    _challenge(server, number)
    with explained(server, "ending the run"):
        server.client.set_terminated(run.info.run_id, "FINISHED")
    version = get_version(server, number)
    aliases = ", ".join(version.aliases) or "no alias"
    log.info("%s is registered%s: %s", version.label, " already" if known else "", aliases)
    return {
        "name": server.name,
        "version": number,
        "run_id": run.info.run_id,
        "model": model.name,
        "model_sha256": model_hash(model),
        "aliases": list(version.aliases),
        "new": known is None,
        "files": len(files),
    }


def _plots(root: Path, ds: str, model: Partition) -> Partition | None:
    """The plots of this very model, if there are any."""
    try:
        plots = read_partition(root, f"plots/{ds}", [])
    except NotReady:
        log.info("there are no plots/%s to upload", ds)
        return None
    if not _drawn_from(plots, model):
        log.warning("plots/%s were made from another model; not uploaded: run `report plot --ds %s`", ds, ds)
        return None
    return read_partition(root, f"plots/{ds}", sorted(plots.meta["outputs"]))


def _drawn_from(plots: Partition, model: Partition) -> bool:
    """Whether all that the plots were drawn from is as it is in the model now."""
    read = [item for step in plots.meta["steps"].values() for item in step["inputs"].items()]
    used = [(path, digest) for path, digest in read if path in model.hashes]
    return bool(used) and all(model.hashes[path] == digest for path, digest in used)


def _validation_rows(root: Path, ds: str, model: Partition) -> Path | None:
    """The table that the model was validated on, for the input example; None where it is not there any more."""
    file = f"processed/{ds}/val.csv"
    used = model.meta["steps"].get(model.meta["outputs"][MODEL_FILE]["step"], {}).get("inputs", {}).get(file)
    try:
        processed = read_partition(root, f"processed/{ds}", ["val.csv"])
    except (NotReady, BadInput) as error:
        log.warning("the version gets no input example: %s", error)
        return None
    if processed.hashes[file] != used:
        log.warning("the version gets no input example: %s was made anew since the training", file)
        return None
    return processed / "val.csv"


def _upload_bundle(
    server: Server, run_id: str, model: Partition, val: Path | None, known: Version | None
) -> dict[str, str]:
    """Upload the model's files, its mark and what MLflow loads it by, unless they are there; returns their hashes."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder)
        for file in (*model.files, META):
            shutil.copyfile(model / file, bundle / file)
        write_loading_files(bundle, model, val, run_id, FOLDER)
        files = {path.name: file_sha256(path) for path in sorted(bundle.iterdir())}
        _require_unchanged(model, files)
        if known is None or known.files != files:
            upload(server, run_id, bundle, FOLDER)
    return files


def _require_unchanged(model: Partition, files: Mapping[str, str]) -> None:
    """What is uploaded is what was verified, also where someone trains the day again meanwhile."""
    if {**files, **file_hashes(model)} != files:
        raise BadInput(f"{model.name} was replaced while it was read", do="run this again, for the new one")


def _upload_plots(server: Server, run_id: str, plots: Partition) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file in plots.files:
            shutil.copyfile(plots / file, Path(folder) / file)
        upload(server, run_id, Path(folder), "plots")


def _log_figures(server: Server, run_id: str, model: Partition) -> None:
    """Parameters, each metric at every iteration, and what `validate` measured."""
    params = read_json(model, PARAMETERS_FILE)
    rows = {f"rows.{side}": count for side, count in params.get("rows", {}).items()}
    shown = {**params["parameters"], **rows, "best_iteration": params["best_iteration"]}
    log_params(server, run_id, shown)
    # The moment of the step, so that the same point is the same point whenever it is sent.
    trained, validated = (_moment(model, file) for file in (MODEL_FILE, METRICS_FILE))
    curve = [
        Point(f"validation.{metric}", value, iteration, trained)
        for metric, values in params["curve"].items()
        for iteration, value in enumerate(values, start=1)
    ]
    final = [Point(key, value, 0, validated) for key, value in numbers(read_json(model, METRICS_FILE)).items()]
    log_points(server, run_id, [*curve, *final])


def _moment(model: Partition, file: str) -> int:
    return milliseconds(model.meta["steps"][model.meta["outputs"][file]["step"]]["started"])


def _create_version(server: Server, run: Any, tags: Mapping[str, str], told: str) -> str:
    """A version of what the run holds; the registered model too, if this is its first."""
    from mlflow.exceptions import MlflowException

    with explained(server, "creating the version"):
        try:
            server.client.create_registered_model(server.name)
        except MlflowException as error:
            if not exists_already(error):
                raise
        # An address below the run's own artifacts: the page reads MLmodel through it, clients their files.
        source = f"{run.info.artifact_uri}/{FOLDER}"
        made = server.client.create_model_version(
            server.name, source, run.info.run_id, tags=dict(tags), description=told, await_creation_for=0
        )
    return as_version(made).number


def _renew_tags(server: Server, version: Version, tags: Mapping[str, str]) -> None:
    with explained(server, f"renewing the tags of version {version.number}"):
        for name, value in tags.items():
            if version.tags.get(name) != value:
                server.client.set_model_version_tag(server.name, version.number, name, value)


def _challenge(server: Server, number: str) -> None:
    """Make the version the challenger, unless it is or was the champion, or a newer one challenges."""
    history = read_history(server)
    newest = int(history.aliases.get(CHALLENGER, 0))
    if newest < int(number) and all(event.version != number for event in history.events):
        with explained(server, f"setting the alias {CHALLENGER}"):
            server.client.set_registered_model_alias(server.name, CHALLENGER, number)
