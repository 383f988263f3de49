"""The stack on the engine of one of the hosts of the tests' swarm."""

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow_ml import make_env, stack
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import read_env
from airflow_ml.secret_files import SECRETS, remove_secrets, setting

from tests.dags.swarm.lab import Node
from tests.harness import ROOT, images

# Training takes some twenty seconds, so that something can happen in the middle.
ROWS, TREES = 60_000, {"num_iterations": 1500, "early_stopping_round": 0}
POSTGRES = re.findall(r"image: (postgres:\S+)", (ROOT / "docker-compose.yml").read_text())[0]
SERVICES = ("airflow", "mlflow", "reports", "engine-proxy")
STAGES = ("generator", "preprocessing", "training", "prediction", "registry", "report")
CLONE_NEWNET = 0x40000000


@contextmanager
def network_of(node: Node) -> Iterator[None]:
    """This thread, and what it starts, is in the network of a node: there the stack's ports are."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as ours, Path(f"/run/netns/{node.namespace}").open() as theirs:
        assert libc.setns(theirs.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(ours.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def load(node: Node, *names: str) -> None:
    """Give a node's engine images of this machine's engine."""
    save = subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE)
    subprocess.run(
        ["docker", "--host", node.host, "load", "--quiet"], stdin=save.stdout, check=True, capture_output=True
    )
    assert save.wait() == 0


def own_secrets(folder: Path) -> dict[str, str]:
    """Secrets of a stack that no other has: tests of another one change those of this checkout."""
    shutil.copy(ROOT / ".env.example", folder)
    make_env.make_env(folder)
    values = read_env(folder / ".env")
    return {name: values[name] for name in map(setting, SECRETS)}


@contextmanager
def stack_on(node: Node, settings: Mapping[str, str]) -> Iterator[Airflow]:
    """The stack on a node, with Dags that can run, for as long as the block runs, in the node's network."""
    load(node, *(images()[service] for service in SERVICES), POSTGRES)
    of_node = {
        "DOCKER_HOST": node.host,
        "COMPOSE_PROJECT_NAME": node.lab.name,
        "ML_UID": "10001",
        "ML_GID": "10001",
        "ML_DOCKER_SOCKET": node.host.removeprefix("unix://"),
        **own_secrets(node.folder),
    }
    with pytest.MonkeyPatch.context() as monkeypatch, network_of(node):
        for name, value in {**of_node, **settings}.items():
            monkeypatch.setenv(name, value)
        try:
            stack.start()
            made = stack.settings()
            yield Airflow(f"http://127.0.0.1:{made['ML_AIRFLOW_PORT']}", made["ML_ADMIN_PASSWORD"])
        finally:
            stack.compose("down", "--volumes", "--remove-orphans")
            remove_secrets()
