"""Draws a validated model, and writes the page of a scored day, and that of a backtest.

Reads   plot           models/{ds}: curves.json, metrics.json, params.json, feature_importance.csv
        page           reports/{ds}: evaluation.json; predictions/{ds}; features/{ds}: rejected.csv; the model that
                       scored; the newest comparison.json up to the day; if they exist, explanations/{ds} and
                       evaluation.json of the day before; the marks of all files behind these
        backtest-page  backtests/{ds}: backtest.json
Writes  plot           plots/{ds}: roc.svg, precision_recall.svg, calibration.svg, importances.svg, training_curve.svg
        page           reports/{ds}: index.html
        backtest-page  reports/{ds}: backtest.html
Exit codes: 0 done; 1 failed, such as a full disk; 2 wrong usage; 3 bad input, such as a torn partition or a damaged
document; 4 a partition is not there yet.
"""

import sys
from collections.abc import Sequence

from stagekit import Command, option, run_stage

IMAGES = option("--images-json", default="", metavar="JSON", help='sizes of images in MB, such as {"training": 183}')
AIRFLOW = option(
    "--airflow-page", default="", metavar="URL", help="the address of Airflow, such as http://localhost:8080"
)
MLFLOW = option("--mlflow-page", default="", metavar="URL", help="the address of MLflow, such as http://localhost:5000")
MODEL_NAME = option(
    "--model-name", default="airflow-ml", metavar="NAME", help="the registered model (default: %(default)s)"
)
COMMANDS = (
    Command("plot", "draw a validated model as SVG files", run="plot:plot"),
    Command(
        "page",
        "write the page of a scored and evaluated day",
        run="page:page",
        options=(IMAGES, AIRFLOW, MLFLOW, MODEL_NAME),
    ),
    Command("backtest-page", "write the page of a backtest", run="backtest_page:backtest_page"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return run_stage("report", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
