"""Tasks on a real swarm: probes that run on three hosts, with the data on JuiceFS."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from ml import operator, orphans
from ml.engines import swarm
from tests.dags.runs import Airflow
from tests.dags.swarm.lab import NETWORK, Lab, swarm_of_three
from tests.harness import PATIENCE_S, docker, images

PROBES = """
from datetime import timedelta

from airflow.sdk import DAG

from ml import RAW, dag_defaults
from ml.operator import StageOperator

with DAG("probes", schedule=None, params={"code": ""}, **dag_defaults()):
    what = {"stage": "probe", "command": ["-c", "{{ params.code }}", ""]}
    StageOperator(task_id="probe", outlets=[RAW], execution_timeout=timedelta(minutes=5), **what)
    StageOperator(task_id="probe_on_the_network", network="mlflow", **what)
"""
DOCKERFILE = """
FROM {base}
COPY probe.py /opt/stage/probe.py
ENTRYPOINT ["/usr/bin/tini", "--", "python", "/opt/stage/probe.py"]
"""


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The swarm, with one stage in the image lock: `probe`, which executes Python code."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.py").write_text("import sys; exec(compile(sys.argv[2], 'probe', 'exec'))")
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=images()["base"]))
    image = f"airflow-ml-probe:{uuid4().hex[:12]}"
    docker("build", "--quiet", "--tag", image, str(folder))
    try:
        with swarm_of_three() as lab:
            lab.push({"probe": image, "base": images()["base"]})
            assert lab.check_nodes() == []
            yield lab
    finally:
        docker("image", "rm", "--force", image, check=False)


@pytest.fixture
def _environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine must not decide whether a task is deferred.
    monkeypatch.setattr(operator, "PATIENCE", timedelta(minutes=10))
    monkeypatch.setattr(orphans, "PATIENCE_S", PATIENCE_S)
    # Nor whether a network stays that the next removal would remove, or whether a node is lost.
    monkeypatch.setattr(swarm, "NETWORK_S", PATIENCE_S)
    monkeypatch.setenv("ML_NODE_LOST_SECONDS", str(PATIENCE_S))
    monkeypatch.setenv("ML_ENGINE", "swarm")
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lab.lock))
    monkeypatch.setenv("ML_DATA", str(lab.data))
    monkeypatch.setenv("ML_DOCKER_HOST", lab.proxy)
    monkeypatch.setenv("ML_MLFLOW_NETWORK", NETWORK)
    monkeypatch.setenv("ML_STAGE_MEMORY", "256m")


@pytest.fixture(autouse=True)
def _clean(lab: Lab) -> Iterator[None]:
    """What a failed test leaves on the swarm harms no other."""
    yield
    if left := lab.manager.docker("service", "ls", "--quiet").split():
        lab.manager.docker("service", "rm", *left)


@pytest.fixture(scope="package")
def probes(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with the Dag of probes."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "probes.py").write_text(PROBES)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ML_IMAGE_LOCK", str(lab.lock))
        return Airflow(folder)
