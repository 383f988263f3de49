"""Draws a validated model: five SVG files that stand alone, for MLflow's page and for any browser."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import Partition, Publication, read_partition

import documents
from documents import METRICS, MODEL_CURVES, PARAMS, read_json, read_rows

FILES = ("curves.json", "metrics.json", "params.json", "feature_importance.csv")
IMPORTANCE_COLUMNS = ("feature", "gain", "split")
TEMPLATES = Path(__file__).parent / "templates"
SIZE, MARGIN = (720.0, 480.0), 16
SIZES = re.compile(r'width="([0-9.]+)" height="([0-9.]+)"')

log = logging.getLogger("report")


def plot_model(root: Path, ds: str) -> Mapping[str, Any]:
    """Read models/{ds}, publish plots/{ds}; returns what the result line says."""
    model = read_partition(root, f"models/{ds}", FILES)
    curves = read_json(model / "curves.json", f"{model.name}/curves.json", MODEL_CURVES)
    check_curves(f"{model.name}/curves.json", curves["curves"])
    metrics = read_json(model / "metrics.json", f"{model.name}/metrics.json", METRICS)
    params = read_json(model / "params.json", f"{model.name}/params.json", PARAMS)
    importances = read_importances(model)
    with Publication(root, f"plots/{ds}", "plot", inputs=[model]) as publication:
        plots = draw(ds, curves["curves"], metrics, params, importances)
        for name, svg in plots.items():
            publication.path(name).write_text(svg, encoding="utf-8", newline="\n")
    log.info("drew %s", ", ".join(plots))
    return {"partition": publication.name, "plots": list(plots)}


def check_curves(name: str, curves: list[Mapping[str, Any]]) -> None:
    """Errors: BadInput where the two halves of a curve's points are not equally many."""
    for one in curves:
        roc, ranked = one["roc"], one["precision_recall"]
        documents.require_same_length(name, f"roc of class {one['class'][:60]!r}", roc["fpr"], roc["tpr"])
        documents.require_same_length(
            name, f"precision_recall of class {one['class'][:60]!r}", ranked["recall"], ranked["precision"]
        )


def read_importances(model: Partition) -> list[tuple[str, float, float]]:
    """Feature, gain and splits, the greatest gain first. Errors: BadInput where a gain is no number."""
    name = f"{model.name}/feature_importance.csv"
    rows = read_rows(model / "feature_importance.csv", name, IMPORTANCE_COLUMNS)
    told = []
    for row in rows:
        gain, split = documents.to_numbers(name, row["gain"], row["split"])
        told.append((row["feature"], gain, split))
    return sorted(told, key=lambda one: (-one[1], one[0]))


def draw(
    ds: str,
    curves: list[Mapping[str, Any]],
    metrics: Mapping[str, Any],
    params: Mapping[str, Any],
    importances: list[tuple[str, float, float]],
) -> dict[str, str]:
    """The text of each plot, by file name."""
    # markupsafe is only imported where there is something to draw.
    import charts
    from svg import number

    several = len(metrics["classes"]) > 2
    mean = ", mean of the classes one against the rest" if several else ""
    auc, precision = number(metrics.get("roc_auc")), number(metrics.get("average_precision"))
    pictures = {
        "roc.svg": charts.roc(f"ROC, AUC {auc}{mean}", [("", curves)], SIZE),
        "precision_recall.svg": charts.precision_recall(
            f"Precision and recall, AP {precision}{mean}", [("", curves)], positives(metrics), SIZE
        ),
        "calibration.svg": charts.calibration(
            f"Calibration, Brier score {number(metrics.get('brier_score'))}",
            [("", metrics.get("calibration") or [])],
            SIZE,
        ),
        "importances.svg": charts.importances(importances, f"Importance: share of the total gain, models/{ds}"),
        "training_curve.svg": charts.training(params.get("curve") or {}, params.get("best_iteration"), (720.0, 300.0)),
    }
    style = (TEMPLATES / "chart.css").read_text(encoding="utf-8")
    return {name: stand_alone(str(svg), style) for name, svg in pictures.items()}


def positives(metrics: Mapping[str, Any]) -> float | None:
    """The share of rows of the second of two classes: what precision is by chance."""
    counts = metrics.get("class_rows") or {}
    if len(metrics["classes"]) != 2 or not sum(counts.values()):
        return None
    return float(counts.get(metrics["classes"][1], 0) / sum(counts.values()))


def stand_alone(svg: str, style: str) -> str:
    """A chart as a file of its own: with its name space, its style and its own paper, on white and on dark."""
    width, height = map(float, SIZES.findall(svg)[0])
    wide, high = width + 2 * MARGIN, height + 2 * MARGIN
    outer = f'xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} {-MARGIN} {wide:g} {high:g}" width="{wide:g}"'
    paper = f'<rect class="paper" x="{-MARGIN}" y="{-MARGIN}" width="{wide:g}" height="{high:g}"/>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<svg {outer} height="{high:g}" class="chart">'
        f"<style>\n{style}</style>{paper}{svg}</svg>\n"
    )
