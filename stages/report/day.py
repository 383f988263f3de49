"""Reads what a scored and evaluated day left behind, and publishes its page."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import NotReady, Partition, Publication, read_partition

import marks
from documents import COMPARISON, EVALUATION, MODEL_CURVES, read_json, read_rows, require_same_length
from marks import History
from model_plots import check_curves, read_importances
from settings import Settings

EXAMPLES_FROM = 2000

log = logging.getLogger("report")


@dataclass(frozen=True)
class Day:
    """All that the page of a day is made from. What the data folder does not have is None or empty."""

    ds: str
    evaluation: Mapping[str, Any]
    model: str
    version: str
    trained_on: str
    since: tuple[str, int]
    rejected: list[dict[str, str]] | None
    importances: list[tuple[str, float, float]] | None
    trained_curves: list[Mapping[str, Any]] | None
    comparison: Mapping[str, Any] | None
    history: History


def write_page(root: Path, ds: str, settings: Settings) -> Mapping[str, Any]:
    """Read the day, publish reports/{ds}/index.html; returns what the result line says."""
    read, day = read_day(root, ds)
    parameters = {"history": day.history.digest, "since": day.since[0], "days": day.since[1]}
    with Publication(root, f"reports/{ds}", "report", inputs=read, parameters=parameters) as publication:
        # jinja2 is only imported where there is a page to make.
        from page import render

        page = render(day, settings)
        publication.path("index.html").write_text(page, encoding="utf-8", newline="\n")
    breaches = [breach["text"] for breach in day.evaluation["breaches"]]
    log.info("wrote %s/index.html, %d bytes, %d breaches", publication.name, len(page.encode()), len(breaches))
    return {"partition": publication.name, "page": "index.html", "bytes": len(page.encode()), "breaches": len(breaches)}


def read_day(root: Path, ds: str) -> tuple[list[Partition], Day]:
    """What was read, and what it says. Errors: NotReady where the day is not scored or not evaluated yet."""
    predictions = read_partition(root, f"predictions/{ds}", ["predictions.csv"])
    report = read_partition(root, f"reports/{ds}", ["evaluation.json"])
    require_evaluation_of(report, predictions)
    evaluation = read_json(report / "evaluation.json", f"{report.name}/evaluation.json", EVALUATION)
    check_evaluation(f"{report.name}/evaluation.json", evaluation)
    model_name, version = marks.scored_by(predictions.meta)
    model = marks.read_what_is_there(root, model_name, ["curves.json", "feature_importance.csv"])
    features = marks.read_what_is_there(root, f"features/{ds}", ["rejected.csv"])
    comparison = marks.newest(root, "comparisons", ds, "comparison.json")
    read = [partition for partition in (predictions, report, model, features, comparison) if partition]
    return read, Day(
        ds=ds,
        evaluation=evaluation,
        model=model_name,
        version=version,
        trained_on=str(model.meta["steps"].get("train", {}).get("started") or "") if model else "",
        since=marks.scored_since(root, ds),
        rejected=read_rejected(features),
        importances=read_importances(model) if model and "feature_importance.csv" in model.files else None,
        trained_curves=read_curves(model),
        comparison=read_comparison(comparison),
        history=marks.follow(root, [path for partition in read for path in partition.hashes]),
    )


def require_evaluation_of(report: Partition, predictions: Partition) -> None:
    """Errors: NotReady where the evaluation is of other predictions than those that are there now."""
    path, sha256 = next(iter(predictions.hashes.items()))
    step = report.meta["steps"].get(report.meta["outputs"]["evaluation.json"]["step"], {})
    was = step.get("inputs", {}).get(path)
    if was not in (None, sha256):
        raise NotReady(
            f"{report.name}/evaluation.json was made from {path} with sha256 {was[:12]}…, it now has {sha256[:12]}…",
            expected="an evaluation of the predictions that are there",
            do=f"run `prediction evaluate` for {predictions.name.rpartition('/')[2]} again",
        )


def check_evaluation(name: str, evaluation: Mapping[str, Any]) -> None:
    """Errors: BadInput where lists of the evaluation that belong together differ in length."""
    drift = evaluation.get("drift")
    for told in [*drift["features"], {"name": "score", **drift["score"]}] if drift else []:
        what = f"drift of {told['name'][:60]!r}"
        require_same_length(name, what, told["labels"], told["expected"], told["actual"])
    check_curves(name, evaluation.get("curves") or [])


def read_rejected(features: Partition | None) -> list[dict[str, str]] | None:
    """The first rejected rows of the day; None where features/{ds} is not there any more."""
    if features is None or not features.files:
        return None
    columns = ("file", "line", "reason", "row")
    return read_rows(features / "rejected.csv", f"{features.name}/rejected.csv", columns, EXAMPLES_FROM)


def read_curves(model: Partition | None) -> list[Mapping[str, Any]] | None:
    """The model's curves on its validation rows; None where it has none."""
    if model is None or "curves.json" not in model.files:
        return None
    name = f"{model.name}/curves.json"
    curves: list[Mapping[str, Any]] = read_json(model / "curves.json", name, MODEL_CURVES)["curves"]
    check_curves(name, curves)
    return curves


def read_comparison(partition: Partition | None) -> Mapping[str, Any] | None:
    """The last comparison of a candidate with the champion; None where there was none."""
    if partition is None:
        return None
    name = f"{partition.name}/comparison.json"
    comparison: Mapping[str, Any] = read_json(partition / "comparison.json", name, COMPARISON)
    for curves in (comparison.get("curves") or {}).values():
        check_curves(name, curves or [])
    return comparison
