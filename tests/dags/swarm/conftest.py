"""Tasks on a real swarm: probes that run in the base image on three hosts, with the data on JuiceFS."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ml import operator
from tests.dags.runs import Airflow
from tests.dags.swarm.lab import Lab, swarm_of_three
from tests.harness import image_lock

PROBES = """
from datetime import timedelta

from airflow.sdk import DAG

from ml import RAW, dag_defaults
from ml.operator import StageOperator

with DAG("probes", schedule=None, params={"code": ""}, **dag_defaults()):
    what = {"stage": "probe", "command": ["-c", "{{ params.code }}", ""]}
    StageOperator(task_id="probe", outlets=[RAW], execution_timeout=timedelta(minutes=5), **what)
"""


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    with swarm_of_three() as lab:
        lab.push(["base"])
        yield lab


@pytest.fixture(scope="package")
def probe_lock(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image lock with one stage, `probe`: the base image, whose command is Python's."""
    path = tmp_path_factory.mktemp("lock") / "images.lock.json"
    write_lock(path, lab, {"probe": "base"})
    return path


def write_lock(path: Path, lab: Lab, names: dict[str, str]) -> None:
    """An image lock of stages, each with an entry of this checkout's lock as it is after a push."""
    entries = {stage: {**image_lock()[name], "pushed": lab.pushed[name]} for stage, name in names.items()}
    path.write_text(json.dumps({"version": 1, "images": entries}))


@pytest.fixture
def _environment(lab: Lab, probe_lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine must not decide whether a task is deferred.
    monkeypatch.setattr(operator, "PATIENCE", timedelta(minutes=10))
    monkeypatch.setenv("ML_ENGINE", "swarm")
    monkeypatch.setenv("ML_IMAGE_LOCK", str(probe_lock))
    monkeypatch.setenv("ML_DATA", str(lab.data))
    monkeypatch.setenv("ML_DOCKER_HOST", lab.manager.host)
    monkeypatch.setenv("ML_STAGE_MEMORY", "256m")
    monkeypatch.setenv("ML_NODE_LOST_SECONDS", "3")


@pytest.fixture(scope="package")
def probes(probe_lock: Path, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with the Dag of probes."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "probes.py").write_text(PROBES)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ML_IMAGE_LOCK", str(probe_lock))
        return Airflow(folder)
