"""Adds a day's evaluation to the run of the version that scored that day: metrics, drift, the report."""

import logging
import re
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition, UsageError, read_partition

from bundle import MODEL_FILE, numbers, read_json
from runs import Point, log_points, upload
from server import Server, connect, explained
from versions import TAG, Version, get_version, versions_of

EVALUATION_FILE, REPORT_FILE = "evaluation.json", "index.html"
# How the model is used, or how much of it was looked at; not how good it is.
NO_MEASURES = {"version", "threshold"}
NOT_IN_A_NAME = re.compile(r"[^\w.\- :]")
LONGEST_NAME = 200

log = logging.getLogger("registry")


def log_evaluation(args: Namespace) -> dict[str, Any]:
    """Log reports/{ds}; a second time, only what has changed since."""
    report = read_partition(args.data_dir, f"reports/{args.ds}", [EVALUATION_FILE, REPORT_FILE])
    evaluation = read_json(report, EVALUATION_FILE)
    points = points_of(report, evaluation, args.ds)
    server = connect()
    version = _version(server, report, evaluation)
    told = {"name": server.name, "version": version.number if version else None, "points": len(points)}
    if version is None:
        log.warning("no version of %s is known to have scored %s; nothing is logged", server.name, args.ds)
        return {**told, "run_id": None, "new_points": 0}
    new = log_points(server, version.run_id, points)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(report / REPORT_FILE, Path(folder) / REPORT_FILE)
        upload(server, version.run_id, Path(folder), report.name)
    if server.settings.reports_page:
        _link(server, version, args.ds)
    log.info("%s: %d points of %s, %d of them new", version.label, len(points), args.ds, new)
    return {**told, "run_id": version.run_id, "new_points": new}


def points_of(report: Partition, evaluation: Mapping[str, Any], ds: str) -> list[Point]:
    """The day's figures at the day's step. Errors: BadInput where the evaluation is not understood."""
    day = date.fromisoformat(ds)
    step = (day - date(1970, 1, 1)).days
    moment = int(datetime.combine(day, time(), UTC).timestamp() * 1000)
    try:
        measured = numbers(evaluation["metrics"] or {})
        values = {f"live.{key}": value for key, value in measured.items() if key not in NO_MEASURES}
        # A model without a baseline has no drift.
        told = evaluation["drift"] or {"score": {"psi": None}, "features": []}
        drift = [("score", told["score"]["psi"]), *((feature["name"], feature["psi"]) for feature in told["features"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{report.name}/{EVALUATION_FILE} is not understood ({type(error).__name__}: {error})",
            expected="an evaluation of version 1", do="run `prediction evaluate` again with the image in use",
        ) from None  # fmt: skip
    return [Point(key, value, step, moment) for key, value in (values | numbers(drift_metrics(drift))).items()]


def drift_metrics(drift: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Each feature's metric, under a name that MLflow takes; no two features get the same."""
    named: dict[str, Any] = {}
    for feature, psi in drift:
        name = f"drift.{NOT_IN_A_NAME.sub('_', feature)[:LONGEST_NAME]}"
        while name in named:
            name += "_"
        named[name] = psi
    return named


def _version(server: Server, report: Partition, evaluation: Mapping[str, Any]) -> Version | None:
    """The version that scored: as the evaluation says, else by the hash of the model that it read."""
    model = evaluation.get("model") or {}
    if number := model.get("version"):
        try:
            return get_version(server, str(number))
        except UsageError as error:
            log.warning("%s, which scored the day", error)
            return None
    record = report.meta["steps"].get(report.meta["outputs"][EVALUATION_FILE]["step"], {})
    hashes = [digest for path, digest in record.get("inputs", {}).items() if path.endswith(f"/{MODEL_FILE}")]
    found = [version for digest in hashes[:1] for version in versions_of(server, digest)]
    if model.get("run_id"):
        found = [version for version in found if version.run_id == model["run_id"]]
    return found[0] if found else None


def _link(server: Server, version: Version, ds: str) -> None:
    key, address = f"{TAG}report.{ds}", f"{server.settings.reports_page}/{ds}/"
    with explained(server, "linking the report"):
        server.client.set_tag(version.run_id, key, address)
        server.client.set_model_version_tag(server.name, version.number, key, address)
