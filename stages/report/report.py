"""Draws a validated model, and tells a day of predictions as one page.

Commands:
  model  draws models/{ds}: ROC, precision and recall, calibration, importances, training
  day    writes the page of a scored and evaluated day

Reads  models/{ds}: curves.json, metrics.json, params.json, feature_importance.csv (model)
       reports/{ds}: evaluation.json; features/{ds}: rejected.csv; comparisons/: the newest comparison.json up to the
       day; the model that scored; the marks of everything that these were made from (day)
Writes plots/{ds}: roc.svg, precision_recall.svg, calibration.svg, importances.svg, training_curve.svg (model)
       reports/{ds}: index.html (day)
Exit codes: 0 done; 1 failed, such as a full disk; 2 wrong usage; 3 bad input: a torn partition, a file that is not of
the agreed form; 4 a partition is not there yet.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from stagekit import Command, run_stage


def model(args: Namespace) -> Mapping[str, Any]:
    """Run model_plots.plot_model."""
    import model_plots

    return model_plots.plot_model(args.data_dir, args.ds)


def day(args: Namespace) -> Mapping[str, Any]:
    """Run day.write_page."""
    from day import write_page
    from settings import read_settings

    settings = read_settings(args.images_json, args.airflow_page, args.mlflow_page, args.model_name)
    return write_page(args.data_dir, args.ds, settings)


def add_page_options(parser: ArgumentParser) -> None:
    """Add what the page tells that no partition knows."""
    add = parser.add_argument
    add("--images-json", default="", metavar="JSON", help='sizes of images in MB, such as {"training": 183}')
    add("--airflow-page", default="", metavar="URL", help="where people see Airflow, such as http://localhost:8080")
    add("--mlflow-page", default="", metavar="URL", help="where people see MLflow, such as http://localhost:5000")
    add("--model-name", default="airflow-ml", metavar="NAME", help="the registered model (default: %(default)s)")


COMMANDS = (
    Command("model", "draw a validated model as SVG files", model),
    Command("day", "write the page of a scored and evaluated day", day, add_page_options),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return run_stage("report", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
