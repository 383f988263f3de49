"""What the engine proxy lets through and what it refuses, without an engine."""

import copy
import json
from typing import Any

import pytest
from docker.types import ContainerConfig, HostConfig, LogConfig, Mount
from hypothesis import given
from hypothesis import strategies as st

from checks import Refused
from policy import LABEL, Call, Limits, is_ours, judge, judge_image

ID = "0123456789abcdef" * 4
IMAGE = "airflow-ml-generator:0a1b2c3d4e5f"
LIMITS = Limits("airflow-ml", data="data", max_memory=4 << 30)
FOLDER = Limits("airflow-ml", data="/srv/ml", max_memory=4 << 30)
API = "1.45"

GOOD: dict[str, Any] = {
    "Image": IMAGE,
    "User": "10001:10001",
    "Cmd": ["--ds", "2026-11-21"],
    "Env": ["ML_RUN_ID=manual__2026-11-21T00:00:00+00:00"],
    "Labels": {"airflow-ml.dag": "generate_data"},
    "HostConfig": {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Memory": 1 << 30,
        "MemorySwap": 1 << 30,
        "PidsLimit": 512,
        "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data", "ReadOnly": False}],
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev"},  # noqa: S108 - the container's own
    },
}


def create(body: Any, limits: Limits = LIMITS) -> dict[str, Any]:
    """What the engine would be sent for a body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = judge("POST", "/v1.45/containers/create", content, limits)
    assert call.creates
    written: dict[str, Any] = json.loads(call.body)
    return written


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good body with the value at a dotted path replaced."""
    body = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    target = body
    for name in parents:
        target = target[name]
    target[last] = value
    return body


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


HOST = "HostConfig."
# Key, value, and a part of the message beside both.
REFUSED_BODIES = [
    ("Image", "alpine:3", "airflow-ml-STAGE:TAG"),
    ("Image", "airflow-ml-generator", "airflow-ml-STAGE:TAG"),
    ("Image", "airflow-ml-generator:latest", "other than latest"),
    ("Image", "evil.example/airflow-ml-generator:1", "airflow-ml-STAGE:TAG"),
    ("Image", "airflow-ml-generator:1\n", "airflow-ml-STAGE:TAG"),
    ("Image", "sha256:" + ID, "airflow-ml-STAGE:TAG"),
    ("User", "", "UID:GID"),
    ("User", "root", "UID:GID"),
    ("User", "0:0", "UID:GID"),
    ("User", "10001", "UID:GID"),
    ("User", "10001:0", "UID:GID"),
    ("User", "0010001:1", "UID:GID"),
    ("User", 10001, "UID:GID"),
    ("User", "٣:٣", "UID:GID"),
    ("Entrypoint", ["/bin/sh", "-c"], "not set"),
    ("Labels", {}, "not empty"),
    ("Labels", {"com.docker.compose.project": "x"}, "airflow-ml.NAME"),
    ("Labels", {LABEL: "airflow-ml"}, "not airflow-ml.proxy"),
    ("Cmd", "--help", "a list"),
    ("Cmd", ["a\0b"], "text"),
    ("Cmd", ["\ud800"], "text"),
    ("Env", ["LD_PRELOAD=/data/evil.so"], "ML_NAME=value"),
    ("Env", ["PYTHONPATH=/data"], "ML_NAME=value"),
    ("Env", ["ML_IMAGE"], "ML_NAME=value"),
    ("WorkingDir", "/data", "not set"),
    ("Volumes", {"/data": {}, "/x": {"a": 1}}, "not set"),
    ("ExposedPorts", {"80/tcp": {"a": 1}}, "not set"),
    ("OpenStdin", True, "not set"),
    ("Tty", True, "not set"),
    ("Hostname", "postgres", "not set"),
    ("MacAddress", "02:42:ac:11:00:02", "not set"),
    ("Runtime", "runc", "not set"),
    ("StopSignal", "SIGKILL", "not set"),
    ("Healthcheck", {"Test": ["CMD", "sh"]}, "not set"),
    ("Shell", ["/bin/sh"], "not set"),
    ("OnBuild", ["RUN x"], "not set"),
    ("NetworkingConfig", {"EndpointsConfig": {"other": {"Aliases": ["postgres"]}}}, "not set"),
    ("hostconfig", {"Privileged": True}, "not set"),
    ("HOSTCONFIG", {"Privileged": True}, "not set"),
    ("HoſtConfig", {"Privileged": True}, "not set"),  # Go folds the long s to s
    ("entrypoint", ["/bin/sh"], "not set"),
    (HOST + "privileged", True, "not set"),
    (HOST + "binds", ["/:/host"], "not set"),
    (HOST + "memory", 1 << 40, "not set"),
    (HOST + "Privileged", True, "not set"),
    (HOST + "Binds", ["/:/host"], "not set"),
    (HOST + "Binds", ["data:/data"], "not set"),
    (HOST + "CapAdd", ["SYS_ADMIN"], "not set"),
    (HOST + "CapDrop", ["NET_RAW"], '"ALL"'),
    (HOST + "CapDrop", None, "a list"),
    (HOST + "Devices", [{"PathOnHost": "/dev/sda"}], "not set"),
    (HOST + "DeviceRequests", [{"Count": -1}], "not set"),
    (HOST + "DeviceCgroupRules", ["a *:* rwm"], "not set"),
    (HOST + "SecurityOpt", ["no-new-privileges", "seccomp=unconfined"], "a list of 1 to 1"),
    (HOST + "SecurityOpt", ["apparmor=unconfined"], "no-new-privileges"),
    (HOST + "SecurityOpt", ["no-new-privileges=false"], "no-new-privileges"),
    (HOST + "SecurityOpt", [], "a list"),
    (HOST + "NetworkMode", "host", '"none"'),
    (HOST + "NetworkMode", "container:" + ID, '"none"'),
    (HOST + "NetworkMode", "default", '"none"'),
    (HOST + "NetworkMode", "bridge", '"none"'),
    (HOST + "NetworkMode", "", '"none"'),
    (HOST + "PidMode", "host", "not set"),
    (HOST + "IpcMode", "host", "not set"),
    (HOST + "UTSMode", "host", "not set"),
    (HOST + "UsernsMode", "host", "not set"),
    (HOST + "CgroupnsMode", "host", "not set"),
    (HOST + "Cgroup", "container:x", "not set"),
    (HOST + "CgroupParent", "/", "not set"),
    (HOST + "Runtime", "other", "not set"),
    (HOST + "Isolation", "process", "not set"),
    (HOST + "VolumesFrom", ["postgres"], "not set"),
    (HOST + "VolumeDriver", "local", "not set"),
    (HOST + "Links", ["postgres:db"], "not set"),
    (HOST + "ExtraHosts", ["mlflow:10.0.0.1"], "not set"),
    (HOST + "Dns", ["10.0.0.1"], "not set"),
    (HOST + "PortBindings", {"80/tcp": [{"HostPort": "80"}]}, "not set"),
    (HOST + "PublishAllPorts", True, "not set"),
    (HOST + "Sysctls", {"kernel.shm_rmid_forced": "0"}, "not set"),
    (HOST + "Ulimits", [{"Name": "core", "Hard": -1}], "not set"),
    (HOST + "GroupAdd", ["105"], "not set"),
    (HOST + "OomKillDisable", True, "not set"),
    (HOST + "OomScoreAdj", -1000, "not set"),
    (HOST + "ShmSize", 1 << 40, "not set"),
    (HOST + "StorageOpt", {"size": "1t"}, "not set"),
    (HOST + "AutoRemove", True, "not set"),
    (HOST + "RestartPolicy", {"Name": "always"}, "not set"),
    (HOST + "MaskedPaths", ["/x"], "not set"),
    (HOST + "ReadonlyPaths", ["/x"], "not set"),
    (HOST + "ContainerIDFile", "/etc/passwd", "not set"),
    (HOST + "Annotations", {"a": "b"}, "not set"),
    (HOST + "ReadonlyRootfs", False, "true"),
    (HOST + "ReadonlyRootfs", 1, "true"),
    (HOST + "Memory", None, "a whole number"),
    (HOST + "Memory", 0, "a whole number"),
    (HOST + "Memory", -1, "a whole number"),
    (HOST + "Memory", (4 << 30) + 1, "a whole number"),
    (HOST + "Memory", 1e9, "a whole number"),
    (HOST + "Memory", True, "a whole number"),
    (HOST + "MemorySwap", -1, "a whole number"),
    (HOST + "MemorySwap", 2 << 30, "no swap"),
    (HOST + "PidsLimit", 0, "a whole number"),
    (HOST + "PidsLimit", -1, "a whole number"),
    (HOST + "PidsLimit", 1 << 20, "a whole number"),
    (HOST + "CpuShares", 1 << 18, "a whole number"),
    (HOST + "Tmpfs", {"/opt/stage": "rw"}, '"/tmp"'),
    (HOST + "Tmpfs", {"/tmp": "size=1g,mpol=bind:0"}, "options"),  # noqa: S108
    (HOST + "LogConfig", {"Type": "syslog", "Config": {"syslog-address": "tcp://10.0.0.1"}}, "json-file"),
    (HOST + "LogConfig", {"Config": {"tag": "x"}}, "not set"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), REFUSED_BODIES)
def test_create_refuses_and_names_key_and_value(path: str, value: Any, expected: str) -> None:
    found, _, expectation = refusal(changed(path, value)).partition("; expected: ")
    assert found.startswith((path, f"a key of {path}"))
    if not isinstance(value, (list, dict)):
        assert found == f"{path} is {json.dumps(value)}"
    assert expected in expectation


VOLUME = {"Type": "volume", "Source": "data", "Target": "/data"}
REFUSED_MOUNTS = [
    [{**VOLUME, "Source": "other"}],
    [{**VOLUME, "Source": ""}],
    [{**VOLUME, "Target": "/"}],
    [{**VOLUME, "Target": "/opt/stage"}],
    [{**VOLUME, "Type": "bind"}],
    [{"Type": "bind", "Source": "/", "Target": "/data"}],
    [{"Type": "bind", "Source": "/var/run/docker.sock", "Target": "/data"}],
    [{"Type": "tmpfs", "Target": "/data"}],
    [{**VOLUME, "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"o": "bind", "device": "/"}}}}],
    [{**VOLUME, "VolumeOptions": {"Subpath": "../.."}}],
    [{**VOLUME, "BindOptions": {"Propagation": "rshared"}}],
    [{**VOLUME, "source": "/"}],
    [VOLUME, VOLUME],
    "data:/data",
]


@pytest.mark.parametrize("mounts", REFUSED_MOUNTS, ids=json.dumps)
def test_create_refuses_any_mount_but_the_data(mounts: Any) -> None:
    assert "HostConfig.Mounts" in refusal(changed("HostConfig.Mounts", mounts))


@pytest.mark.parametrize("source", ["/srv", "/srv/ml/", "/srv/ml/..", "/srv/ml/../../etc", "/srv/./ml", "srv/ml"])
def test_create_refuses_any_folder_but_the_data_folder(source: str) -> None:
    mount = {"Type": "bind", "Source": source, "Target": "/data"}
    assert "HostConfig.Mounts[0].Source" in refusal(changed("HostConfig.Mounts", [mount]), FOLDER)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not JSON"),
        (b"[]", "expected: an object"),
        (b"null", "expected: an object"),
        (b"{} {}", "not JSON"),
        (b'{"Image": "a", "Image": "b"}', '"Image" appears twice'),
        (b'{"HostConfig": {"Memory": 1, "Memory": 2}}', '"Memory" appears twice'),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "refused or too deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
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


CONNECTIONS = {"Type": "volume", "Source": "secrets", "Target": "/run/connections", "ReadOnly": True}
EXCHANGE = Limits("airflow-ml", "data", 4 << 30, connections="secrets")


def exchange(*mounts: Any) -> dict[str, Any]:
    return {**changed("HostConfig.Mounts", list(mounts)), "Image": "airflow-ml-exchange:0a1b2c3d4e5f"}


def test_create_lets_exchange_alone_read_the_credentials() -> None:
    for mounts in ([VOLUME, CONNECTIONS], [CONNECTIONS, VOLUME], [CONNECTIONS]):
        assert create(exchange(*mounts), EXCHANGE)["HostConfig"]["Mounts"] == mounts
    for image in (IMAGE, "airflow-ml-registry:1", "airflow-ml-exchange-2:1"):
        assert "HostConfig.Mounts" in refusal({**exchange(VOLUME, CONNECTIONS), "Image": image}, EXCHANGE)
        assert "HostConfig.Mounts" in refusal({**exchange(CONNECTIONS), "Image": image}, EXCHANGE)
    assert "HostConfig.Mounts" in refusal(exchange(CONNECTIONS))  # an installation without such a volume


WRONG_CONNECTIONS = [
    [VOLUME, {**CONNECTIONS, "ReadOnly": False}],
    [VOLUME, {key: value for key, value in CONNECTIONS.items() if key != "ReadOnly"}],
    [VOLUME, {**CONNECTIONS, "Source": "data"}],
    [VOLUME, {**CONNECTIONS, "Source": "other"}],
    [VOLUME, {**CONNECTIONS, "Type": "bind", "Source": "/run/secrets"}],
    [VOLUME, {**CONNECTIONS, "Target": "/run/connections/"}],
    [VOLUME, {**CONNECTIONS, "Target": "/run"}],
    [VOLUME, {**CONNECTIONS, "Target": "/data"}],
    [VOLUME, {**CONNECTIONS, "VolumeOptions": {"Subpath": ".."}}],
    [{**VOLUME, "Source": "secrets"}, CONNECTIONS],
    [CONNECTIONS, CONNECTIONS],
    [VOLUME, VOLUME],
    [VOLUME, CONNECTIONS, VOLUME],
]


@pytest.mark.parametrize("mounts", WRONG_CONNECTIONS, ids=json.dumps)
def test_create_refuses_any_other_way_to_the_credentials(mounts: Any) -> None:
    assert "HostConfig.Mounts" in refusal(exchange(*mounts), EXCHANGE)


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
    assert judge("POST", target, b"", LIMITS) == Call("POST", target, container=ID, attaches=True)


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


REFUSED_REQUESTS = [
    ("POST", "/v1.45/images/create?fromImage=alpine&tag=3"),
    ("POST", "/v1.45/images/load"),
    ("DELETE", f"/v1.45/images/{IMAGE}"),
    ("POST", "/v1.45/images/airflow-ml-generator/push"),
    ("POST", f"/v1.45/images/{IMAGE}/tag?repo=x"),
    ("GET", "/v1.45/images/postgres:17/json"),
    ("GET", "/v1.45/images/airflow-ml-generator:latest/json"),
    ("GET", f"/v1.45/images/{IMAGE}/get"),
    ("POST", "/v1.45/images/prune"),
    ("POST", "/v1.45/build"),
    ("POST", "/v1.45/commit?container=" + ID),
    ("POST", f"/v1.45/containers/{ID}/exec"),
    ("POST", f"/v1.45/exec/{ID}/start"),
    ("GET", f"/v1.45/containers/{ID}/archive?path=/etc"),
    ("PUT", f"/v1.45/containers/{ID}/archive?path=/"),
    ("GET", f"/v1.45/containers/{ID}/export"),
    ("POST", f"/v1.45/containers/{ID}/update"),
    ("POST", f"/v1.45/containers/{ID}/rename?name=postgres"),
    ("POST", f"/v1.45/containers/{ID}/restart"),
    ("GET", f"/v1.45/containers/{ID}/attach/ws"),
    ("GET", "/v1.45/containers/postgres/json"),
    ("GET", f"/v1.45/containers/{ID[:12]}/json"),
    ("GET", f"/v1.45/containers/{ID.upper()}/json"),
    ("POST", "/v1.45/containers/prune"),
    ("POST", "/v1.45/containers/create?name=postgres"),
    ("POST", "/v1.45/containers/create?platform=linux/arm64"),
    ("GET", "/v1.45/info"),
    ("GET", "/v1.45/events"),
    ("GET", "/v1.45/system/df"),
    ("POST", "/v1.45/auth"),
    ("GET", "/v1.45/volumes"),
    ("POST", "/v1.45/volumes/create"),
    ("DELETE", "/v1.45/volumes/data"),
    ("GET", "/v1.45/networks"),
    ("POST", "/v1.45/networks/create"),
    ("POST", "/v1.45/networks/none/connect"),
    ("POST", "/v1.45/swarm/init"),
    ("GET", "/v1.45/secrets"),
    ("POST", "/v1.45/services/create"),
    ("POST", "/v1.45/plugins/pull"),
    ("POST", "/v1.45/session"),
    ("POST", "/v1.45/grpc"),
    ("PUT", f"/v1.45/containers/{ID}/start"),
    ("HEAD", "/_ping"),
    ("OPTIONS", "*"),
    ("CONNECT", "docker:2375"),
    ("GET", "http://docker/version"),
    ("GET", "//version"),
    ("GET", "/v1.45//version"),
    ("GET", "/version/"),
    ("GET", "/version#x"),
    ("GET", "/%76ersion"),
    ("GET", "/v1.45/../version"),
    ("GET", f"/v1.45/containers/{ID}/json/../../../info"),
    ("POST", f"/v1.45/containers/{ID}%2fexec%2f../start"),
    ("POST", f"/v1.45/containers/{ID}/%2e%2e/create"),
    ("GET", "/V1.45/version"),
    ("GET", "/v1.24/version"),
    ("GET", "/v1.45/v1.45/version"),
    ("POST", f"/v1.45/containers/{ID}/start?detachKeys=x"),
    ("POST", f"/v1.45/containers/{ID}/stop?t=1&t=2"),
    ("POST", f"/v1.45/containers/{ID}/stop?t=1;t=2"),
    ("POST", f"/v1.45/containers/{ID}/stop?T=1"),
    ("POST", f"/v1.45/containers/{ID}/attach?stdin=1"),
    ("GET", "/v1.45/containers/json?filters=%7B%22volume%22%3A%5B%22x%22%5D%7D"),
    ("GET", "/v1.45/containers/json?filters=%7B%22label%22%3A%7B%22x%22%3Atrue%7D%7D"),
    ("GET", "/v1.45/containers/json?size=1"),
]


@pytest.mark.parametrize(("method", "target"), REFUSED_REQUESTS)
def test_judge_refuses_what_no_operator_needs(method: str, target: str) -> None:
    body = json.dumps(GOOD).encode() if "/create?" in target and "containers" in target else b""
    with pytest.raises(Refused) as refused:
        judge(method, target, body, LIMITS)
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
