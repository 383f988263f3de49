"""Tasks, run by Airflow's own code, whose stages are pods: how they end, wait, join and clean up."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from kmock import KubernetesError

from ml import operator
from tests.dags.kubernetes.cluster import (
    LONG_AGO,
    Cluster,
    Json,
    disrupted,
    ended,
    log_of,
    running,
    unscheduled,
    waiting,
)
from tests.dags.runs import Airflow, day

PROBES = """
from datetime import timedelta

from airflow.sdk import DAG

from ml import dag_defaults
from ml.operator import StageOperator

with DAG("pods", schedule=None, **dag_defaults()):
    StageOperator(task_id="prepare", stage="preprocessing", command=["prepare"], execution_timeout=timedelta(minutes=2))
"""
RESULT = {"stage": "preprocessing", "rows": 3}
LOG, LINE = log_of(["2026-11-21T06:00:00Z ERROR preprocessing prepare: no file data.csv"], RESULT)


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "pods.py").write_text(PROBES)
    return Airflow(folder)


@pytest.fixture(autouse=True)
def _cluster(cluster: Cluster, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_KUBERNETES_API", cluster.address)
    monkeypatch.setattr("ml.trigger.LOOK_S", 0.01)
    cluster.log = LOG


def test_task_has_the_result_of_its_pod(pods: Airflow, cluster: Cluster) -> None:
    cluster.plays = [{"phase": "Pending"}, running(), ended(0, message=LINE)]
    run = pods.manual("pods", day("2026-11-21"))
    outcome = pods.run_task(run, "prepare")
    assert (outcome.ti.state, pods.result(run, "prepare")) == ("success", RESULT)
    assert cluster.pods == {}


def test_task_that_waits_holds_no_worker(pods: Airflow, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "PATIENCE", timedelta(0))
    cluster.plays = [{"phase": "Pending"}, running(), running(), ended(0, message=LINE)]
    run = pods.manual("pods", day("2026-11-21"))
    assert pods.run_task(run, "prepare").ti.state == "deferred"
    pods.fire_trigger(run, "prepare", 30)
    outcome = pods.run_task(run, "prepare", new_try=False)
    assert (outcome.ti.state, pods.result(run, "prepare")) == ("success", RESULT)
    assert cluster.pods == {}


@pytest.mark.parametrize(
    ("play", "state", "words"),
    [
        (ended(3), "failed", "no file data.csv. preprocessing ended with exit code 3: bad input data"),
        (ended(137, "OOMKilled"), "up_for_retry", "137: out of memory, it may use 2g"),
        (ended(137), "up_for_retry", "137: killed from outside"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on disk"}, "up_for_retry", "Evicted: low on disk"),
        (running(deleted=LONG_AGO) | disrupted("DeletionByTaintManager"), "up_for_retry", "its node does not answer"),
        (waiting("ImagePullBackOff", "not found"), "up_for_retry", "the image cannot be pulled"),
        (waiting("ErrImageNeverPull"), "failed", "the image is not on the node"),
        (unscheduled('persistentvolumeclaim "data" not found'), "failed", "do: create the claim that ML_DATA names"),
    ],
)
def test_task_fails_in_words_and_leaves_no_pod(
    pods: Airflow, cluster: Cluster, play: Json, state: str, words: str
) -> None:
    cluster.plays = [{"phase": "Pending"}, play]
    run = pods.manual("pods", day("2026-11-21"))
    outcome = pods.run_task(run, "prepare")
    assert outcome.ti.state == state
    assert words in str(outcome.error)
    assert "By hand: kubectl run by-hand-preprocessing " in str(outcome.error)
    assert cluster.pods == {}


def test_next_try_joins_the_pod_that_an_api_server_without_answers_left(pods: Airflow, cluster: Cluster) -> None:
    cluster.plays = [running(), running(), ended(0, message=LINE)]
    cluster.refusals["GET"] = [KubernetesError(500, "InternalError", "no leader") for _ in range(3)]
    run = pods.manual("pods", day("2026-11-21"))
    outcome = pods.run_task(run, "prepare")
    assert outcome.ti.state == "up_for_retry"
    assert f"the engine at {cluster.address} refuses (500 InternalError: no leader)" in str(outcome.error)
    (left,) = cluster.pods
    assert pods.run_task(run, "prepare").ti.state == "success"
    assert cluster.requests.count("POST") == 1, f"{left} was joined"
    assert pods.result(run, "prepare") == RESULT


def test_next_try_replaces_a_pod_on_a_lost_node(pods: Airflow, cluster: Cluster) -> None:
    run = pods.manual("pods", day("2026-11-21"))
    cluster.plays = [running()]
    cluster.refusals["GET"] = [KubernetesError(500, "InternalError", "no leader") for _ in range(3)]
    assert pods.run_task(run, "prepare").ti.state == "up_for_retry"
    (lost,) = cluster.pods
    cluster._scripts[lost] = [running(deleted=LONG_AGO) | disrupted("DeletionByTaintManager")]
    cluster.node_is_lost, cluster.plays = True, [ended(0, message=LINE)]
    assert pods.run_task(run, "prepare").ti.state == "success"
    assert lost not in cluster.pods
    assert json.dumps(pods.result(run, "prepare")) == LINE
