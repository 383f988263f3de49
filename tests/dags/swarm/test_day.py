"""A day through the real scheduler, spread over a swarm of three: generate, train, predict and monitor.

The stack runs on the manager as docs/scale.md says; the stages run on the other nodes. One of these is killed in the
middle of training. The day is scored and evaluated in shards. Then it is made again on one machine, with `docker run`,
and the bytes are compared.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.airflow_api import Airflow

from tests.dags.swarm.lab import Lab, Node, wait_until
from tests.dags.swarm.stack_on_node import ROWS, STAGES, TREES, stack_on
from tests.harness import PATIENCE_S, ROOT, images

DS = "2026-11-21"
# As many as tasks run at once, so that they meet, and Swarm spreads them.
SHARDS = 4
# A busy machine answers late: a node that is alive must not count as lost.
LOST_S = 20
# Each stage reads what another node has written; training and prediction have two nodes to run on.
NODES = ("generator:node.hostname==node2 preprocessing:node.hostname==node3 report:node.hostname==node3 "
         "training:node.hostname!=node1 prediction:node.hostname!=node1")  # fmt: skip
TASKS_OF_NODES = {
    "node1": {"register", "decide", "resolve"},
    "node2": {"generate"},
    "node3": {"prepare", "split", "features_shards", "features", "label_shards", "label", "page"},
}
# Its node is killed, so its next try runs on the other one.
TASK_OF_BOTH = "train"
TASKS_OF_EITHER = {"validate", "predict_shards", "predict", "evaluate_shards", "evaluate"}
MADE = {"raw", "processed", "models", "features", "predictions", "shards", "labels", "reports"}


@dataclass
class SwarmDay:
    """Airflow on the manager."""

    lab: Lab
    airflow: Airflow

    def start(self, dag: str, **conf: Any) -> tuple[str, str]:
        """Ask for a run; returns its Dag and its id."""
        return dag, self.airflow.trigger(dag, {"ds": DS, **conf})

    def end(self, dag: str, run: str) -> None:
        """Wait for the end of a run and expect success."""
        state = self.airflow.wait(dag, run, PATIENCE_S)
        failed = [task for task in self.airflow.tasks(dag, run) if task["state"] == "failed"]
        assert state == "success", [self.airflow.log_of(dag, run, task)[-3000:] for task in failed]

    def node_of(self, task: str) -> Node | None:
        """The node on which a task's container runs now."""
        manager = self.lab.manager
        for service in manager.docker("service", "ls", "--quiet", f"--filter=label=airflow-ml.task={task}").split():
            where = manager.docker("service", "ps", "--format", "{{.Node}} {{.CurrentState}}", service, check=False)
            if found := re.match(r"node(\d) Running", where):
                return self.lab.nodes[int(found[1]) - 1]
        return None

    def listen(self, node: Node) -> None:
        """Note each container that starts on a node, until its engine ends, which itself keeps only 256 events."""
        form = '{{index .Actor.Attributes "airflow-ml.task"}}'
        command = ["docker", "--host", node.host, "events", "--filter=type=container", "--filter=event=start"]
        with self._started(node).open("a") as file:
            subprocess.Popen([*command, "--format", form], stdin=subprocess.DEVNULL, stdout=file)

    def ran(self, node: Node) -> set[str]:
        """The tasks whose containers started on a node."""
        return set(self._started(node).read_text().splitlines()) - {"<no value>"}

    def _started(self, node: Node) -> Path:
        return self.lab.folder / f"{node.name}.started"


@pytest.fixture(scope="module")
def swarm_day(lab: Lab) -> Iterator[SwarmDay]:
    """The stack on the swarm, with Dags that can run."""
    lab.images |= {stage: {"image": image, "id": "is not run"} for stage, image in images().items()}
    lab.push({stage: images()[stage] for stage in (*STAGES, "base")})
    assert lab.check_nodes() == []
    settings = {
        "COMPOSE_FILE": ":".join(
            ["docker-compose.yml", "docker-compose.swarm.yml", "tests/dags/swarm/day.compose.yml"]
        ),
        "ML_TEST_LOCK_FOLDER": str(lab.lock.parent),
        "ML_ENGINE": "swarm",
        "ML_DATA": str(lab.data),
        "ML_DATA_MOUNT": str(lab.data),
        "ML_STAGE_MEMORY": "1g",
        "ML_STAGE_CONSTRAINTS": NODES,
        "ML_NODE_LOST_SECONDS": str(LOST_S),
        "ML_PARALLELISM": "4",
    }
    with stack_on(lab.manager, settings) as airflow:
        yield SwarmDay(lab, airflow)


@pytest.fixture(scope="module")
def tries(swarm_day: SwarmDay) -> dict[str, int]:
    """The tries of each task of the day, whose training lost its node."""
    for node in swarm_day.lab.nodes:
        swarm_day.listen(node)
    runs = [swarm_day.start("generate_data", rows=ROWS)]
    swarm_day.end(*runs[-1])
    runs.append(swarm_day.start("train_model", lightgbm=TREES))
    wait_until(lambda: swarm_day.node_of("train"), "the training runs")
    lost = swarm_day.node_of("train")
    assert lost is not None
    time.sleep(3)
    lost.kill()
    wait_until(lambda: (found := swarm_day.node_of("train")) and found.name != lost.name, "the training runs elsewhere")
    lost.start()
    lost.await_start()
    swarm_day.listen(lost)
    swarm_day.end(*runs[-1])
    for dag in ("predict", "monitor"):
        runs.append(swarm_day.start(dag, shards=SHARDS))
        swarm_day.end(*runs[-1])
    return {task["task_id"]: task["try_number"] for run in runs for task in swarm_day.airflow.tasks(*run)
            if task["state"] == "success"}  # fmt: skip


def test_day_completes_although_the_node_of_its_training_dies(tries: dict[str, int]) -> None:
    """Other tasks may have had another try too: a busy machine answers late."""
    assert tries["train"] > 1


def test_stages_run_where_the_setting_says(swarm_day: SwarmDay, tries: dict[str, int]) -> None:
    assert tries.keys() >= {TASK_OF_BOTH}.union(TASKS_OF_EITHER, *TASKS_OF_NODES.values())
    ran = {node.name: swarm_day.ran(node) for node in swarm_day.lab.nodes}
    for node, tasks in ran.items():
        assert tasks >= TASKS_OF_NODES[node], node
        assert not tasks & set().union(*(others for name, others in TASKS_OF_NODES.items() if name != node)), node
    assert [node for node, tasks in ran.items() if TASK_OF_BOTH in tasks] == ["node2", "node3"]
    assert not TASKS_OF_EITHER & ran["node1"]


def test_nothing_is_left_on_the_swarm(swarm_day: SwarmDay, tries: dict[str, int]) -> None:
    manager = swarm_day.lab.manager
    wait_until(lambda: not manager.docker("service", "ls", "--quiet"), "no service is left")


def test_day_has_the_bytes_of_one_machine(swarm_day: SwarmDay, tries: dict[str, int]) -> None:
    """`airflow-ml rerun` makes it again from the seed on, with `docker run` on the manager alone."""
    command = [ROOT / "airflow-ml", "rerun", f"reports/{DS}/breaches.json", "--depth=all", "--format=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    files = {path: file for step in json.loads(done.stdout)["steps"] for path, file in step["files"].items()}
    assert {path.partition("/")[0] for path in files} == MADE
    kinds, numbers = ("features", "predictions", "labels", "reports"), range(1, SHARDS + 1)
    shards = {f"shards/{DS}-{kind}-{number}of{SHARDS}" for kind in kinds for number in numbers}
    assert {path.rpartition("/")[0] for path in files if path.startswith("shards/")} == shards
    assert all(file["same"] for file in files.values())
