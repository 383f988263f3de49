"""Shows the versions of the model, the newest first: how good each was, who put it into production, when and why.

Exit codes: 0 shown; 1 MLflow does not run; 2 wrong usage; 3 an event that is forged, or not signed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ml import stack
from airflow_ml.by_hand import Result, bind, run_stage
from airflow_ml.common import AirflowMlError, project, settings, try_docker
from airflow_ml.data import load_data
from airflow_ml.text_table import aligned, time_text

METRICS = ("roc_auc", "average_precision", "log_loss", "brier_score")
HEADER = ("version", "alias", "day", *METRICS, "decision", "in production since", "by", "why")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--events", action="store_true", help="show every promotion and rollback, the oldest first")
    parser.add_argument("--sign", action="store_true", help="sign what is in MLflow with ML_REGISTRY_KEY, then show it")


def run(arguments: argparse.Namespace) -> int:
    """Print the versions, or the events."""
    if arguments.sign:
        signed = ask_registry("sign")
        print(f"Signed {signed['events']} events and {signed['versions']} versions", file=sys.stderr)
    listed = list_versions()
    shown = events_of(listed) if arguments.events else versions_of(listed)
    print(
        "\n".join(shown) if shown else f"{listed['name']} has no {'promotions' if arguments.events else 'versions'} yet"
    )
    return 0


def list_versions() -> Result:
    """What `registry list` finds: `name`, `champion`, `versions`, `events`.

    Errors: AirflowMlError if MLflow cannot be asked.
    """
    return ask_registry("list")


def ask_registry(*command: str) -> Result:
    """The result of a command of the stage registry. Errors: AirflowMlError, as above."""
    network = f"{project()}_mlflow"
    if try_docker("network", "inspect", network).returncode:
        raise AirflowMlError(f"MLflow does not run: there is no network {network}", do="make up")
    if not any(service.name == "mlflow" and service.is_well for service in stack.services()):
        # The stage would advise on how to call it by hand.
        raise AirflowMlError("MLflow does not answer", do="make up; ./airflow-ml logs mlflow shows why it stopped")
    environment = ("--env=ML_MLFLOW_URI=http://mlflow:5000", f"--env=ML_MODEL_NAME={settings()['ML_MODEL_NAME']}")
    password, key = settings().get("ML_REGISTRY_PASSWORD"), settings().get("ML_REGISTRY_KEY")
    if not (password and key):
        raise AirflowMlError(
            ".env lacks ML_REGISTRY_PASSWORD or ML_REGISTRY_KEY, with which the stage registry logs in and signs",
            do="make up",
        )
    with tempfile.TemporaryDirectory() as folder:  # for its owner alone; the stage's user sees the file, not the folder
        file = Path(folder) / "mlflow.json"
        file.write_text(json.dumps({"login": "registry", "password": password, "key": key}))
        file.chmod(0o644)
        mount = bind(file, f"/run/connections/{file.name}") + ",readonly"
        return run_stage(load_data(), "registry", command, mount, *environment, network=network)


def versions_of(listed: Mapping[str, Any]) -> list[str]:
    """A line for each version, below a header; none if there are no versions."""
    rows = [row_of(version) for version in listed["versions"]]
    return aligned([HEADER, *rows]) if rows else []


def row_of(version: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a version; what is not known is shown as such."""
    metrics = [f"{version['metrics'][name]:.4f}" if name in version["metrics"] else "-" for name in METRICS]
    promoted = version["promoted"] or {}
    aliases, decision = ", ".join(version["aliases"]) or "-", version["decision"] or "-"
    event = (str(promoted.get(name) or "-") for name in ("by", "reason"))
    since = time_text(promoted.get("at") or "-")
    return str(version["version"]), aliases, version["ds"] or "-", *metrics, decision, since, *event


def events_of(listed: Mapping[str, Any]) -> list[str]:
    """A line for each promotion and rollback, below a header; none if there are none."""
    names = ("at", "kind", "version", "by", "reason")
    rows = [(time_text(event["at"]), *(str(event[name]) for name in names[1:])) for event in listed["events"]]
    return aligned([names, *rows]) if rows else []
