"""MLflow runs: found again by their tags, and filled so that a second time changes nothing."""

import json
import logging
import math
import os
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition
from stagekit.lineage import Reader

from bundle import TAG, model_hash
from registered_model import BY_HAND, dag_run
from server import Server, Settings, already_exists, explained

# What MLflow takes in one request, and of one value.
MOST_PARAMS, MOST_METRICS, LONGEST_VALUE = 100, 1000, 5000
AGAIN = "The same model was trained again"

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Point:
    """A metric's value at a step, at a time in milliseconds."""

    key: str
    value: float
    step: int
    timestamp: int


def run_tags(root: Path, ds: str, model: Partition) -> dict[str, str]:
    """What identifies a run and its version, and what the model was made from."""
    tags = {
        "ds": ds,
        "dag_id": os.environ.get("ML_DAG_ID") or BY_HAND,
        "dag_run_id": dag_run(),
        "model": model.name,
        "model_sha256": model_hash(model),
        **_origins(root, model),
    }
    return {TAG + name: value for name, value in tags.items()}


def _origins(root: Path, model: Partition) -> dict[str, str]:
    """The sha256 of every file that went into a model, as the steps read it, and the images of each stage.

    The marks record both. A partition that is gone or was published again ends the walk there, with a warning.
    """
    lineage = Reader(root, marks={model.name: model.meta}).follow(sorted(model.hashes), past_changes=False)
    for path, problem in lineage.problems:
        log.warning("what %s was made from is not recorded: %s", path, problem.text)
    data: dict[str, str] = {}
    images: dict[str, set[str]] = {}
    for step in lineage.steps.values():
        data.update({read.path: read.sha256 for read in step.inputs if read.path not in model.hashes})
        if step.call and (image := step.image["name"]):
            images.setdefault(step.call["stage"], set()).add(image)
    return {
        **{f"data.{path}": digest for path, digest in sorted(data.items())},
        **{f"image.{stage}": ", ".join(sorted(images[stage])) for stage in sorted(images)},
    }


def describe(settings: Settings, ds: str, model: str) -> str:
    """The first text that a person reads at a run and at a version, with links to more."""
    lines = [f"The model of {ds}, `{model}`, made by {_dag_run_link(settings)}."]
    if settings.reports_page:
        lines.append(f"[The report of the day]({settings.reports_page}/{ds}/), once it is evaluated")
    return "\n\n".join(lines)


def add_reuse(text: str, settings: Settings) -> str:
    """That text of a version whose model was trained again: it ends with the latest Dag run that did so."""
    first = text.partition(f"\n\n{AGAIN}")[0]
    return f"{first}\n\n{AGAIN}, last by {_dag_run_link(settings)}. This version was used again."


def _dag_run_link(settings: Settings) -> str:
    """The Dag run that this process works for, as a link if the page is known."""
    dag, run = os.environ.get("ML_DAG_ID"), os.environ.get("ML_RUN_ID")
    name = f"the Dag run `{run}`" if run else "hand"
    if settings.airflow_page and dag and run:
        return f"[{name}]({settings.airflow_page}/dags/{dag}/runs/{urllib.parse.quote(run)})"
    return name


def ensure_run(server: Server, ds: str, tags: Mapping[str, str], text: str) -> Any:
    """The run of this day, Dag run and model; a new one unless it exists. `text` is shown first on its page."""
    experiment = _ensure_experiment(server)
    known = " AND ".join(f"tags.`{TAG}{name}` = '{tags[TAG + name]}'" for name in ("ds", "dag_run_id", "model_sha256"))
    with explained(server, "looking for the run"):
        found = server.client.search_runs([experiment], known, max_results=1, order_by=["attributes.start_time ASC"])
        run = found[0] if found else server.client.create_run(experiment, tags=dict(tags), run_name=ds)
        run_id = run.info.run_id
        for key, value in {**tags, "mlflow.note.content": text}.items():
            if run.data.tags.get(key) != value:
                server.client.set_tag(run_id, key, value)
    log.info("MLflow run %s of experiment %s%s", run_id, server.name, ", begun before" if found else "")
    return run


def _ensure_experiment(server: Server) -> str:
    from mlflow.exceptions import MlflowException

    with explained(server, "looking for the experiment"):
        found = server.client.get_experiment_by_name(server.name)
        if found is None:
            try:
                return str(server.client.create_experiment(server.name))
            except MlflowException as error:
                if not already_exists(error):
                    raise
                found = server.client.get_experiment_by_name(server.name)
    if found.lifecycle_stage != "active":
        raise BadInput(
            f"the experiment {server.name} is deleted", expected="an active one",
            do=f"restore it (`mlflow experiments restore --experiment-id {found.experiment_id}`)",
        )  # fmt: skip
    return str(found.experiment_id)


def upload(server: Server, run_id: str, folder: Path, to: str) -> None:
    """Upload the files of a folder as artifacts of a run."""
    files = sorted(path.name for path in folder.iterdir())
    with explained(server, f"uploading {to}/"):
        server.client.log_artifacts(run_id, str(folder), to)
    log.info("uploaded %d files to %s/: %s", len(files), to, ", ".join(files))


def log_params(server: Server, run_id: str, values: Mapping[str, Any]) -> None:
    """Log parameters; one that a run has already stays, because MLflow allows no change."""
    from mlflow.entities import Param

    with explained(server, "logging the parameters"):
        known = server.client.get_run(run_id).data.params
        missing = [Param(key, shorten(value)) for key, value in values.items() if key not in known]
        for some in batched(missing, MOST_PARAMS):
            server.client.log_batch(run_id, params=list(some))


def shorten(value: Any) -> str:
    """A value as text, cut to what MLflow keeps."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 10]} [...cut]"


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """The figures among the values of a JSON object: no truth values, nothing nested, nothing infinite."""
    numbers = {
        key: float(value)
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


def log_points(server: Server, run_id: str, points: Sequence[Point]) -> int:
    """Log metrics; a point that the run has with this value is not logged again. Returns how many were new.

    MLflow keeps every point that it ever got. Where the value of a step has changed, the new point gets a time after
    the old one's: MLflow shows the latest point as the step's value.
    """
    from mlflow.entities import Metric

    new = [point for key in dict.fromkeys(p.key for p in points) for point in _unknown(server, run_id, key, points)]
    with explained(server, "logging the metrics"):
        for some in batched(new, MOST_METRICS):
            batch = [Metric(point.key, point.value, point.timestamp, point.step) for point in some]
            server.client.log_batch(run_id, metrics=batch)
    return len(new)


def _unknown(server: Server, run_id: str, key: str, points: Iterable[Point]) -> list[Point]:
    """The points of a metric that are not the latest at their step in the run's history."""
    with explained(server, f"reading the points of {key}"):
        history = server.client.get_metric_history(run_id, key)
        known = {point.step: point for point in sorted(history, key=lambda point: point.timestamp)}
    new = []
    for point in (point for point in points if point.key == key):
        latest = known.get(point.step)
        if latest is None:
            new.append(point)
        elif latest.value != point.value:
            new.append(Point(key, point.value, point.step, max(point.timestamp, latest.timestamp + 1)))
    return new


def milliseconds(moment: str) -> int:
    """A mark's time as MLflow counts it."""
    return int(datetime.fromisoformat(moment).astimezone(UTC).timestamp() * 1000)
