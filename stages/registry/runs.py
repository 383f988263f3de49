"""MLflow runs: found again by their tags, and filled so that a second time changes nothing."""

import json
import logging
import os
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any

from stagekit import BadInput

from history import dag_run
from server import Server, Settings, exists_already, explained
from versions import BY_HAND, TAG

# What MLflow takes in one request, and of one value.
MOST_PARAMS, MOST_METRICS, LONGEST_VALUE = 100, 1000, 5000

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Point:
    """A metric's value at a step, at a time in milliseconds."""

    key: str
    value: float
    step: int
    timestamp: int


def run_tags(
    ds: str, model: str, model_sha256: str, data: Mapping[str, str], images: Mapping[str, str]
) -> dict[str, str]:
    """What a run and its version are found by, and what the model was made from."""
    tags = {
        "ds": ds,
        "dag_id": os.environ.get("ML_DAG_ID") or BY_HAND,
        "dag_run_id": dag_run(),
        "model": model,
        "model_sha256": model_sha256,
        **{f"data.{path}": digest for path, digest in data.items()},
        **{f"image.{stage}": image for stage, image in images.items()},
    }
    return {TAG + name: value for name, value in tags.items()}


def note(settings: Settings, ds: str, model: str) -> str:
    """What a person reads first at a run and at a version, with links to where its story goes on."""
    lines = [f"The model of {ds}, `{model}`, made by the Dag run `{dag_run()}`."]
    dag, run = os.environ.get("ML_DAG_ID"), os.environ.get("ML_RUN_ID")
    if settings.airflow_page and dag and run:
        lines.append(f"[The Dag run in Airflow]({settings.airflow_page}/dags/{dag}/runs/{urllib.parse.quote(run)})")
    if settings.reports_page:
        lines.append(f"[The report of the day]({settings.reports_page}/{ds}/), once it is evaluated")
    return "\n\n".join(lines)


def ensure_run(server: Server, ds: str, tags: Mapping[str, str], told: str) -> Any:
    """The run of this day, Dag run and model; a new one unless it is there."""
    experiment = _ensure_experiment(server)
    known = " AND ".join(f"tags.`{TAG}{name}` = '{tags[TAG + name]}'" for name in ("ds", "dag_run_id", "model_sha256"))
    with explained(server, "looking for the run"):
        found = server.client.search_runs([experiment], known, max_results=1, order_by=["attributes.start_time ASC"])
        run = found[0] if found else server.client.create_run(experiment, tags=dict(tags), run_name=ds)
        run_id = run.info.run_id
        for key, value in {**tags, "mlflow.note.content": told}.items():
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
                if not exists_already(error):
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
    """Log parameters; one that a run has already stays as it is, MLflow allows no other."""
    from mlflow.entities import Param

    with explained(server, "logging the parameters"):
        known = server.client.get_run(run_id).data.params
        missing = [Param(key, shown(value)) for key, value in values.items() if key not in known]
        for some in batched(missing, MOST_PARAMS):
            server.client.log_batch(run_id, params=list(some))


def shown(value: Any) -> str:
    """A value as text, cut to what MLflow keeps."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 10]} [...cut]"


def log_points(server: Server, run_id: str, points: Sequence[Point]) -> int:
    """Log metrics; a point that is there with this value is not logged again. Returns how many were new.

    MLflow keeps every point that it was ever given. Where the value of a step has changed, the new one gets a time
    after the old one's: what MLflow shows as the step's value is the latest.
    """
    from mlflow.entities import Metric

    new = [point for key in dict.fromkeys(p.key for p in points) for point in _unknown(server, run_id, key, points)]
    with explained(server, "logging the metrics"):
        for some in batched(new, MOST_METRICS):
            batch = [Metric(point.key, point.value, point.timestamp, point.step) for point in some]
            server.client.log_batch(run_id, metrics=batch)
    return len(new)


def _unknown(server: Server, run_id: str, key: str, points: Iterable[Point]) -> list[Point]:
    """The points of a metric that its history does not end with at their step."""
    with explained(server, f"reading the history of {key}"):
        history = server.client.get_metric_history(run_id, key)
    latest: dict[int, Any] = {}
    for known in sorted(history, key=lambda known: known.timestamp):
        latest[known.step] = known
    new = []
    for point in (point for point in points if point.key == key):
        known = latest.get(point.step)
        if known is None:
            new.append(point)
        elif known.value != point.value:
            new.append(Point(key, point.value, point.step, max(point.timestamp, known.timestamp + 1)))
    return new


def milliseconds(moment: str) -> int:
    """A mark's time as MLflow counts it."""
    return int(datetime.fromisoformat(moment).astimezone(UTC).timestamp() * 1000)
