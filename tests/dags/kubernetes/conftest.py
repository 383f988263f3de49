"""The engine `kubernetes` against a mock API server; no container runs."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from kubernetes_validate import utils

from ml.engines import Work, kubernetes
from ml.engines.kubernetes import KubernetesEngine
from tests.dags.kubernetes.cluster import NAMESPACE, TOKEN, Cluster

# It reads 2 MB for each manifest; the tests of one version come one after another.
utils.schema_contents = lru_cache(maxsize=64)(utils.schema_contents)

LABELS = {
    "airflow-ml.dag": "predict",
    "airflow-ml.task": "prepare",
    "airflow-ml.run": "scheduled__2026-11-21T06:00:00+00:00",
    "airflow-ml.map-index": "-1",
    "airflow-ml.data": "data",
    "airflow-ml.try": "1",
    "airflow-ml.last-try": "2",
}
DIGEST = f"sha256:{'ab' * 32}"
WORK = Work(
    stage="preprocessing",
    image="airflow-ml-preprocessing:0123456789ab",
    image_id="sha256:0123",
    pushed=None,
    command=["prepare", "--ds=2026-11-21"],
    user="10001:10002",
    memory="2g",
    network="none",
    data="data",
    read_only=False,
    connection="",
    environment={"ML_RUN_ID": LABELS["airflow-ml.run"]},
    labels=LABELS,
)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The settings of the engine, and the folder of the service account."""
    for name, content in {"token": TOKEN, "namespace": NAMESPACE, "ca.crt": ""}.items():
        (tmp_path / name).write_text(f"{content}\n")
    values = {
        "ML_ENGINE": "kubernetes",
        "ML_DATA": "data",
        "ML_STAGE_TOLERATIONS": "none",
        "ML_POD_START_SECONDS": "600",
        "ML_KUBERNETES_ACCOUNT": str(tmp_path),
        "ML_KUBERNETES_API": "http://127.0.0.1:9",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kubernetes, "LOOK_S", 0.01)
    monkeypatch.setattr(kubernetes, "REMOVE_S", 0.05)
    return tmp_path


@pytest.fixture
def engine(cluster: Cluster, settings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesEngine]:
    """The engine, as the settings make it, connected to the cluster."""
    monkeypatch.setenv("ML_KUBERNETES_API", cluster.address)
    with kubernetes.connect(5) as engine:
        yield engine
