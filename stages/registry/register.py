"""`register`: records a validated model: one MLflow run with all that is known of it, one version, the challenger."""

import json
import logging
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import META, BadInput, NotReady, Partition, read_partition
from stagekit.contract import read_document
from stagekit.mark import file_sha256

from bundle import METRICS_FILE, MODEL_FILE, PARAMETERS_FILE, TAG, file_hashes, model_hash, read_model
from decisions import is_rejected
from list_ import newest_versions
from mlmodel import write_loading_files
from registered_model import dag_run, read_registered_model, set_challenger
from rest import EXISTS, Refused
from runs import (
    Point,
    add_reuse,
    as_list,
    columns,
    describe,
    ensure_run,
    experiment_id,
    figures,
    log_origins,
    log_params,
    log_points,
    milliseconds,
    milliseconds_now,
    read_origins,
    run_tags,
    tag_run,
    upload,
)
from server import Server, connect, explained
from versions import (
    FOLDER,
    Version,
    as_version,
    bundle_signature,
    get_version,
    registered_version,
    require_complete,
    require_signed,
    tag_version,
)

ACTIVE = "active"

log = logging.getLogger("registry")


def register(args: Namespace) -> dict[str, Any]:
    """Record models/{ds}. If this very model has a version already, that version is completed and used again."""
    model = read_model(args.data_dir, f"models/{args.ds}")
    plots = _read_plots(args.data_dir, args.ds, model)
    val = _validation_rows(args.data_dir, args.ds, model)
    server = connect()
    known = _reusable_version(server, model)
    if known:
        _complete(server, known, model, val)
        _record_figures(server, known.run_id, model, plots)
        number = known.number
    else:
        number = _register_new(args, server, model, plots, val)
    if not is_rejected(get_version(server, number)):
        set_challenger(server, number)
    version = get_version(server, number)
    with explained(server, "ending the run"):
        now = milliseconds_now()
        server.rest.post("runs/update", run_id=version.run_id, status="FINISHED", end_time=now)
    aliases = ", ".join(version.aliases) or "no alias"
    log.info("%s is registered%s: %s", version.label, " already" if known else "", aliases)
    return {
        "name": server.name,
        "version": number,
        "run_id": version.run_id,
        "experiment_id": experiment_id(server),
        "model": model.name,
        "model_sha256": model_hash(model),
        "aliases": list(version.aliases),
        "new": known is None,
        "files": len(version.bundle().files),
        "versions": newest_versions(server),
    }


def _read_plots(root: Path, ds: str, model: Partition) -> Partition | None:
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
    """Whether all that the plots were drawn from is the same in the model now."""
    read = [item for file in plots.meta["outputs"] for item in plots.inputs(file).items()]
    used = [(path, digest) for path, digest in read if path in model.hashes]
    return bool(used) and all(model.hashes[path] == digest for path, digest in used)


def _validation_rows(root: Path, ds: str, model: Partition) -> Path | None:
    """The table that the model was validated on, for the input example; None where it is gone or has changed."""
    file = f"processed/{ds}/val.csv"
    try:
        processed = read_partition(root, f"processed/{ds}", ["val.csv"])
    except (NotReady, BadInput) as error:
        log.warning("the version gets no input example: %s", error)
        return None
    if processed.hashes[file] != model.inputs(MODEL_FILE).get(file):
        log.warning("the version gets no input example: %s was made again since the training", file)
        return None
    return processed / "val.csv"


def _reusable_version(server: Server, model: Partition) -> Version | None:
    """The version that holds this very model, unless somebody has deleted its run."""
    version = registered_version(server, model)
    if version is None:
        return None
    with explained(server, f"reading the run of version {version.number}"):
        stage = server.rest.run(version.run_id)["info"]["lifecycle_stage"]
    if stage != ACTIVE:
        log.warning("the run of version %s is deleted; the model gets a new version", version.number)
        return None
    return version


def _complete(server: Server, version: Version, model: Partition, val: Path | None) -> None:
    """Upload the bundle again where the server has lost files; say on the version's page that it is used again."""
    try:
        require_complete(server, version)
    except BadInput as error:
        _require_own_record(server, version)
        log.warning("%s; uploading it again", error)
        files = _upload_bundle(server, version.run_id, model, val)
        with explained(server, f"recording the files of version {version.number}"):
            recorded = {f"{TAG}model": model.name, f"{TAG}files": json.dumps(files)}
            for key, value in {**recorded, **bundle_signature(server, version.number, recorded)}.items():
                tag_version(server, version.number, key, value)
    if version.tag("dag_run_id") != dag_run():
        text = add_reuse(version.description, server.settings)
        with explained(server, f"describing version {version.number}"):
            tag_version(server, version.number, f"{TAG}reused_by", dag_run())
            server.rest.patch("model-versions/update", name=server.name, version=version.number, description=text)
            tag_run(server, version.run_id, "mlflow.note.content", text)


def _require_own_record(server: Server, version: Version) -> None:
    """Errors: BadInput for a version that was promoted and is not signed: to sign it would promote this model."""
    if any(event.version == version.number for event in read_registered_model(server).events):
        require_signed(server, version)


def _register_new(args: Namespace, server: Server, model: Partition, plots: Partition | None, val: Path | None) -> str:
    """Fill a run, then create its version: a version always has all files. Returns the version's number."""
    origins = read_origins(args.data_dir, model)
    tags = run_tags(args.ds, model, origins)
    text = describe(server.settings, args.ds, model, origins.warnings)
    run = ensure_run(server, args.ds, {**tags, **columns(args.by)}, text)
    run_id = run["info"]["run_id"]
    files = _upload_bundle(server, run_id, model, val)
    _record_figures(server, run_id, model, plots)
    rows = read_document(model, PARAMETERS_FILE).get("rows") or {}
    log_origins(server, run_id, args.ds, origins, rows)
    tags |= {f"{TAG}files": json.dumps(files)}
    number = _create_version(server, run, tags, text)
    # Of a process that is killed before this, the next try signs the version: it finds it, and completes it.
    with explained(server, f"signing version {number}"):
        for key, value in bundle_signature(server, number, tags).items():
            tag_version(server, number, key, value)
    return number


def _upload_bundle(server: Server, run_id: str, model: Partition, val: Path | None) -> dict[str, str]:
    """Upload the model's files, its mark, and the files that MLflow loads it by; returns the hash of each."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder)
        for file in (*model.files, META):
            shutil.copyfile(model / file, bundle / file)
        write_loading_files(bundle, model, val, run_id, FOLDER)
        files = {path.name: file_sha256(path) for path in sorted(bundle.iterdir())}
        _require_unchanged(model, files)
        upload(server, run_id, bundle, FOLDER)
    return files


def _require_unchanged(model: Partition, files: Mapping[str, str]) -> None:
    """What is uploaded is what was verified, also where someone trains the day again meanwhile."""
    if {**files, **file_hashes(model)} != files:
        raise BadInput(f"{model.name} was replaced while it was read", do="run this again, for the new one")


def _record_figures(server: Server, run_id: str, model: Partition, plots: Partition | None) -> None:
    """The plots, the parameters, each metric at every iteration, and the figures of `validate`."""
    if plots:
        _upload_plots(server, run_id, plots)
    params = read_document(model, PARAMETERS_FILE)
    rows = {f"rows.{side}": count for side, count in (params.get("rows") or {}).items()}
    best = {"best_iteration": params.get("best_iteration")}
    tuned = {f"tuned.{name}": value for name, value in (params.get("tuned") or {}).items()}
    log_params(server, run_id, {**(params.get("parameters") or {}), **rows, **best, **tuned})
    # The moment of the step, so that the same point is the same point whenever it is sent.
    trained, validated = (milliseconds(model.step(file)["started"]) for file in (MODEL_FILE, METRICS_FILE))
    curve = [
        Point(f"validation.{metric}", value, iteration, trained)
        for metric, values in (params.get("curve") or {}).items()
        for iteration, value in enumerate(values, start=1)
    ]
    final = [Point(key, value, 0, validated) for key, value in figures(read_document(model, METRICS_FILE)).items()]
    log_points(server, run_id, [*curve, *final])


def _upload_plots(server: Server, run_id: str, plots: Partition) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file in plots.files:
            shutil.copyfile(plots / file, Path(folder) / file)
        upload(server, run_id, Path(folder), "plots")


def _create_version(server: Server, run: Any, tags: Mapping[str, str], text: str) -> str:
    """A version of what the run holds; the registered model too, if this is its first version."""
    with explained(server, "creating the version"):
        try:
            server.rest.post("registered-models/create", name=server.name)
        except Refused as error:
            if error.code != EXISTS:
                raise
        # An address below the run's own artifacts: the page reads MLmodel through it, clients their files.
        source, run_id = f"{run['info']['artifact_uri']}/{FOLDER}", run["info"]["run_id"]
        made = server.rest.post(
            "model-versions/create",
            name=server.name,
            source=source,
            run_id=run_id,
            tags=as_list(tags),
            description=text,
        )
        return as_version(made["model_version"]).number
