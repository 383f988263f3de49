"""Runs Python with all of MLflow and LightGBM, as somebody has them who loads our models elsewhere.

Installs them into .cache/mlflow-client first. Without arguments that is all that it does.
Exit codes: those of Python; 1 it cannot start, the message says why; 2 wrong usage.
"""

import argparse
import os

from airflow_ml.builder import PYTHON, become, builder_image, confined, ensure_packages
from airflow_ml.common import ROOT, settings
from airflow_ml.stack import PEOPLE


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("network", nargs="?", metavar="NETWORK", help="the engine's network that Python is on")
    parser.add_argument("python", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="the arguments of Python")


def run(arguments: argparse.Namespace) -> int:
    """Install, and run Python if a network is named."""
    image = builder_image()
    packages = ensure_packages(image, ROOT / "tests" / "mlflow_client" / "requirements.txt", "mlflow-client")
    if arguments.network is None:
        return 0
    # By its name alone, so that no list of processes shows its value.
    os.environ["MLFLOW_TRACKING_PASSWORD"] = settings().get("ML_PAGES_PASSWORD", "")
    variables = ["PYTHONPATH=/opt/client", "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_TRACKING_URI=http://mlflow:5000"]
    variables += [f"MLFLOW_TRACKING_USERNAME={PEOPLE}", "MLFLOW_TRACKING_PASSWORD"]
    options = [*confined(), "--interactive", *(f"--env={variable}" for variable in variables), "--workdir=/tmp"]
    options += [f"--volume={packages}:/opt/client:ro", f"--network={arguments.network}", f"--entrypoint={PYTHON}"]
    return become("docker", "run", *options, image, *arguments.python)
