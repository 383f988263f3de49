"""`log-evaluation`: adds a day's evaluation to the run of the version that scored the day: metrics, drift, report."""

import logging
import re
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from stagekit import Partition, read_partition
from stagekit.contract import read_document

from bundle import MODEL_FILE, TAG
from runs import Point, experiment_id, figures, log_points, tag_run, upload
from server import Server, connect, explained
from versions import Version, find_version, tag_version, versions_of

EVALUATION_FILE, REPORT_FILE = "evaluation.json", "index.html"
# How the model is used, or how much of it was looked at; not how good it is.
NO_MEASURES = {"version", "threshold", "default_threshold"}
NOT_IN_A_NAME = re.compile(r"[^\w.\- :]")
LONGEST_NAME = 200

log = logging.getLogger("registry")


def log_evaluation(args: Namespace) -> dict[str, Any]:
    """Log reports/{ds}; a second time, only what has changed since."""
    report = read_partition(args.data_dir, f"reports/{args.ds}", [EVALUATION_FILE, REPORT_FILE])
    evaluation = read_document(report, EVALUATION_FILE)
    server = connect()
    version = _find_version(server, report, evaluation["model"])
    if version is None:
        log.warning("no version of %s is known to have scored %s; nothing is logged", server.name, args.ds)
        return {"name": server.name, "version": None, "points": 0, "run_id": None, "new_points": 0}
    points = points_of(evaluation, args.ds, version.bundle().model.removeprefix("models/"))
    new = log_points(server, version.run_id, points)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(report / REPORT_FILE, Path(folder) / REPORT_FILE)
        upload(server, version.run_id, Path(folder), report.name)
    if server.settings.reports_page:
        _link(server, version, args.ds)
    log.info("%s: %d points of %s, %d of them new", version.label, len(points), args.ds, new)
    counts = {"points": len(points), "run_id": version.run_id, "new_points": new}
    return {"name": server.name, "version": version.number, "experiment_id": experiment_id(server), **counts}


def points_of(evaluation: Mapping[str, Any], ds: str, trained: str) -> list[Point]:
    """The figures of evaluation.json at the day's step, which counts days since the day that the model trained on."""
    day = date.fromisoformat(ds)
    step = (day - date.fromisoformat(trained)).days
    moment = int(datetime.combine(day, time(), UTC).timestamp() * 1000)
    # The figures of a day that the model learned from are no live figures.
    metrics = {} if evaluation.get("trained_on_day") else evaluation.get("metrics") or {}
    values = {f"live.{key}": value for key, value in figures(metrics).items() if key not in NO_MEASURES}
    for key, bounds in (metrics.get("intervals") or {}).items():
        if bounds:
            values |= {f"live.{key}_low": float(bounds[0]), f"live.{key}_high": float(bounds[1])}
    values |= segment_metrics(evaluation.get("segments"), metrics)
    if drift := evaluation.get("drift"):  # a model without a baseline has no drift
        named = [(feature["name"], feature["psi"]) for feature in drift["features"]]
        values |= drift_metrics([("score", drift["score"]["psi"]), *named])
    return [Point(key, value, step, moment) for key, value in values.items()]


def segment_metrics(segments: Mapping[str, Any] | None, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figure of each segment, such as `segment.channel.chip.roc_auc`, with `_low` and `_high` of its interval.

    Nothing if the day has no live figures.
    """
    named: dict[str, float] = {}
    if not segments or not metrics:
        return named
    for part in segments["parts"]:
        if part["figure"] is not None:
            place = NOT_IN_A_NAME.sub("_", f"segment.{part['field']}.{part['value']}")[:LONGEST_NAME]
            name = _distinct(f"{place}.{segments['metric']}", named)
            low_high = zip(("_low", "_high"), part["interval"] or (), strict=False)
            named |= {name: float(part["figure"]), **{name + end: float(bound) for end, bound in low_high}}
    return named


def drift_metrics(drift: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Each feature's metric, under a name that MLflow takes; no two features get the same name."""
    named: dict[str, float] = {}
    for feature, psi in drift:
        name = f"drift.{NOT_IN_A_NAME.sub('_', feature)[:LONGEST_NAME]}"
        named[_distinct(name, named)] = float(psi)
    return named


def _distinct(name: str, taken: Collection[str]) -> str:
    """The name, with as many characters more as it takes to be none of those taken."""
    while name in taken:
        name += "_"
    return name


def _find_version(server: Server, report: Partition, model: Mapping[str, Any]) -> Version | None:
    """The version that scored the day: as the evaluation says, else by the hash of the model that it read."""
    if number := model.get("version"):
        version = find_version(server, str(number))
        if version is None:
            log.warning("%s has no version %s, which scored the day", server.name, number)
        return version
    hashes = [digest for path, digest in report.inputs(EVALUATION_FILE).items() if path.endswith(f"/{MODEL_FILE}")]
    found = [version for digest in hashes[:1] for version in versions_of(server, digest)]
    if run_id := model.get("run_id"):
        found = [version for version in found if version.run_id == run_id]
    return found[0] if found else None


def _link(server: Server, version: Version, ds: str) -> None:
    key, address = f"{TAG}report.{ds}", f"{server.settings.reports_page}/{ds}/"
    with explained(server, "linking the report"):
        tag_run(server, version.run_id, key, address)
        tag_version(server, version.number, key, address)
