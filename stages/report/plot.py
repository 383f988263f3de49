"""The command `plot`: draws a validated model as SVG files that stand alone, for MLflow's page and for any browser."""

import logging
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import Partition, Publication, publish, read_partition
from stagekit.contract import read_document

from tables import IMPORTANCE_FILE, read_importances

FILES = ("curves.json", "metrics.json", "params.json", IMPORTANCE_FILE)
STYLE = Path(__file__).parent / "templates" / "chart.css"
SIZE, MARGIN = (720.0, 480.0), 16
SIZES = re.compile(r'width="([0-9.]+)" height="([0-9.]+)"')

log = logging.getLogger("report")


def plot(args: Namespace) -> Mapping[str, Any]:
    """Read models/{ds}, publish plots/{ds}. Returns the name of the partition and of each plot."""
    model = read_partition(args.data_dir, f"models/{args.ds}", FILES)

    def work(publication: Publication) -> Mapping[str, Any]:
        plots = draw(model)
        for name, svg in plots.items():
            publication.path(name).write_text(svg, encoding="utf-8", newline="\n")
        log.info("drew %s", ", ".join(plots))
        return {"plots": list(plots)}

    return publish(args, f"plots/{args.ds}", "plot", work, inputs=[model])


def draw(model: Partition) -> dict[str, str]:
    """The text of each plot, by file name. Errors: BadInput if a file of the model has not the agreed form."""
    # Imported here: markupsafe is needed only if there is something to draw.
    import charts
    from svg import number

    curves = read_document(model, "curves.json")["curves"]
    metrics = read_document(model, "metrics.json")
    params = read_document(model, "params.json")
    mean = ", mean of the classes one against the rest" if len(metrics["classes"]) > 2 else ""
    auc, precision = number(metrics.get("roc_auc")), number(metrics.get("average_precision"))
    brier, calibrated = number(metrics.get("brier_score")), metrics.get("calibrated") or {}
    bins = [("as scored" if calibrated else "", metrics.get("calibration") or [])]
    if calibrated:
        brier += f", {number(calibrated['brier_score'])} if calibrated"
        bins.append(("calibrated by rows that are not among these", calibrated["calibration"]))
    level = charts.share_of_positives(metrics)
    title = f"Precision and recall, AP {precision}{mean}"
    pictures = {
        "roc.svg": charts.roc(f"ROC, AUC {auc}{mean}", [("", curves)], SIZE),
        "precision_recall.svg": charts.precision_recall(title, [("", curves)], level, SIZE),
        "calibration.svg": charts.calibration(f"Calibration, Brier score {brier}", bins, SIZE),
        "importances.svg": charts.importances(
            read_importances(model), f"Importance: share of the total gain, {model.name}"
        ),
        "training_curve.svg": charts.training(params.get("curve") or {}, params.get("best_iteration"), (720.0, 300.0)),
    }
    style = STYLE.read_text(encoding="utf-8")
    return {name: stand_alone(str(svg), style) for name, svg in pictures.items()}


def stand_alone(svg: str, style: str) -> str:
    """A chart as a file of its own, with its name space, its style and a background."""
    width, height = map(float, SIZES.findall(svg)[0])
    wide, high = width + 2 * MARGIN, height + 2 * MARGIN
    outer = f'xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} {-MARGIN} {wide:g} {high:g}" width="{wide:g}"'
    paper = f'<rect class="paper" x="{-MARGIN}" y="{-MARGIN}" width="{wide:g}" height="{high:g}"/>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<svg {outer} height="{high:g}" class="chart">'
        f"<style>\n{style}</style>{paper}{svg}</svg>\n"
    )
