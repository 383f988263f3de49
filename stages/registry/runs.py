"""MLflow runs: found again by their tags, and filled so that a second time changes nothing."""

import json
import logging
import os
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition
from stagekit.contract import read_document
from stagekit.lineage import Reader

from bundle import CARD_FILE, METRICS_FILE, TAG, model_hash
from registered_model import BY_HAND, dag_run
from rest import EXISTS, MISSING, Refused, artifact_folder
from server import Server, Settings, explained

# What MLflow takes in one request, and of one value.
MOST_PARAMS, MOST_METRICS, LONGEST_VALUE = 100, 1000, 5000
# What MLflow keeps of a description, less what `add_reuse` appends.
LONGEST_TEXT = 4000
LINEAGE_FILE = "lineage.json"
# The hashes of a dataset's page are this short.
DIGEST = 12
# What a list of versions shows of each.
FIGURES = ("roc_auc", "average_precision", "log_loss", "brier_score")
# The columns of the table of runs, with their widths: those up to the dataset fit into a window of 1280.
WIDTHS = {
    "metrics.`roc_auc`": 90, "metrics.`average_precision`": 130,
    "attributes.`User`": 75, "attributes.`Source`": 95, "attributes.`Dataset`": 210,
    "metrics.`log_loss`": 90, "metrics.`brier_score`": 95,
}  # fmt: skip
COLUMNS = list(WIDTHS)
# Without the kind, MLflow opens an experiment as one of generative AI, at a page without runs. By itself its table of
# runs shows neither a metric nor who started a run: an address with `viewStateShareKey=columns` shows these columns.
TAGS_OF_EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.sharedViewState.columns": json.dumps(
        {"selectedColumns": COLUMNS, "columnOrder": COLUMNS, "columnWidths": WIDTHS}
    ),
}
AGAIN = "The same model was trained again"

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Point:
    """A metric's value at a step, at a time in milliseconds."""

    key: str
    value: float
    step: int
    timestamp: int


@dataclass(frozen=True)
class Origins:
    """What a model was made from: the sha256 of every file, as the steps read it, and the images of each stage.

    `warnings` has those of all steps on the way, one a line.
    """

    files: Mapping[str, str]
    images: Mapping[str, str]
    warnings: str


def run_tags(ds: str, model: Partition, origins: Origins) -> dict[str, str]:
    """What identifies a run and its version, the images that made the model, and the warnings on the way."""
    tags = {
        "ds": ds,
        "dag_id": os.environ.get("ML_DAG_ID") or BY_HAND,
        "dag_run_id": dag_run(),
        "model": model.name,
        "model_sha256": model_hash(model),
        **{f"image.{stage}": images for stage, images in origins.images.items()},
        **({"warnings": origins.warnings} if origins.warnings else {}),
    }
    return {TAG + name: value for name, value in tags.items()}


def columns(by: str) -> dict[str, str]:
    """The tags behind the columns Source and User of MLflow's table of runs."""
    dag, run = os.environ.get("ML_DAG_ID"), os.environ.get("ML_RUN_ID")
    source = f"{dag} {run}" if dag and run else BY_HAND
    return {"mlflow.source.name": source, "mlflow.source.type": "JOB", "mlflow.user": by}


def read_origins(root: Path, model: Partition) -> Origins:
    """What a model was made from, back to the raw data. The marks record it.

    A partition that is gone or was published again ends the walk there, with a warning.
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
    warnings = [f"{step.command or step.name}: {text}" for step in lineage.in_order() for text in step.warnings]
    return Origins(
        dict(sorted(data.items())),
        {stage: ", ".join(sorted(images[stage])) for stage in sorted(images)},
        shorten("\n".join(warnings)),
    )


def describe(settings: Settings, ds: str, model: Partition, warnings: str = "") -> str:
    """The first text that a person reads at a run and at a version: its figures, links to more, the card, the warnings.

    :param warnings: one a line
    """
    measured = figures(read_document(model, METRICS_FILE))
    shown = ", ".join(f"{name} {measured[name]:.4f}" for name in FIGURES if name in measured)
    lines = [f"{shown} at validation." if shown else "No figure was measured at validation."]
    lines.append(f"The model of {ds}, `{model.name}`, made by {_dag_run_link(settings)}.")
    if settings.reports_page:
        lines.append(f"[The report of the day]({settings.reports_page}/{ds}/), once it is evaluated")
    if card := read_card(model):
        lines.append(card)
    text = "\n\n".join(lines)
    listed = _list_warnings(warnings.splitlines(), LONGEST_TEXT - len(text)) if warnings else ""
    return shorten(text, LONGEST_TEXT - len(listed)) + listed


def _list_warnings(warnings: Sequence[str], room: int) -> str:
    """As many warnings as have room, and how many more the tag has; the latter always."""
    for number in range(len(warnings), -1, -1):
        more = [f"- {len(warnings) - number} more in the tag `{TAG}warnings`"] if number < len(warnings) else []
        text = "\n".join(["", "", "Warnings:", "", *(f"- {one}" for one in warnings[:number]), *more])
        if len(text) <= room:
            break
    return text


def read_card(model: Partition) -> str:
    """The model card that `validate` wrote; empty for a model of before there was one."""
    return (model / CARD_FILE).read_text(encoding="utf-8").strip() if CARD_FILE in model.files else ""


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


def log_origins(server: Server, run_id: str, ds: str, origins: Origins, rows: Mapping[str, int]) -> None:
    """Log the data of the day as the run's datasets, with their `rows` by side, and all hashes as lineage.json."""
    datasets = []
    for side, context in (("train", "training"), ("val", "validation")):
        name = f"processed/{ds}/{side}.csv"
        if digest := origins.files.get(name):
            source = json.dumps({"uri": f"/data/{name}"})
            dataset = {"name": name, "digest": digest[:DIGEST], "source_type": "local", "source": source}
            if side in rows:
                dataset["profile"] = json.dumps({"num_rows": rows[side]})
            datasets.append({"dataset": dataset, "tags": as_list({"mlflow.data.context": context})})
    if datasets:
        with explained(server, "logging the datasets"):
            server.rest.post("runs/log-inputs", run_id=run_id, datasets=datasets)
    with tempfile.TemporaryDirectory() as folder:
        content = {"files": dict(origins.files), "images": dict(origins.images)}
        (Path(folder) / LINEAGE_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        upload(server, run_id, Path(folder), "lineage")


def ensure_run(server: Server, ds: str, tags: Mapping[str, str], text: str) -> Any:
    """The run of this day, Dag run and model; a new one unless it exists. `text` is shown first on its page."""
    experiment = _ensure_experiment(server)
    known = " AND ".join(f"tags.`{TAG}{name}` = '{tags[TAG + name]}'" for name in ("ds", "dag_run_id", "model_sha256"))
    with explained(server, "looking for the run"):
        found = server.rest.post(
            "runs/search", experiment_ids=[experiment], filter=known, max_results=1,
            order_by=["attributes.start_time ASC"],
        ).get("runs")  # fmt: skip
        run = found[0] if found else _create_run(server, experiment, ds, tags)
        run_id = run["info"]["run_id"]
        set_already = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
        for key, value in {**tags, "mlflow.note.content": text}.items():
            if set_already.get(key) != value:
                tag_run(server, run_id, key, value)
    log.info("MLflow run %s of experiment %s%s", run_id, server.name, ", begun before" if found else "")
    return run


def _create_run(server: Server, experiment: str, ds: str, tags: Mapping[str, str]) -> Any:
    made = server.rest.post(
        "runs/create", experiment_id=experiment, run_name=ds, start_time=milliseconds_now(), tags=as_list(tags)
    )
    return made["run"]


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as MLflow takes them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def tag_run(server: Server, run_id: str, key: str, value: str) -> None:
    """Set a tag of a run. To be called where refusals are explained."""
    server.rest.post("runs/set-tag", run_id=run_id, key=key, value=value)


def experiment_id(server: Server) -> str | None:
    """The id of the experiment, which the address of a run's page needs; None where there is no experiment yet."""
    with explained(server, "looking for the experiment"):
        found = _find_experiment(server)
        return str(int(found["experiment_id"])) if found else None


def _ensure_experiment(server: Server) -> str:
    """The id of the experiment, which is made where there is none."""
    with explained(server, "looking for the experiment"):
        found = _find_experiment(server) or _create_experiment(server)
        number, active = str(found["experiment_id"]), found["lifecycle_stage"] == "active"
    if not active:
        raise BadInput(
            f"the experiment {server.name} is deleted", expected="an active one",
            do=f"restore it (`mlflow experiments restore --experiment-id {number}`)",
        )  # fmt: skip
    _tag_experiment(server, found)
    return number


def _tag_experiment(server: Server, experiment: Any) -> None:
    """Say what the experiment is for, and what to show of its runs, unless it does."""
    with explained(server, "saying what the experiment is for"):
        known = {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}
        for key, value in TAGS_OF_EXPERIMENT.items():
            if known.get(key) != value:
                server.rest.post(
                    "experiments/set-experiment-tag", experiment_id=experiment["experiment_id"], key=key, value=value
                )


def _find_experiment(server: Server) -> Any:
    """The experiment; None where there is none yet."""
    try:
        return server.rest.get("experiments/get-by-name", experiment_name=server.name)["experiment"]
    except Refused as error:
        if error.code != MISSING:
            raise
    return None


def _create_experiment(server: Server) -> Any:
    """The new experiment; or the one that somebody else has made meanwhile."""
    try:
        server.rest.post("experiments/create", name=server.name)
    except Refused as error:
        if error.code != EXISTS:
            raise
    return _find_experiment(server)


def upload(server: Server, run_id: str, folder: Path, to: str) -> None:
    """Upload the files of a folder as artifacts of a run."""
    files = sorted(path.name for path in folder.iterdir())
    with explained(server, f"uploading {to}/"):
        place = artifact_folder(server.rest.run(run_id))
        for file in files:
            server.rest.upload(folder / file, f"{place}/{to}/{file}")
    log.info("uploaded %d files to %s/: %s", len(files), to, ", ".join(files))


def log_params(server: Server, run_id: str, values: Mapping[str, Any]) -> None:
    """Log parameters; one that a run has already stays, because MLflow allows no change."""
    with explained(server, "logging the parameters"):
        known = {param["key"] for param in server.rest.run(run_id)["data"].get("params", [])}
        missing = {key: shorten(value) for key, value in values.items() if key not in known}
        for some in batched(as_list(missing), MOST_PARAMS):
            server.rest.post("runs/log-batch", run_id=run_id, params=some)


def shorten(value: Any, longest: int = LONGEST_VALUE) -> str:
    """A value as text, cut to what MLflow keeps."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 10]} [...cut]"


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """The figures among the values of a JSON object: no truth values, nothing nested, nothing infinite."""
    return {
        key: float(value)
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    }


def log_points(server: Server, run_id: str, points: Sequence[Point]) -> int:
    """Log metrics; a point that the run has with this value is not logged again. Returns how many were new.

    MLflow keeps every point that it ever got. Where the value of a step has changed, the new point gets a time after
    the old one's: MLflow shows the latest point as the step's value.
    """
    with explained(server, "reading the metrics"):
        newest = [_point(metric) for metric in server.rest.run(run_id)["data"].get("metrics", [])]
        known = {(point.key, point.step): point for point in newest}
        # A run shows the last step of each metric; only for another step its history is read.
        shown = {point.key for point in newest}
        for key in dict.fromkeys(point.key for point in points if (point.key, point.step) not in known):
            history = _history(server, run_id, key) if key in shown else []
            known.update({(point.key, point.step): point for point in history})
    new = [logged for point in points if (logged := _unless_known(point, known.get((point.key, point.step))))]
    with explained(server, "logging the metrics"):
        for some in batched(new, MOST_METRICS):
            server.rest.post("runs/log-batch", run_id=run_id, metrics=[asdict(point) for point in some])
    return len(new)


def _point(metric: Mapping[str, Any]) -> Point:
    # A figure of 0 and a step of 0 may be left out of an answer.
    return Point(metric["key"], float(metric.get("value", 0)), int(metric.get("step", 0)), int(metric["timestamp"]))


def _history(server: Server, run_id: str, key: str) -> list[Point]:
    """Every point of a metric in the run, the latest last."""
    found = server.rest.pages("metrics/get-history", "metrics", run_id=run_id, metric_key=key)
    return sorted(map(_point, found), key=lambda point: point.timestamp)


def _unless_known(point: Point, latest: Point | None) -> Point | None:
    """The point to log, after the latest one at its step; None where that has the same value."""
    if latest is None:
        return point
    if latest.value == point.value:
        return None
    return Point(point.key, point.value, point.step, max(point.timestamp, latest.timestamp + 1))


def milliseconds(moment: str) -> int:
    """A mark's time as MLflow counts it."""
    return int(datetime.fromisoformat(moment).astimezone(UTC).timestamp() * 1000)


def milliseconds_now() -> int:
    """The present time as MLflow counts it."""
    return int(datetime.now(UTC).timestamp() * 1000)
