"""A stack of its own for a test that changes the settings of a checkout, which is a copy."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_ml.airflow_api import Airflow
from airflow_ml.common import read_env

from tests.harness import PATIENCE_S, docker

PROJECT = "airflow-ml-own"
DATA = f"{PROJECT}-data"
PORTS = {f"ML_{name}_PORT": str(18700 + number) for number, name in enumerate(("AIRFLOW", "MLFLOW", "REPORTS"))}
ENVIRONMENT = {**os.environ, "COMPOSE_PROJECT_NAME": PROJECT, "ML_DATA": DATA, **PORTS}
# What a copy of a checkout leaves out.
LEFT = (".git", ".venv", ".cache", ".env", ".secrets", "backups", "pictures")


@dataclass
class OwnStack:
    """The stack, and the checkout from which it is operated."""

    checkout: Path

    def tool(self, *command: "str | Path", code: int = 0) -> str:
        """What a command prints, with its errors if it is to fail; it must end with the code."""
        done = subprocess.run(
            command, cwd=self.checkout, env=ENVIRONMENT, text=True, capture_output=True, timeout=2 * PATIENCE_S,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    @property
    def settings(self) -> dict[str, str]:
        """What `.env` says."""
        return read_env(self.checkout / ".env")

    @property
    def airflow(self) -> Airflow:
        """A client of the account `admin`."""
        return Airflow(f"http://localhost:{PORTS['ML_AIRFLOW_PORT']}", self.settings["ML_ADMIN_PASSWORD"])

    def end(self, dag: str, run: str) -> None:
        """Wait for the end of a run and expect success."""
        state = self.airflow.wait(dag, run, 2 * PATIENCE_S)
        failed = [task for task in self.airflow.tasks(dag, run) if task["state"] == "failed"]
        assert state == "success", [self.airflow.log_of(dag, run, task)[-3000:] for task in failed]

    def run(self, dag: str, **conf: object) -> None:
        """Run a Dag and expect success."""
        self.end(dag, self.airflow.trigger(dag, conf))


@contextmanager
def own_stack(checkout: Path) -> Iterator[OwnStack]:
    """The stack, started by `up`, for as long as the block runs."""
    made = OwnStack(checkout)
    try:
        made.tool("./airflow-ml", "up")
        yield made
    finally:
        down = ["docker", "compose", "down", "--volumes", "--remove-orphans"]
        subprocess.run(down, cwd=made.checkout, env=ENVIRONMENT, capture_output=True, check=False)
        docker("volume", "rm", "--force", DATA, check=False)
