"""The machine loses its power, or its engine is restarted, while a day runs: the day completes without a hand.

The stack runs on an engine of its own, on one of the hosts of the tests' swarm, as on any single machine.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from airflow_ml.airflow_api import FINAL_STATES, Airflow
from airflow_ml.common import AirflowMlError

from tests.dags.swarm.lab import Node, swarm_of_three, wait_until
from tests.dags.swarm.stack_on_node import ROWS, STAGES, TREES, load, stack_on
from tests.harness import PATIENCE_S, ROOT, images

FORM: Mapping[str, Mapping[str, Any]] = {"generate_data": {"rows": ROWS}, "train_model": {"lightgbm": TREES}}


@dataclass
class Machine:
    """The host, and Airflow on it."""

    node: Node
    airflow: Airflow

    def publish(self, ds: str, strike: Callable[[], None]) -> list[str]:
        """Ask for a day, strike in the middle of its training; returns the states of its runs at the end."""
        runs = []
        for dag in ("generate_data", "train_model", "predict", "monitor"):
            runs.append((dag, self.airflow.trigger(dag, {"ds": ds, **FORM.get(dag, {})})))
        wait_until(lambda: self.node.docker("ps", "--quiet", "--filter=label=airflow-ml.task=train"), "training runs")
        time.sleep(3)
        strike()
        end = time.monotonic() + 2 * PATIENCE_S
        while True:
            try:
                states = [self.airflow.run_state(*run) for run in runs]
            except AirflowMlError:  # it starts
                states = ["not known"]
            if set(states) <= FINAL_STATES or time.monotonic() > end:
                return states
            time.sleep(1)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The stack on an engine of its own."""
    with swarm_of_three() as lab:
        load(lab.manager, *(images()[stage] for stage in (*STAGES, "base")))
        settings = {
            "COMPOSE_FILE": "docker-compose.yml",
            "ML_ENGINE": "docker",
            "ML_DATA": f"{lab.name}-data",
        }
        with stack_on(lab.manager, settings) as airflow:
            yield Machine(lab.manager, airflow)


def lose_power(node: Node) -> None:
    """All processes of the host end immediately; then it starts again."""
    node.kill()
    node.start()
    node.await_start()


def restart_engine(node: Node) -> None:
    """As an upgrade of the engine does."""
    node.restart()


@pytest.mark.parametrize(("ds", "strike"), [("2026-11-14", lose_power), ("2026-11-15", restart_engine)])
def test_day_completes_by_itself(machine: Machine, ds: str, strike: Callable[[Node], None]) -> None:
    assert machine.publish(ds, lambda: strike(machine.node)) == ["success"] * 4
    checked = subprocess.run(
        [ROOT / "airflow-ml", "lineage", f"reports/{ds}/breaches.json", "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    left = machine.node.docker("ps", "--all", "--quiet", "--filter=label=airflow-ml.run")
    assert left == "", left
