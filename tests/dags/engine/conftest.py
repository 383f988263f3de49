"""Tasks on the real engine: probes that run in the base image under a tag of the test's own, on its own volume."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from ml import connections, operator, orphans
from ml.network import ADDRESSES
from tests.dags.runs import Airflow
from tests.harness import PATIENCE_S, images

# Docker itself learns late, or never, that a container was out of memory.
OUT_OF_MEMORY = r"out of memory( or killed \(the engine does not say which\))?"
MLFLOW = "http://mlflow:5000"
NO_PATIENCE = timedelta(seconds=0.5)
# How a container begins that works until a test lets it go: on any machine for longer than a worker waits for it.
HELD = "import pathlib, time\nwhile not pathlib.Path('/tmp/go').exists(): time.sleep(0.1)\n"
PROBES = """
from datetime import timedelta

from airflow.sdk import DAG

from ml import RAW, dag_defaults
from ml.operator import StageOperator

with DAG("probes", schedule=None, params={"code": "", "ranks": 3}, **dag_defaults()):
    what = {"stage": "probe", "command": ["-c", "{{ params.code }}", ""]}
    StageOperator(task_id="probe", outlets=[RAW], execution_timeout=timedelta(minutes=2), **what)
    StageOperator(task_id="probe_briefly", execution_timeout=timedelta(seconds=15), **what)
    StageOperator(task_id="probe_read_only", read_only=True, **what)
    StageOperator(task_id="probe_on_the_network", network="mlflow", **what)
    StageOperator(task_id="probe_in_ranks", ranks="{{ params.ranks }}", execution_timeout=timedelta(minutes=5), **what)
    StageOperator(task_id="probe_with_connection", network="exchange", connection="shop", **what)
"""


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


class Engine:
    """The engine, and what the tests keep on it."""

    def __init__(self) -> None:
        self.name = f"airflow-ml-test-{uuid4().hex[:12]}"
        self.tags: list[str] = []
        docker("volume", "create", self.name)
        docker("network", "create", "--internal", self.name)

    def tag(self, name: str) -> dict[str, str]:
        """Give an image of the image lock a tag that only these tests use; returns its entry for a lock."""
        tag = f"airflow-ml-{name}:{self.name}"
        docker("tag", images()[name], tag)
        self.tags.append(tag)
        return {"image": tag, "id": docker("image", "inspect", "--format", "{{.Id}}", tag)}

    def containers(self, run_id: str, status: str = "") -> list[str]:
        """The containers of a run, running or not; or only those with a status."""
        filters = [f"label=airflow-ml.run={run_id}", f"label=airflow-ml.data={self.name}"]
        filters += [f"status={status}"] if status else []
        return docker("ps", "--all", "--quiet", *(f"--filter={one}" for one in filters)).split()

    def let_go(self, run_id: str) -> None:
        """Let the containers of a run go on that are HELD."""
        for container in self.containers(run_id, "running"):
            docker("exec", container, "python", "-c", "open('/tmp/go', 'w')")

    def clean_up(self) -> None:
        for tag in self.tags:
            docker("rmi", "--no-prune", tag)
        docker("volume", "rm", self.name)
        docker("network", "rm", self.name)


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.clean_up()


@pytest.fixture(scope="package")
def probe_lock(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image lock with one stage, `probe`: the base image, whose command is Python's."""
    path = tmp_path_factory.mktemp("lock") / "images.lock.json"
    path.write_text(json.dumps({"version": 1, "images": {"probe": engine.tag("base")}}))
    return path


@pytest.fixture
def _environment(engine: Engine, probe_lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine must not decide whether a task is deferred.
    monkeypatch.setattr(operator, "PATIENCE", timedelta(minutes=10))
    monkeypatch.setattr(orphans, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setenv("ML_IMAGE_LOCK", str(probe_lock))
    monkeypatch.setenv("ML_DATA", engine.name)
    monkeypatch.setenv("ML_DOCKER_HOST", docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}"))
    monkeypatch.setenv("ML_STAGE_MEMORY", "256m")
    monkeypatch.setenv("ML_MLFLOW_NETWORK", engine.name)
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_MLFLOW_URI", MLFLOW)


@pytest.fixture(scope="package")
def probes(probe_lock: Path, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with the Dag of probes."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "probes.py").write_text(PROBES)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ML_IMAGE_LOCK", str(probe_lock))
        return Airflow(folder)


@pytest.fixture
def folder(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The volume of the connections; this process sees it as a folder, as the scheduler does."""
    tmp_path.chmod(0o755)
    (path := tmp_path / "connections").mkdir()
    name = f"{engine.name}-connections"
    docker("volume", "create", "--opt=type=none", "--opt=o=bind", f"--opt=device={path}", name)
    monkeypatch.setattr(connections, "FOLDER", path)
    monkeypatch.setenv("ML_CONNECTIONS_VOLUME", name)
    monkeypatch.setenv("ML_EXCHANGE_NETWORK", engine.name)
    yield path
    docker("volume", "rm", name)
