"""What the engine proxy lets through to the manager of a swarm and what it refuses, without an engine."""

import copy
import json
from typing import Any

import pytest
from docker.types import ContainerSpec, EndpointSpec, Mount, Resources, RestartPolicy, ServiceMode, TaskTemplate
from hypothesis import given
from hypothesis import strategies as st

import policy
from checks import Refused
from policy import LABEL, Limits, is_ours
from swarm import judge
from tests.engine_proxy.test_engine_proxy_policy import SAYS_SOMETHING

ID, NETWORK, CONTAINER = "abcdefghijklmnopqrstuvwxy", "0123456789abcdefghijklmno", "0123456789abcdef" * 4
IMAGE = "airflow-ml-generator:0a1b2c3d4e5f"
PUSHED = f"registry.example:5000/airflow-ml-generator@sha256:{CONTAINER}"
EXCHANGE = f"registry.example:5000/airflow-ml-exchange@sha256:{CONTAINER}"
LIMITS = Limits(
    "airflow-ml",
    data="/srv/ml",
    max_memory=4 << 30,
    networks={"exchange": frozenset({"shop"})},
    connections="secrets",
    images=frozenset({IMAGE}),
    pushed={PUSHED: IMAGE, EXCHANGE: "airflow-ml-exchange:1"},
)
DATA = {"Type": "bind", "Source": "/srv/ml", "Target": "/data"}
TMP = {"Type": "tmpfs", "Target": "/tmp"}  # noqa: S108 - the container's own
CREDENTIALS = {"Type": "volume", "Source": "secrets", "Target": "/run/connections", "ReadOnly": True}


def good(**change: Any) -> dict[str, Any]:
    """A body as the engine of the stages writes it, with the SDK; a dotted path, with `__` for dots, is replaced."""
    resources = Resources(mem_limit=1 << 30, mem_reservation=1 << 30, cpu_reservation=10**9)
    resources["Limits"]["Pids"] = 512
    template = TaskTemplate(
        ContainerSpec(
            PUSHED,
            args=["--ds", "2026-11-21"],
            env=["ML_RUN_ID=manual"],
            user="10001:10001",
            labels={"airflow-ml.dag": "generate_data"},
            mounts=[Mount("/data", "/srv/ml", type="bind"), Mount("/tmp", None, type="tmpfs")],  # noqa: S108
            stop_grace_period=2 * 10**9,
            read_only=True,
            cap_drop=["ALL"],
            privileges={"NoNewPrivileges": True},
        ),
        resources=resources,
        restart_policy=RestartPolicy("none"),
        placement=["node.labels.size==large"],
        networks=[NETWORK],
    )
    body = {
        "Name": "airflow-ml-0123456789abcdef",
        "Labels": {"airflow-ml.dag": "generate_data"},
        "TaskTemplate": template,
        "Mode": ServiceMode("replicated-job", replicas=1),
        "Networks": None,
        "EndpointSpec": EndpointSpec(mode="dnsrr"),
    }
    body = json.loads(json.dumps(body))
    for path, value in change.items():
        *parents, last = path.split("__")
        target = body
        for name in parents:
            target = target[name]
        target[last] = value
    return body


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
    call = judge("POST", "/v1.45/services/create", json.dumps(good()).encode(), LIMITS)
    assert (call.image, call.network) == (IMAGE, NETWORK)  # both are looked up before the engine gets the call
    written = json.loads(call.body)
    inside = written["TaskTemplate"]["ContainerSpec"]
    assert written["Labels"] == inside["Labels"] == {"airflow-ml.dag": "generate_data", LABEL: "airflow-ml"}
    assert inside["Mounts"] == [DATA, TMP]
    assert written["TaskTemplate"]["RestartPolicy"] == {"Condition": "none"}
    assert (inside["ReadOnly"], inside["CapabilityDrop"]) == (True, ["ALL"])
    assert written.keys() == {"Name", "Labels", "TaskTemplate", "Mode", "EndpointSpec"}


INSIDE, TASK = "TaskTemplate__ContainerSpec__", "TaskTemplate__"
# Key, value, and a part of the message beside both.
REFUSED_BODIES = [
    ("Name", "postgres", "airflow-ml-NAME"),
    ("Labels", {LABEL: "airflow-ml"}, "not airflow-ml.proxy"),
    ("Labels", {}, "not empty"),
    ("Mode", {"Replicated": {"Replicas": 1}}, "not set"),
    ("Mode", {"GlobalJob": {"a": 1}}, "not set"),
    ("Mode", {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1000}}, "a whole number from 1 to 1"),
    ("EndpointSpec", {"Mode": "vip"}, "dnsrr"),
    ("EndpointSpec", {"Mode": "dnsrr", "Ports": [{"TargetPort": 80, "PublishedPort": 80}]}, "not set"),
    ("Networks", [{"Target": "host"}], "not set"),
    ("UpdateConfig", {"Parallelism": 1}, "not set"),
    ("tasktemplate", {"a": 1}, "not set"),
    (TASK + "Runtime", "plugin", "not set"),
    (TASK + "PluginSpec", {"Remote": "evil"}, "not set"),
    (TASK + "NetworkAttachmentSpec", {"ContainerID": "x"}, "not set"),
    (TASK + "LogDriver", {"Name": "syslog"}, "not set"),
    (TASK + "ForceUpdate", 1, "not set"),
    (TASK + "RestartPolicy", {"Condition": "any"}, "none"),
    (TASK + "RestartPolicy", None, "an object"),
    (TASK + "Networks", [], "a list of 1 to 1"),
    (TASK + "Networks", [{"Target": NETWORK}, {"Target": "shop"}], "a list of 1 to 1"),
    (TASK + "Networks", [{"Target": "host"}], "a network created here"),
    (TASK + "Networks", [{"Target": "shop"}], "a network created here"),  # of another stage
    (TASK + "Networks", [{"Target": NETWORK, "Aliases": ["mlflow"]}], "not set"),
    (TASK + "Networks", [{"Target": NETWORK, "DriverOpts": {"a": "b"}}], "not set"),
    (TASK + "Placement", {"Constraints": ["engine.labels.x==y"]}, "node.NAME==VALUE"),
    (TASK + "Placement", {"Preferences": [{"Spread": {"SpreadDescriptor": "x"}}]}, "not set"),
    (TASK + "Resources", {"Limits": {"MemoryBytes": 8 << 30, "Pids": 512}}, "a whole number"),
    (TASK + "Resources", {"Limits": {"MemoryBytes": 1 << 30}}, "a whole number"),
    (TASK + "Resources", {"Limits": {"MemoryBytes": 1 << 30, "Pids": 1 << 20}}, "a whole number"),
    (TASK + "Resources", None, "an object"),
    (INSIDE + "Image", IMAGE, "by its name in the image registry"),
    (INSIDE + "Image", PUSHED.replace("0", "1"), "by its name in the image registry"),
    (INSIDE + "Image", None, "by its name in the image registry"),
    (INSIDE + "Command", ["/bin/sh"], "not set"),
    (INSIDE + "Args", "--help", "a list"),
    (INSIDE + "Env", ["LD_PRELOAD=/data/evil.so"], "ML_NAME=value"),
    (INSIDE + "User", "0:0", "UID:GID"),
    (INSIDE + "User", None, "UID:GID"),
    (INSIDE + "Labels", {"com.docker.swarm.x": "y"}, "airflow-ml.NAME"),
    (INSIDE + "ReadOnly", False, "true"),
    (INSIDE + "CapabilityDrop", ["NET_RAW"], '"ALL"'),
    (INSIDE + "CapabilityDrop", None, "a list"),
    (INSIDE + "CapabilityAdd", ["SYS_ADMIN"], "not set"),
    (INSIDE + "Privileges", {"NoNewPrivileges": False}, "true"),
    (INSIDE + "Privileges", None, "an object"),
    (INSIDE + "Privileges", {"NoNewPrivileges": True, "Seccomp": {"Mode": "unconfined"}}, "not set"),
    (INSIDE + "Privileges", {"NoNewPrivileges": True, "AppArmor": {"Mode": "disabled"}}, "not set"),
    (INSIDE + "Privileges", {"NoNewPrivileges": True, "SELinuxContext": {"Disable": True}}, "not set"),
    (INSIDE + "Sysctls", {"kernel.x": "1"}, "not set"),
    (INSIDE + "Hosts", ["10.0.0.1 mlflow"], "not set"),
    (INSIDE + "Secrets", [{"SecretID": "x"}], "not set"),
    (INSIDE + "Configs", [{"ConfigID": "x"}], "not set"),
    (INSIDE + "Groups", ["105"], "not set"),
    (INSIDE + "Isolation", "process", "not set"),
    (INSIDE + "Ulimits", [{"Name": "core", "Hard": -1}], "not set"),
    (INSIDE + "Hostname", "postgres", "not set"),
    (INSIDE + "StopGracePeriod", 10**12, "a whole number"),
    (INSIDE + "Mounts", [{**DATA, "Source": "/"}], '"/srv/ml"'),
    (INSIDE + "Mounts", [{**DATA, "Target": "/opt"}], '"/data"'),
    (INSIDE + "Mounts", [{**DATA, "Type": "volume"}], '"bind"'),
    (INSIDE + "Mounts", [{**DATA, "BindOptions": {"Propagation": "rshared"}}], "not set"),
    (INSIDE + "Mounts", [DATA, DATA], "each target once"),
    (INSIDE + "Mounts", [DATA, CREDENTIALS], '"bind"'),
    (INSIDE + "Mounts", [{**TMP, "Source": "/srv/ml"}], "not set"),
    (INSIDE + "Mounts", [{**TMP, "TmpfsOptions": {"Options": [["exec"]]}}], "not set"),
]


@pytest.mark.parametrize(("path", "value", "expected"), REFUSED_BODIES)
def test_create_refuses_and_names_the_key(path: str, value: Any, expected: str) -> None:
    found, _, expectation = refusal(good(**{path: value})).partition("; expected: ")
    assert found.startswith((path.replace("__", "."), f"a key of {path.replace('__', '.')}"))
    assert expected in expectation


def test_create_takes_a_network_and_credentials_only_for_the_stage_that_they_are_for() -> None:
    body = good(**{INSIDE + "Image": EXCHANGE, TASK + "Networks": [{"Target": "shop"}]})
    body["TaskTemplate"]["ContainerSpec"]["Mounts"] = [DATA, TMP, CREDENTIALS]
    call = judge("POST", "/v1.45/services/create", json.dumps(body).encode(), LIMITS)
    assert call.network is None  # its name is one of the settings
    assert json.loads(call.body)["TaskTemplate"]["Networks"] == [{"Target": "shop"}]
    body["TaskTemplate"]["ContainerSpec"]["Mounts"][2] = {**CREDENTIALS, "ReadOnly": False}
    assert "ReadOnly" in refusal(body)


KNOWN = {
    "Image", "User", "Labels", "ReadOnly", "CapabilityDrop", "Privileges", "Mounts", "Args", "Env", "StopGracePeriod",
}  # fmt: skip


@given(st.text().filter(lambda name: name not in KNOWN), SAYS_SOMETHING)
def test_create_refuses_any_other_setting_of_a_container_that_says_something(name: str, value: Any) -> None:
    body = good()
    body["TaskTemplate"]["ContainerSpec"][name] = value
    with pytest.raises(Refused, match="not set"):
        create(body)


NET: dict[str, Any] = {
    "Name": "airflow-ml-0123456789abcdef", "Driver": "overlay", "Options": None, "IPAM": None, "CheckDuplicate": None,
    "Labels": {"airflow-ml.data": "/srv/ml"}, "Internal": True,
}  # fmt: skip


def test_network_is_created_internal_with_our_label() -> None:
    call = judge("POST", "/v1.45/networks/create", json.dumps(NET).encode(), LIMITS)
    assert json.loads(call.body) == {
        "Name": NET["Name"],
        "Driver": "overlay",
        "Internal": True,
        "Labels": {"airflow-ml.data": "/srv/ml", LABEL: "airflow-ml"},
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Internal", False),
        ("Driver", "bridge"),
        ("Driver", "host"),
        ("Name", "ingress"),
        ("Attachable", True),
        ("Ingress", True),
        ("ConfigOnly", True),
        ("ConfigFrom", {"Network": "x"}),
        ("Options", {"encrypted": "", "com.docker.network.driver.mtu": "1"}),
        ("IPAM", {"Config": [{"Subnet": "10.0.0.0/8"}]}),
        ("EnableIPv6", True),
        ("Scope", "swarm"),
        ("Labels", {LABEL: "airflow-ml"}),
    ],
)
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


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /v1.45/swarm/leave?force=1",
        "POST /v1.45/swarm/init",
        "GET /v1.45/swarm",
        "GET /v1.45/swarm/unlockkey",
        "GET /v1.45/info",
        f"POST /v1.45/nodes/{ID}/update?version=1",
        f"DELETE /v1.45/nodes/{ID}?force=1",
        f"POST /v1.45/services/{ID}/update?version=1",
        f"GET /v1.45/tasks/{ID}/logs",
        f"GET /v1.45/services/{ID}/logs?follow=1",
        "GET /v1.45/secrets",
        "POST /v1.45/secrets/create",
        "GET /v1.45/configs",
        f"POST /v1.45/networks/{ID}/connect",
        f"GET /v1.45/networks/{ID}",
        "POST /v1.45/networks/prune",
        "POST /v1.45/containers/create",
        "GET /v1.45/containers/json",
        f"DELETE /v1.45/containers/{CONTAINER}",
        "GET /v1.43/services",
    ],
)
def test_anything_else_about_a_swarm_is_refused(request_line: str) -> None:
    method, _, target = request_line.partition(" ")
    with pytest.raises(Refused):
        judge(method, target, b"", LIMITS)


@pytest.mark.parametrize("target", ["/services", "/nodes", "/tasks", "/networks", f"/services/{ID}"])
def test_stack_on_one_engine_lets_nothing_of_a_swarm_through(target: str) -> None:
    with pytest.raises(Refused, match="not on this proxy's list"):
        policy.judge("GET", f"/v1.45{target}", b"", LIMITS)
    with pytest.raises(Refused):
        policy.judge("POST", "/v1.45/services/create", json.dumps(good()).encode(), LIMITS)


def test_service_or_network_is_ours_by_its_label() -> None:
    ours = {LABEL: "airflow-ml"}
    assert is_ours({"ID": ID, "Spec": {"Labels": ours}}, LIMITS)
    assert is_ours({"Id": ID, "IPAM": {}, "Labels": ours}, LIMITS)
    for labels in (None, {}, {LABEL: "other"}):
        assert not is_ours({"ID": ID, "Spec": {"Labels": labels}, "Labels": ours}, LIMITS)
        assert not is_ours({"Id": ID, "Labels": labels}, LIMITS)


def test_body_is_not_changed_by_the_check() -> None:
    body = good()
    before = copy.deepcopy(body)
    create(body)
    assert body == before
