"""What the engine proxy lets through to the manager of a swarm and what it refuses, without an engine."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import policy
from checks import Refused
from policy import LABEL, Limits, is_ours
from swarm import judge
from tests.attacks.bodies import (
    CONNECTIONS,
    FOLDER,
    IMAGE,
    INSIDE,
    NET,
    NETWORK,
    NETWORKS,
    PUSHED,
    PUSHED_EXCHANGE,
    PUSHED_TRAINING,
    SERVICE,
    SERVICES,
    SWARM_RANK,
    SWARM_RANKS,
    TASK,
    TMP,
    changed,
)
from tests.attacks.bodies import OURS as CONTAINER
from tests.attacks.bodies import SERVICE_ID as ID
from tests.attacks.requests import SWARM_REQUESTS, Request
from tests.engine_proxy.test_engine_proxy_policy import SAYS_SOMETHING

LIMITS = Limits(
    "airflow-ml",
    data="/srv/ml",
    max_memory=4 << 30,
    networks={"exchange": frozenset({"shop"})},
    connections="secrets",
    images=frozenset({IMAGE}),
    pushed={PUSHED: IMAGE, PUSHED_EXCHANGE: "airflow-ml-exchange:1", PUSHED_TRAINING: "airflow-ml-training:1"},
)


def create(body: Any, limits: Limits = LIMITS) -> dict[str, Any]:
    """What the engine would be sent for a body."""
    call = judge("POST", "/v1.45/services/create", json.dumps(body).encode(), limits)
    assert call.creates
    return dict(json.loads(call.body))


def refusal(body: Any, limits: Limits = LIMITS) -> str:
    with pytest.raises(Refused) as refused:
        create(body, limits)
    return str(refused.value)


def test_create_passes_a_job_on_with_our_label_on_service_and_container() -> None:
    call = judge("POST", "/v1.45/services/create", json.dumps(copy.deepcopy(SERVICE)).encode(), LIMITS)
    assert (call.image, call.network) == (IMAGE, NETWORK)  # both are looked up before the engine gets the call
    written = json.loads(call.body)
    inside = written["TaskTemplate"]["ContainerSpec"]
    assert written["Labels"] == inside["Labels"] == {"airflow-ml.dag": "generate_data", LABEL: "airflow-ml"}
    assert inside["Mounts"] == [FOLDER, TMP]
    assert written["TaskTemplate"]["RestartPolicy"] == {"Condition": "none"}
    assert (inside["ReadOnly"], inside["CapabilityDrop"]) == (True, ["ALL"])
    assert written.keys() == {"Name", "Labels", "TaskTemplate", "Mode", "EndpointSpec"}


@pytest.mark.parametrize(("path", "value", "expected"), SERVICES)
def test_create_refuses_and_names_the_key(path: str, value: Any, expected: str) -> None:
    found, _, expectation = refusal(changed(path, value, SERVICE)).partition("; expected: ")
    assert found.startswith((path, f"a key of {path}"))
    assert expected in expectation


def test_rank_of_a_training_has_a_name_on_its_network() -> None:
    assert create(SWARM_RANK)["TaskTemplate"]["Networks"] == [{"Target": NETWORK, "Aliases": ["rank-0"]}]


@pytest.mark.parametrize(("path", "value", "expected"), SWARM_RANKS)
def test_rank_joins_no_other_way(path: str, value: Any, expected: str) -> None:
    assert expected in refusal(changed(path, value, SWARM_RANK))


def test_create_takes_a_network_and_credentials_only_for_the_stage_that_they_are_for() -> None:
    body = changed(INSIDE + "Image", PUSHED_EXCHANGE, changed(TASK + "Networks", [{"Target": "shop"}], SERVICE))
    body["TaskTemplate"]["ContainerSpec"]["Mounts"] = [FOLDER, TMP, CONNECTIONS]
    call = judge("POST", "/v1.45/services/create", json.dumps(body).encode(), LIMITS)
    assert call.network is None  # its name is one of the settings
    assert json.loads(call.body)["TaskTemplate"]["Networks"] == [{"Target": "shop"}]
    body["TaskTemplate"]["ContainerSpec"]["Mounts"][2] = {**CONNECTIONS, "ReadOnly": False}
    assert "ReadOnly" in refusal(body)


KNOWN = {
    "Image", "User", "Labels", "ReadOnly", "CapabilityDrop", "Privileges", "Mounts", "Args", "Env", "StopGracePeriod",
}  # fmt: skip


@given(st.text().filter(lambda name: name not in KNOWN), SAYS_SOMETHING)
def test_create_refuses_any_other_setting_of_a_container_that_says_something(name: str, value: Any) -> None:
    body = copy.deepcopy(SERVICE)
    body["TaskTemplate"]["ContainerSpec"][name] = value
    with pytest.raises(Refused, match="not set"):
        create(body)


def test_network_is_created_internal_with_our_label() -> None:
    call = judge("POST", "/v1.45/networks/create", json.dumps(NET).encode(), LIMITS)
    assert json.loads(call.body) == {
        "Name": NET["Name"],
        "Driver": "overlay",
        "Internal": True,
        "Labels": {"airflow-ml.data": "/srv/ml", LABEL: "airflow-ml"},
    }


@pytest.mark.parametrize(("key", "value"), NETWORKS)
def test_any_other_network_is_refused(key: str, value: Any) -> None:
    with pytest.raises(Refused, match=key):
        judge("POST", "/v1.45/networks/create", json.dumps({**NET, key: value}).encode(), LIMITS)


LOGS = "/v1.45/services/{}/logs?details=False&follow=False&stdout=True&stderr=False&since=0&timestamps=False&tail=all"


@pytest.mark.parametrize(
    ("method", "target", "subject"),
    [
        ("GET", "/v1.45/services/{}", "service"),
        ("DELETE", "/v1.45/services/{}", "service"),
        ("GET", LOGS, "service"),
        ("DELETE", "/v1.45/networks/{}", "network"),
    ],
)  # fmt: skip
def test_what_is_named_must_be_ours(method: str, target: str, subject: str) -> None:
    call = judge(method, target.format(ID), b"", LIMITS)
    assert getattr(call, subject) == ID
    for name in ("postgres", ID[:12], CONTAINER, ID.upper(), f"{ID}%2f"):
        with pytest.raises(Refused):
            judge(method, target.format(name), b"", LIMITS)


@pytest.mark.parametrize("path", ["/services", "/tasks", "/networks"])
def test_lists_hold_what_is_ours_alone(path: str) -> None:
    for query in ("", "?filters=%7B%22label%22%3A%20%5B%22airflow-ml.data%3Dx%22%5D%7D"):
        call = judge("GET", f"/v1.45{path}{query}", b"", LIMITS)
        assert "airflow-ml.proxy%3Dairflow-ml" in call.target
    with pytest.raises(Refused, match="not set"):
        judge("GET", f"/v1.45{path}?filters=%7B%22name%22%3A%20%5B%22x%22%5D%7D", b"", LIMITS)


@pytest.mark.parametrize("one", SWARM_REQUESTS, ids=lambda one: f"{one.method} {one.target}")
def test_anything_else_about_a_swarm_is_refused(one: Request) -> None:
    with pytest.raises(Refused):
        judge(one.method, one.target, b"", LIMITS)


@pytest.mark.parametrize("target", ["/services", "/nodes", "/tasks", f"/networks/{ID}", f"/services/{ID}"])
def test_stack_on_one_engine_lets_nothing_of_a_swarm_through(target: str) -> None:
    with pytest.raises(Refused, match="not on this proxy's list"):
        policy.judge("GET", f"/v1.45{target}", b"", LIMITS)
    with pytest.raises(Refused):
        policy.judge("POST", "/v1.45/services/create", json.dumps(copy.deepcopy(SERVICE)).encode(), LIMITS)


def test_service_or_network_is_ours_by_its_label() -> None:
    ours = {LABEL: "airflow-ml"}
    assert is_ours({"ID": ID, "Spec": {"Labels": ours}}, LIMITS)
    assert is_ours({"Id": ID, "IPAM": {}, "Labels": ours}, LIMITS)
    for labels in (None, {}, {LABEL: "other"}):
        assert not is_ours({"ID": ID, "Spec": {"Labels": labels}, "Labels": ours}, LIMITS)
        assert not is_ours({"Id": ID, "Labels": labels}, LIMITS)


def test_body_is_not_changed_by_the_check() -> None:
    body = copy.deepcopy(SERVICE)
    before = copy.deepcopy(body)
    create(body)
    assert body == before
