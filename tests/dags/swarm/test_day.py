"""A day goes through generate, train and predict on several nodes, with the same bytes as on one machine."""

import json
import os
from pathlib import Path

import pytest

from tests.dags.conftest import DAGS
from tests.dags.engine.test_pipeline import run_all
from tests.dags.runs import Airflow, day
from tests.dags.swarm.lab import Lab
from tests.harness import images

pytestmark = pytest.mark.usefixtures("_environment")
DS = "2026-11-16"
# Each stage reads what another node has written.
NODES = {"generator": "=node2", "preprocessing": "=node3", "training": "!node1", "prediction": "=node3"}
# Each rank of the training is on a node of its own, as Swarm spreads them.
RANKS = 2
PARTITIONS = ["raw", "processed", "models", "features", "predictions"]


def run_day(airflow: Airflow) -> None:
    run_all(airflow, airflow.manual("generate_data", day(DS, 23), {"ds": DS, "rows": 2000}), ["generate"])
    training = airflow.manual(
        "train_model", day("2026-11-20"), {"ds": DS, "lightgbm": {"num_leaves": 7}, "ranks": RANKS}
    )
    run_all(airflow, training, ["prepare", "split", "train", "validate"])
    scoring = airflow.manual("predict", day("2026-11-21"), {"ds": DS})
    # Without MLflow no champion is known; tests/end_to_end has one.
    airflow.set_result(scoring, "resolve", {"model": f"models/{DS}", "version": None, "source": "variable"})
    run_all(airflow, scoring, ["features", "predict"])


def outputs(data: Path) -> dict[str, str]:
    """The sha256 of each file that was published, as the marks name them."""
    marks = {name: json.loads((data / name / DS / "_meta.json").read_text())["outputs"] for name in PARTITIONS}
    return {f"{name}/{file}": facts["sha256"] for name, mark in marks.items() for file, facts in mark.items()}


def test_day_over_the_nodes_has_the_bytes_of_one_machine(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = images().keys() - lab.images.keys()
    lab.images |= {stage: {"image": images()[stage], "id": "is not run"} for stage in others}
    lab.push({stage: images()[stage] for stage in NODES})
    monkeypatch.setenv("ML_STAGE_MEMORY", "1g")
    where = " ".join(f"{stage}:node.hostname{node[0]}={node[1:]}" for stage, node in NODES.items())
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", where)
    airflow = Airflow(DAGS)
    run_day(airflow)
    on_swarm = outputs(lab.manager.root / lab.data.relative_to("/"))

    tmp_path.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    monkeypatch.setenv("ML_ENGINE", "docker")
    monkeypatch.setenv("ML_DATA", str(data))
    monkeypatch.setenv("ML_DOCKER_HOST", os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    run_day(airflow)
    assert len(on_swarm) >= len(PARTITIONS)
    assert on_swarm == outputs(data)
