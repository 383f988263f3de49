"""Ranks of one training on nodes of their own make the model that they make on one machine."""

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
# Swarm spreads the ranks: each is on a node of its own.
RANKS = 2
STAGES = ("generator", "preprocessing", "training")


def train(airflow: Airflow, data: Path) -> dict[str, str]:
    """Make a day and train on it; returns the sha256 of each file of the model."""
    run_all(airflow, airflow.manual("generate_data", day(DS, 23), {"ds": DS, "rows": 2000}), ["generate"])
    form = {"ds": DS, "lightgbm": {"num_leaves": 7}, "ranks": RANKS}
    run_all(airflow, airflow.manual("train_model", day("2026-11-20"), form), ["prepare", "split", "train"])
    mark = json.loads((data / "models" / DS / "_meta.json").read_text())
    return {file: facts["sha256"] for file, facts in mark["outputs"].items()}


def test_ranks_on_several_nodes_make_the_bytes_of_one_machine(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = images().keys() - lab.images.keys()
    lab.images |= {stage: {"image": images()[stage], "id": "is not run"} for stage in others}
    lab.push({stage: images()[stage] for stage in STAGES})
    monkeypatch.setenv("ML_STAGE_MEMORY", "1g")
    airflow = Airflow(DAGS)
    on_swarm = train(airflow, lab.manager.root / lab.data.relative_to("/"))

    tmp_path.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    monkeypatch.setenv("ML_ENGINE", "docker")
    monkeypatch.setenv("ML_DATA", str(data))
    monkeypatch.setenv("ML_DOCKER_HOST", os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    assert "model.txt" in on_swarm
    assert on_swarm == train(airflow, data)
