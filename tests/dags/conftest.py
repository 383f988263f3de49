"""A throw-away Airflow for the Dag tests: its own home, an SQLite database, a made-up image lock, no engine."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.dags.runs import Dags

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"
HOME = Path(tempfile.mkdtemp(prefix="airflow-ml-dags-"))
LOCK = HOME / "images.lock.json"
STAGES = sorted(path.parent.name for path in ROOT.glob("stages/*/Dockerfile"))
IMAGES = {stage: {"image": f"airflow-ml-{stage}:0123456789ab", "id": f"sha256:{stage}"} for stage in STAGES}
LOCK.write_text(json.dumps({"version": 1, "images": IMAGES}))

# Airflow reads its settings once, when it is first imported: so here, before anything imports it.
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(DAGS / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    # The tests of a process share a database. By default Airflow keeps a Dag as it was read in the last 30 s, and the
    # fields of the last 30 runs: a test would depend on what ran before it, and how long ago.
    AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL="0",
    AIRFLOW__CORE__NUM_DAG_RUNS_TO_RETAIN_RENDERED_FIELDS="0",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
    ML_IMAGE_LOCK=str(LOCK),
    ML_ENGINE="docker",
    ML_DATA="data",
    ML_UID="10001",
    ML_GID="10001",
    ML_STAGE_MEMORY="2g",
    ML_STAGE_CONSTRAINTS="none",
    ML_STAGE_RESERVATIONS="none",
    ML_NODE_LOST_SECONDS="60",
    ML_DEADLINE="06:00",
    ML_EXPORT="none",
    ML_PREDICTIONS_FORMAT="csv",
    ML_REASONS="0",
    ML_MODEL_NAME="airflow-ml",
    ML_DOCKER_HOST=f"unix://{HOME}/no-engine.sock",
    ML_MLFLOW_NETWORK="airflow-ml_mlflow",
)
for name in ("ML_ALERTS_FOLDER", "ML_ALERT_URLS_FILE"):
    os.environ.pop(name, None)
sys.path.append(str(DAGS))  # as Airflow does for its Dags folder


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def dags() -> "Dags":
    """The Dags by id."""
    from tests.dags.runs import make_bag

    bag = make_bag(DAGS)
    assert bag.import_errors == {}
    return bag.dags


# Parses in a process of its own, where texts hash differently; prints what the Dags are, and every connection,
# process and database that parsing them used.
PARSE = """
import json, shutil, sys
from airflow.serialization.serialized_objects import DagSerialization
from tests.dags.conftest import DAGS, HOME
from tests.dags.runs import make_bag
watched = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.exec", "sqlite3.connect")
asked = []
sys.addaudithook(lambda event, arguments: asked.append(event) if event in watched else None)
bag = make_bag(DAGS)
assert not bag.import_errors, bag.import_errors
dags = {name: DagSerialization.to_dict(dag) for name, dag in bag.dags.items()}
print(json.dumps({"dags": dags, "asked": asked}))
shutil.rmtree(HOME)
"""


@pytest.fixture(scope="session")
def parsed_elsewhere() -> dict[str, Any]:
    """The Dag files as another process reads them, and, in `here`, as this process reads them at the same time.

    The Dags of the fixture `dags` may be minutes old: a checkout that moves on while the tests run has others since.
    """
    from airflow.serialization.serialized_objects import DagSerialization

    from tests.dags.runs import make_bag

    here = {name: DagSerialization.to_dict(dag) for name, dag in make_bag(DAGS).dags.items()}
    command = [sys.executable, "-c", PARSE]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(run.stdout.splitlines()[-1]), "here": json.loads(json.dumps(here))}
