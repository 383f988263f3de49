"""A stack of an earlier version is upgraded while a day runs: every run ends well, and what it knew is there."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_ml.common import read_env

from tests.harness import ROOT, docker, wait_until

from .own_stack import DATA, LEFT, OwnStack, own_stack

# The secrets of its services were variables, not files; other images of every stage and service.
EARLIER = "2d66b12b"
TRAINED, DS = "2026-11-20", "2026-11-21"
# Training takes some seconds, so that it works when the upgrade begins.
TREES = {"num_iterations": 3000, "early_stopping_round": 0}
# Its .env has no key to sign with.
CHANGED = {"ML_REGISTRY_KEY"}
DAGS = ("generate_data", "train_model", "predict", "monitor")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnStack]:
    """The earlier version, as it comes from its commit."""
    checkout = tmp_path / "earlier"
    checkout.mkdir()
    archive = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=checkout, input=archive, check=True)
    with own_stack(checkout) as made:
        yield made


def working() -> list[str]:
    """The tasks whose containers work now."""
    chosen = ("--filter", f"label=airflow-ml.data={DATA}", "--filter", "label=airflow-ml.run")
    return docker("ps", "--format", '{{.Label "airflow-ml.task"}}', *chosen).stdout.split()


def test_day_that_runs_while_the_stack_is_upgraded_ends_well(own: OwnStack, tmp_path: Path) -> None:
    """The containers that work go on; the services are replaced, and their databases are those of before."""
    own.run("generate_data", ds=TRAINED, rows=3000)
    own.run("train_model", ds=TRAINED, lightgbm={"num_boost_round": 20})
    own.airflow.request("POST", "/variables", {"key": "kept", "value": "still readable"})
    of_day = {"generate_data": {"rows": 3000}, "train_model": {"promote": "manual", "lightgbm": TREES}}
    runs = [(dag, own.airflow.trigger(dag, {"ds": DS, **of_day.get(dag, {})})) for dag in DAGS]
    wait_until(lambda: "train" in working(), "a training works")

    own.tool("docker", "compose", "stop", "scheduler", "triggerer", "dag-processor")
    own.checkout = shutil.copytree(ROOT, tmp_path / "new", ignore=shutil.ignore_patterns(*LEFT))
    shutil.copy(tmp_path / "earlier" / ".env", own.checkout)
    own.tool("./airflow-ml", "up")
    before = read_env(tmp_path / "earlier" / ".env")
    kept = [name for name in before if name not in CHANGED and not name.endswith("_IMAGE")]
    assert {name: own.settings[name] for name in kept}.items() <= before.items()
    assert "," not in own.settings["ML_REGISTRY_KEY"], "what is older is signed"

    for dag, run in runs:
        own.end(dag, run)
    assert working() == []
    assert own.airflow.request("GET", "/variables/kept")["value"] == "still readable"
    own.tool("./airflow-ml", "lineage", f"predictions/{DS}")
    own.run("predict", ds=TRAINED)
