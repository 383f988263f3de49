"""The ranks of a training as pods: they start one after another, know the first, end together, and leave nothing."""

from dataclasses import replace

import pytest
from kmock import KubernetesError

from ml import gang
from ml.engines import EngineError, NotRun, State
from ml.engines.kubernetes import KubernetesEngine
from ml.gang import GangEngine
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
from tests.dags.kubernetes.conftest import LABELS, WORK

RANKS = 3
WORK_IN_RANKS = replace(WORK, stage="training", ranks=RANKS)
NO_NODE = "0/3 nodes are available: 3 Insufficient memory."
LOST_ANSWER = KubernetesError(500, "InternalError", "etcdserver: request timed out")
RANK, NETWORK = "airflow-ml.rank", "airflow-ml.network"


@pytest.fixture
def ranks(engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch) -> GangEngine:
    monkeypatch.setattr(gang, "SETTLE_S", 0)
    return GangEngine(engine)


def environment(pod: Json) -> Json:
    return {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}


def play(cluster: Cluster, rank: int, *plays: Json) -> None:
    """Have the pod of a rank be like this."""
    cluster._scripts[list(cluster.pods)[rank]] = list(plays)


def test_ranks_start_on_a_network_of_their_own_and_are_removed_together(ranks: GangEngine, cluster: Cluster) -> None:
    name = ranks.start(WORK_IN_RANKS)
    pods = list(cluster.pods.values())
    assert [pod["metadata"]["annotations"][RANK] for pod in pods] == [f"rank {rank} of 3" for rank in range(RANKS)]
    assert [environment(pod)["ML_RANK"] for pod in pods] == ["0", "1", "2"]
    known = [{"ip": cluster.address_of(pods[0]), "hostnames": ["rank-0"]}]
    assert [pod["spec"].get("hostAliases") for pod in pods] == [None, known, known]

    (policy,) = cluster.policies
    assert {pod["metadata"]["labels"][NETWORK] for pod in pods} == {name.removeprefix("gang-")}
    (owner,) = policy["metadata"]["ownerReferences"]
    assert owner["kind"] == "Pod"
    assert {name: owner[name] for name in ("name", "uid")}.items() <= pods[0]["metadata"].items()

    assert ranks.does(name, WORK_IN_RANKS)
    assert [*ranks.find(LABELS)] == [*ranks.find(LABELS, running=True)] == [name]
    assert ranks.state(name) == State(None, rank="rank 0 of 3")
    ranks.remove(name)
    assert cluster.pods == {}
    ranks.remove(name)


def test_two_gangs_have_networks_of_their_own(ranks: GangEngine, cluster: Cluster) -> None:
    assert ranks.start(WORK_IN_RANKS) != ranks.start(WORK_IN_RANKS)
    one, other = (policy["spec"]["podSelector"]["matchLabels"][NETWORK] for policy in cluster.policies)
    assert one != other


def test_others_start_when_the_first_has_an_address(ranks: GangEngine, cluster: Cluster) -> None:
    cluster.plays = [unscheduled(NO_NODE), waiting("ContainerCreating"), running()]
    ranks.start(WORK_IN_RANKS)
    assert cluster.requests == ["POST", "POST policy", *["GET"] * 3, "POST", "GET", "POST"]


def test_first_rank_without_a_place_is_given_up(ranks: GangEngine, cluster: Cluster) -> None:
    cluster.plays, cluster.created = [unscheduled(NO_NODE)], LONG_AGO
    with pytest.raises(NotRun, match=f"has no place .{NO_NODE}. after [0-9]+ seconds, expected at most 600"):
        ranks.start(WORK_IN_RANKS)
    assert cluster.pods == {}


@pytest.mark.parametrize(
    ("addresses", "known"), [(["10.1.0.9", "fd00::9"], "10.1.0.9"), (["fd00::9", "10.1.0.9"], "10.1.0.9")]
)
def test_of_two_addresses_the_others_get_the_one_that_lightgbm_knows(
    ranks: GangEngine, cluster: Cluster, addresses: list[str], known: str
) -> None:
    cluster.plays = [running(podIPs=[{"ip": address} for address in addresses])]
    ranks.start(WORK_IN_RANKS)
    aliases = [pod["spec"].get("hostAliases", [{"ip": None}]) for pod in cluster.pods.values()]
    assert [alias["ip"] for (alias,) in aliases] == [None, known, known]


def test_cluster_without_addresses_that_lightgbm_knows_is_refused(ranks: GangEngine, cluster: Cluster) -> None:
    cluster.plays = [running(podIPs=[{"ip": "fd00::9"}])]
    with pytest.raises(NotRun, match="has the address fd00::9, expected one of IP version 4") as raised:
        ranks.start(WORK_IN_RANKS)
    assert raised.value.hopeless
    assert cluster.pods == {}


@pytest.mark.parametrize("kind", ["POST", "POST policy"])
def test_what_was_made_without_an_answer_is_not_made_twice(ranks: GangEngine, cluster: Cluster, kind: str) -> None:
    cluster.lost_answers[kind] = [LOST_ANSWER]
    ranks.start(WORK_IN_RANKS)
    assert (len(cluster.pods), len(cluster.policies)) == (RANKS, 1)


@pytest.mark.parametrize(("kind", "let_through"), [("POST", 1), ("POST policy", 0), ("GET", 0)])
def test_start_that_is_refused_half_way_leaves_nothing(
    ranks: GangEngine, cluster: Cluster, kind: str, let_through: int
) -> None:
    refusal = KubernetesError(403, "Forbidden", "exceeded quota")
    cluster.refusals[kind] = [*[None] * let_through, refusal]
    with pytest.raises(EngineError, match=r"refuses \(403 Forbidden: exceeded quota\)"):
        ranks.start(WORK_IN_RANKS)
    assert cluster.requests.count("POST") == 1 + let_through
    assert cluster.pods == {}


OOM = ended(137, "OOMKilled")
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
LOST = running(deleted=LONG_AGO) | disrupted("DeletionByTaintManager")


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (ended(3), State(3, rank="rank 1 of 3")),
        (OOM, State(137, out_of_memory=True, rank="rank 1 of 3")),
    ],
)
def test_rank_that_fails_is_the_reason_why_all_end(
    ranks: GangEngine, cluster: Cluster, end: Json, state: State
) -> None:
    name = ranks.start(WORK_IN_RANKS)
    for rank, its_end in enumerate([ended(5), end, ended(5)]):
        play(cluster, rank, its_end)
    assert ranks.state(name) == state
    assert ranks.find(LABELS, running=True) == {}


@pytest.mark.parametrize(
    ("play_of_one", "words"),
    [
        (EVICTED, "rank 2 of 3: the pod .*-training was ended by Kubernetes: Evicted: low on memory"),
        (LOST, "rank 2 of 3: the pod .*-training was taken away by Kubernetes: its node does not answer"),
        (waiting("ImagePullBackOff"), "rank 2 of 3: the pod .*-training: the image cannot be pulled"),
    ],
)
def test_rank_without_an_end_of_its_own_ends_the_gang_in_words(
    ranks: GangEngine, cluster: Cluster, play_of_one: Json, words: str
) -> None:
    name = ranks.start(WORK_IN_RANKS)
    play(cluster, 2, play_of_one)
    assert ranks.find(LABELS, running=True) == {}, "so the triggerer stops waiting"
    with pytest.raises(NotRun, match=words):
        ranks.state(name)
    ranks.remove(name)
    assert cluster.pods == {}


def test_rank_whose_pod_somebody_removes_ends_the_gang(ranks: GangEngine, cluster: Cluster) -> None:
    name = ranks.start(WORK_IN_RANKS)
    del cluster.pods[list(cluster.pods)[1]]
    with pytest.raises(EngineError, match=r"has 2 containers of gang-.*, not all of them"):
        ranks.state(name)
    assert not ranks.does(name, WORK_IN_RANKS)


def test_log_is_that_of_the_first_rank_and_of_the_one_that_failed(ranks: GangEngine, cluster: Cluster) -> None:
    cluster.log, line = log_of(["epoch"], {"rows": 3})
    name = ranks.start(WORK_IN_RANKS)
    for rank in range(RANKS):
        play(cluster, rank, ended(0, message=line))
    assert (f"{line}\n".encode(), None) in ranks.follow(name, 1)
    play(cluster, 0, ended(5))
    play(cluster, 1, ended(3))
    cluster.requests.clear()
    list(ranks.follow(name, 1))
    assert cluster.requests.count("LOG") == 2


def test_start_that_was_interrupted_is_found_and_removed(ranks: GangEngine, cluster: Cluster) -> None:
    """A worker that is killed while it starts the ranks leaves some of them."""
    name = ranks.start(WORK_IN_RANKS)
    for pod in list(cluster.pods)[1:]:
        del cluster.pods[pod]
    assert [*ranks.find(LABELS)] == [name]
    assert ranks.find(LABELS, running=True) == {}
    assert not ranks.does(name, WORK_IN_RANKS)
    ranks.remove(name)
    assert cluster.pods == {}
