"""Tasks, run by Airflow's own code, whose stages are pods: how they end, wait, join and clean up."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.models import DagRun
from airflow.utils.session import create_session
from kmock import KubernetesError

from ml import gang, operator
from ml.orphans import remove_orphans
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
    limit = timedelta(minutes=2)
    StageOperator(task_id="prepare", stage="preprocessing", command=["prepare"], execution_timeout=limit)
    StageOperator(task_id="train", stage="training", command=["--ranks=3"], ranks="3", execution_timeout=limit)
"""
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "low on disk"}
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
    monkeypatch.setattr(gang, "SETTLE_S", 0)
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
        (EVICTED, "up_for_retry", "Evicted: low on disk"),
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


def test_task_has_the_result_of_its_first_rank(pods: Airflow, cluster: Cluster) -> None:
    cluster.plays = [{"phase": "Pending"}, running(), ended(0, message=LINE)]
    run = pods.manual("pods", day("2026-11-21"))
    outcome = pods.run_task(run, "train")
    assert (outcome.ti.state, pods.result(run, "train")) == ("success", RESULT)
    assert cluster.requests.count("POST") == 3
    assert cluster.pods == {}


def waits(pods: Airflow, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> DagRun:
    """A run whose training waits for its ranks without a worker."""
    run = pods.manual("pods", day("2026-11-21"))
    with monkeypatch.context() as impatient:
        impatient.setattr(operator, "PATIENCE", timedelta(0))
        assert pods.run_task(run, "train").ti.state == "deferred"
    assert len(cluster.pods) == 3
    return run


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (ended(137, "OOMKilled"), "rank 1 of 3 of training ended with exit code 137: out of memory, it may use 2g"),
        (EVICTED, "rank 1 of 3: the pod .*-training was ended by Kubernetes: Evicted: low on disk"),
        (running(deleted=LONG_AGO) | disrupted("DeletionByTaintManager"), "rank 1 of 3: .* its node does not answer"),
    ],
)
def test_rank_that_ends_badly_wakes_the_task_which_fails_in_words(
    pods: Airflow, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, play: Json, words: str
) -> None:
    run = waits(pods, cluster, monkeypatch)
    first, one, other = cluster.pods
    cluster._scripts |= {first: [ended(5)], one: [play], other: [ended(5)]}
    pods.fire_trigger(run, "train", 30)
    outcome = pods.run_task(run, "train", new_try=False)
    assert outcome.ti.state == "up_for_retry"
    assert re.search(words, str(outcome.error))
    assert cluster.pods == {}


@pytest.mark.parametrize("are_left", [3, 1])
def test_next_try_joins_all_ranks_or_replaces_what_an_interrupted_start_left(
    pods: Airflow, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, are_left: int
) -> None:
    run = waits(pods, cluster, monkeypatch)
    for name in list(cluster.pods)[are_left:]:
        del cluster.pods[name]
    before, cluster.plays = set(cluster.pods), [ended(0, message=LINE)]
    cluster._scripts |= {name: [ended(0, message=LINE)] for name in before}
    cluster.requests.clear()
    with create_session() as session:  # nobody waits for them any more
        ti = session.merge(pods.waiting(run, "train"))
        ti.next_method = ti.next_kwargs = ti.trigger_id = None
    assert pods.run_task(run, "train").ti.state == "success"
    assert cluster.requests.count("POST") == (0 if are_left == 3 else 3)
    assert cluster.pods == {}


@pytest.mark.parametrize("are_left", [3, 1])
def test_ranks_whose_task_has_ended_are_removed(
    pods: Airflow, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, are_left: int
) -> None:
    """The scheduler's plugin calls this whenever a run starts or ends; first the task goes on."""
    run = waits(pods, cluster, monkeypatch)
    for name in list(cluster.pods)[are_left:]:
        del cluster.pods[name]
    with create_session() as session:
        remove_orphans(session)
        assert len(cluster.pods) == are_left
        for ti in session.merge(run).get_task_instances(session=session):
            ti.set_state("failed", session=session)
        session.flush()
        remove_orphans(session)
    assert cluster.pods == {}
