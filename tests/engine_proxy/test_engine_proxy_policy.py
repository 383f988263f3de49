"""What the engine proxy lets through and what it refuses, without an engine."""

import copy
import json
from typing import Any

import pytest
from docker.types import ContainerConfig, HostConfig, LogConfig, Mount
from hypothesis import given
from hypothesis import strategies as st

from checks import Refused
from policy import LABEL, EngineCall, Limits, is_ours, judge, judge_image
from tests.attacks.bodies import (
    AMBIGUOUS,
    BRIDGE,
    BRIDGE_NET,
    BRIDGE_NETS,
    CONNECTIONS,
    CONTAINERS,
    CREDENTIALS,
    EXCHANGE,
    GOOD,
    IMAGE,
    MOUNTS,
    RANK,
    RANKS,
    VOLUME,
    changed,
)
from tests.attacks.bodies import OURS as ID
from tests.attacks.requests import OTHERS_REFUSED, PATHS, REQUESTS, Request

LIMITS = Limits("airflow-ml", data="data", max_memory=4 << 30)
FOLDER = Limits("airflow-ml", data="/srv/ml", max_memory=4 << 30)
API = "1.45"


def create(body: Any, limits: Limits = LIMITS) -> dict[str, Any]:
    """What the engine would be sent for a body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = judge("POST", "/v1.45/containers/create", content, limits)
    assert call.creates
    written: dict[str, Any] = json.loads(call.body)
    return written


def refusal(body: Any, limits: Limits = LIMITS) -> str:
    with pytest.raises(Refused) as refused:
        create(body, limits)
    return str(refused.value)


def test_create_passes_the_body_on_with_our_label() -> None:
    expected = copy.deepcopy(GOOD)
    expected["Labels"][LABEL] = "airflow-ml"
    del expected["HostConfig"]["Mounts"][0]["ReadOnly"]  # false says nothing
    assert create(GOOD) == expected


def test_create_passes_what_docker_py_sends_by_default() -> None:
    host = HostConfig(
        API,
        auto_remove=False,
        mounts=[Mount("/data", "data")],
        network_mode="none",
        cpu_shares=1024,
        port_bindings={},
        mem_limit="1g",
        memswap_limit="1g",
        privileged=False,
        log_config=LogConfig(config={"max-size": "10m"}),
        ulimits=[],
        pids_limit=512,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    config = ContainerConfig(
        API, IMAGE, ["--help"], user="1000:1000", ports=[], labels={"airflow-ml.dag": "d"}, environment={"ML_A": "b"},
        host_config=host,
    )  # fmt: skip
    written = create(config)
    assert written["HostConfig"]["CpuShares"] == 1024
    assert written["HostConfig"]["LogConfig"] == {"Config": {"max-size": "10m"}}
    assert "PortBindings" not in written["HostConfig"]


def test_create_takes_a_host_folder_as_data() -> None:
    mount = {"Type": "bind", "Source": "/srv/ml", "Target": "/data", "ReadOnly": True}
    assert create(changed("HostConfig.Mounts", [mount]), FOLDER)["HostConfig"]["Mounts"] == [mount]


def test_create_leaves_empty_values_out_even_where_empty_would_mean_something() -> None:
    # The engine reads an empty list of masked paths as "mask none", so it must not arrive there.
    assert "MaskedPaths" not in create(changed("HostConfig.MaskedPaths", []))["HostConfig"]


@pytest.mark.parametrize(("path", "value", "expected"), CONTAINERS)
def test_create_refuses_and_names_key_and_value(path: str, value: Any, expected: str) -> None:
    found, _, expectation = refusal(changed(path, value)).partition("; expected: ")
    assert found.startswith((path, f"a key of {path}"))
    if not isinstance(value, (list, dict)):
        assert found == f"{path} is {json.dumps(value)}"
    assert expected in expectation


@pytest.mark.parametrize("mounts", MOUNTS, ids=json.dumps)
def test_create_refuses_any_mount_but_the_data(mounts: Any) -> None:
    assert "HostConfig.Mounts" in refusal(changed("HostConfig.Mounts", mounts))


@pytest.mark.parametrize("source", ["/srv", "/srv/ml/", "/srv/ml/..", "/srv/ml/../../etc", "/srv/./ml", "srv/ml"])
def test_create_refuses_any_folder_but_the_data_folder(source: str) -> None:
    mount = {"Type": "bind", "Source": source, "Target": "/data"}
    assert "HostConfig.Mounts[0].Source" in refusal(changed("HostConfig.Mounts", [mount]), FOLDER)


@pytest.mark.parametrize(
    ("body", "expected"),
    AMBIGUOUS,
)
def test_create_refuses_a_body_that_can_be_read_in_two_ways(body: bytes, expected: str) -> None:
    message = refusal(body)
    assert expected in message or expected == "refused or too deep"


def test_create_takes_only_images_of_the_lock_where_there_is_one() -> None:
    assert create(GOOD, Limits("airflow-ml", "data", 4 << 30, images=frozenset({IMAGE})))["Image"] == IMAGE
    message = refusal(GOOD, Limits("airflow-ml", "data", 4 << 30, images=frozenset({"airflow-ml-training:1"})))
    assert IMAGE in message
    assert "./build_images.sh" in message


def test_create_takes_a_network_only_for_the_stage_that_it_is_listed_for() -> None:
    body = changed("HostConfig.NetworkMode", "airflow-ml_tracking")
    limits = Limits("airflow-ml", "data", 4 << 30, networks={"generator": frozenset({"airflow-ml_tracking"})})
    assert create(body, limits)["HostConfig"]["NetworkMode"] == "airflow-ml_tracking"
    assert "airflow-ml_tracking" in refusal(body)
    for image in ("airflow-ml-training:1", "airflow-ml-generator-x:1", "airflow-ml-x-generator:1"):
        assert "NetworkMode" in refusal({**body, "Image": image}, limits)


WITH_CREDENTIALS = Limits("airflow-ml", "data", 4 << 30, connections="secrets")


def exchange(*mounts: Any) -> dict[str, Any]:
    return changed("HostConfig.Mounts", list(mounts), EXCHANGE)


def test_create_lets_two_stages_alone_read_the_credentials() -> None:
    for mounts in ([VOLUME, CONNECTIONS], [CONNECTIONS, VOLUME], [CONNECTIONS]):
        for image in ("airflow-ml-exchange:1", "airflow-ml-registry:1"):
            body = {**exchange(*mounts), "Image": image}
            assert create(body, WITH_CREDENTIALS)["HostConfig"]["Mounts"] == mounts
    for image in (IMAGE, "airflow-ml-registry-2:1", "airflow-ml-exchange-2:1"):
        assert "HostConfig.Mounts" in refusal({**exchange(VOLUME, CONNECTIONS), "Image": image}, WITH_CREDENTIALS)
        assert "HostConfig.Mounts" in refusal({**exchange(CONNECTIONS), "Image": image}, WITH_CREDENTIALS)
    assert "HostConfig.Mounts" in refusal(exchange(CONNECTIONS))  # an installation without such a volume


@pytest.mark.parametrize("mounts", CREDENTIALS, ids=json.dumps)
def test_create_refuses_any_other_way_to_the_credentials(mounts: Any) -> None:
    assert "HostConfig.Mounts" in refusal(exchange(*mounts), WITH_CREDENTIALS)


LEAF = st.one_of(st.integers().filter(bool), st.text(min_size=1), st.just(True), st.floats(0.1, 1e9))
SAYS_SOMETHING = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(st.text(), inner, min_size=1, max_size=3)
    ),
    max_leaves=4,
)
KNOWN = {
    "NetworkMode", "ReadonlyRootfs", "CapDrop", "SecurityOpt", "Memory", "MemorySwap", "PidsLimit", "Mounts", "Tmpfs",
    "CpuShares", "NanoCpus", "LogConfig",
}  # fmt: skip


@given(st.text().filter(lambda name: name not in KNOWN), SAYS_SOMETHING)
def test_create_refuses_any_other_host_setting_that_says_something(name: str, value: Any) -> None:
    with pytest.raises(Refused, match="not set"):
        create({**GOOD, "HostConfig": {**GOOD["HostConfig"], name: value}})


@given(st.sampled_from(sorted(KNOWN)).flatmap(lambda name: st.tuples(st.just(name), SAYS_SOMETHING)))
def test_create_never_forwards_a_host_setting_that_no_check_knows(setting: tuple[str, Any]) -> None:
    name, value = setting
    try:
        written = create({**GOOD, "HostConfig": {**GOOD["HostConfig"], name: value}})["HostConfig"]
    except Refused:
        return
    assert written.keys() <= KNOWN
    assert written["NetworkMode"] == "none"
    assert written["CapDrop"] == ["ALL"]
    assert written["ReadonlyRootfs"] is True
    assert all(mount["Source"] == "data" and mount["Target"] == "/data" for mount in written.get("Mounts", []))


def test_rank_of_a_training_joins_a_network_that_was_created_here() -> None:
    call = judge("POST", "/v1.45/containers/create", json.dumps(RANK).encode(), LIMITS)
    assert call.network == BRIDGE  # it is looked up before the engine gets the call
    written = json.loads(call.body)
    assert written["HostConfig"]["NetworkMode"] == BRIDGE
    assert written["NetworkingConfig"] == {"EndpointsConfig": {BRIDGE: {"Aliases": ["rank-0"]}}}
    assert judge("POST", "/v1.45/containers/create", json.dumps(GOOD).encode(), LIMITS).network is None


@pytest.mark.parametrize(("path", "value", "expected"), RANKS)
def test_rank_joins_no_other_way(path: str, value: Any, expected: str) -> None:
    assert expected in refusal(changed(path, value, RANK))


def test_network_of_ranks_leads_nowhere_and_has_our_label() -> None:
    call = judge("POST", "/v1.45/networks/create", json.dumps(BRIDGE_NET).encode(), LIMITS)
    kept = {key: value for key, value in BRIDGE_NET.items() if value is not None}
    assert json.loads(call.body) == {**kept, "Labels": {"airflow-ml.data": "data", LABEL: "airflow-ml"}}
    assert "airflow-ml.proxy%3Dairflow-ml%22" in judge("GET", "/networks", b"", LIMITS).target
    assert judge("DELETE", f"/v1.45/networks/{BRIDGE}", b"", LIMITS).network == BRIDGE


@pytest.mark.parametrize(("key", "value"), BRIDGE_NETS)
def test_any_other_network_is_refused(key: str, value: Any) -> None:
    with pytest.raises(Refused, match=key):
        judge("POST", "/v1.45/networks/create", json.dumps({**BRIDGE_NET, key: value}).encode(), LIMITS)


ALLOWED = [
    ("GET", "/_ping"),
    ("GET", "/version"),
    ("GET", "/v1.45/version"),
    ("GET", f"/v1.45/images/{IMAGE}/json"),
    ("POST", f"/v1.45/containers/{ID}/start"),
    ("POST", f"/v1.45/containers/{ID}/wait"),
    ("POST", f"/v1.45/containers/{ID}/stop?t=2"),
    ("POST", f"/v1.45/containers/{ID}/kill?signal=SIGTERM"),
    ("GET", f"/v1.45/containers/{ID}/json"),
    ("GET", f"/v1.45/containers/{ID}/logs?stdout=1&stderr=1&follow=1&timestamps=0&tail=all"),
    ("DELETE", f"/v1.45/containers/{ID}?v=False&link=False&force=True"),
]


@pytest.mark.parametrize(("method", "target"), ALLOWED)
def test_judge_lets_through_what_the_operator_asks(method: str, target: str) -> None:
    call = judge(method, target, b"", LIMITS)
    path, _, query = call.target.partition("?")
    assert (call.method, path) == (method, target.partition("?")[0])
    assert sorted(query.split("&")) == sorted(target.partition("?")[2].split("&"))
    assert (call.container == ID) == ("/containers/" in target)


def test_judge_marks_an_attach_as_a_stream() -> None:
    target = f"/v1.45/containers/{ID}/attach?stdout=1&stderr=1&stream=1"
    assert judge("POST", target, b"", LIMITS) == EngineCall("POST", target, container=ID, attaches=True)


def test_judge_asks_for_one_image_of_ours_only() -> None:
    target = "/v1.45/images/json?only_ids=0&all=0&filters=%7B%22reference%22%3A%20%5B%22{}%22%5D%7D"
    assert "airflow-ml-generator%3A0a1b2c3d4e5f" in judge("GET", target.format(IMAGE), b"", LIMITS).target
    for other in ("postgres:17", "airflow-ml-*", "*"):
        with pytest.raises(Refused, match="reference"):
            judge("GET", target.format(other), b"", LIMITS)
    with pytest.raises(Refused, match="filters is null"):
        judge("GET", "/v1.45/images/json", b"", LIMITS)


@pytest.mark.parametrize("query", ["", "?all=1", "?all=1&filters=%7B%22label%22%3A%5B%22airflow-ml.dag%3Dd%22%5D%7D"])
def test_judge_adds_our_label_to_a_list_of_containers(query: str) -> None:
    assert "airflow-ml.proxy%3Dairflow-ml%22" in judge("GET", "/containers/json" + query, b"", LIMITS).target


@pytest.mark.parametrize("one", [*REQUESTS, *PATHS, *OTHERS_REFUSED], ids=lambda one: f"{one.method} {one.target}")
def test_judge_refuses_what_no_operator_needs(one: Request) -> None:
    body = json.dumps(GOOD).encode() if one.body is GOOD else b""
    with pytest.raises(Refused) as refused:
        judge(one.method, one.target, body, LIMITS)
    assert refused.value.status in (400, 403)


def test_judge_refuses_a_body_where_none_belongs() -> None:
    # Old engines took a HostConfig in the body of a start.
    with pytest.raises(Refused, match="has a body"):
        judge("POST", f"/v1.45/containers/{ID}/start", b'{"Privileged": true}', LIMITS)


def test_judge_says_how_to_get_an_image_instead_of_pulling() -> None:
    with pytest.raises(Refused, match=r"\./build_images\.sh"):
        judge("POST", "/v1.45/images/create?fromImage=airflow-ml-generator&tag=1", b"", LIMITS)


@pytest.mark.parametrize(
    "entrypoint",
    [None, [], ["/usr/bin/tini", "--", "python"], ["sh", "-c"], ["python", "/opt/stage/../../data/x.py"],
     ["python", "/opt/service/engine_proxy.py"]],
)  # fmt: skip
def test_image_refused_whose_entry_point_is_no_stage(entrypoint: Any) -> None:
    with pytest.raises(Refused, match="entry point"):
        judge_image(IMAGE, {"Config": {"Entrypoint": entrypoint}})


def test_image_taken_whose_entry_point_is_a_stage() -> None:
    judge_image(IMAGE, {"Config": {"Entrypoint": ["/usr/bin/tini", "--", "python", "/opt/stage/generator.py"]}})


@pytest.mark.parametrize("labels", [None, {}, {"airflow-ml.dag": "d"}, {LABEL: "airflow-ml-2"}, {LABEL: "1"}])
def test_container_is_not_ours_without_our_label(labels: Any) -> None:
    assert not is_ours({"Config": {"Labels": labels}}, LIMITS)
