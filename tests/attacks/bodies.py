"""Bodies of create requests: one of each kind that the engine proxy lets through, and all ways to harm with one.

A row changes one value of the good body: its dotted path, the value, and a part of the message that refuses it.
"""

import copy
import json
from typing import Any

from docker.types import ContainerSpec, EndpointSpec, Mount, Resources, RestartPolicy, ServiceMode, TaskTemplate

LABEL = "airflow-ml.proxy"
IMAGE = "airflow-ml-generator:0a1b2c3d4e5f"
EXCHANGE_IMAGE = "airflow-ml-exchange:0a1b2c3d4e5f"
TRAINING_IMAGE = "airflow-ml-training:0a1b2c3d4e5f"
# Ids that the lab replaces by those of real things, of the same length: a container that the proxy created, one of
# somebody else's, a process in that one, the stage's image; a network, ours and others'; of a swarm a service and a
# network, ours and others'.
OURS, OTHER, EXEC, IMAGE_ID = "0123456789abcdef" * 4, "fedcba9876543210" * 4, "e" * 64, "1" * 64
BRIDGE, OTHER_BRIDGE = "b" * 64, "a" * 64
SERVICE_ID, OTHER_SERVICE = "ours" + "s" * 21, "other" + "s" * 20
NETWORK, OTHER_NETWORK = "ourn" + "n" * 21, "othern" + "n" * 19
# Where a swarm's stages come from.
DIGEST = "d" * 64
PUSHED = f"registry.example:5000/airflow-ml-generator@sha256:{DIGEST}"
PUSHED_TRAINING = f"registry.example:5000/airflow-ml-training@sha256:{DIGEST}"
PUSHED_EXCHANGE = f"registry.example:5000/airflow-ml-exchange@sha256:{DIGEST}"

# --- a container ---

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


def changed(path: str, value: Any, good: dict[str, Any] = GOOD) -> dict[str, Any]:
    """A good body with the value at a dotted path replaced."""
    body = copy.deepcopy(good)
    *parents, last = path.split(".")
    target = body
    for name in parents:
        target = target[name]
    target[last] = value
    return body


HOST = "HostConfig."
CONTAINERS = [
    ("Image", "other:1", "airflow-ml-STAGE:TAG"),
    ("Image", "airflow-ml-generator", "airflow-ml-STAGE:TAG"),
    ("Image", "airflow-ml-generator:latest", "other than latest"),
    ("Image", "evil.example/airflow-ml-generator:1", "airflow-ml-STAGE:TAG"),
    ("Image", "airflow-ml-generator:1\n", "airflow-ml-STAGE:TAG"),
    ("Image", "sha256:" + IMAGE_ID, "airflow-ml-STAGE:TAG"),
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
    (HOST + "NetworkMode", "container:" + OTHER, '"none"'),
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
    (HOST + "VolumesFrom", ["other"], "not set"),
    (HOST + "VolumeDriver", "local", "not set"),
    (HOST + "Links", ["other:db"], "not set"),
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
VOLUME = {"Type": "volume", "Source": "data", "Target": "/data"}
MOUNTS = [
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
CONNECTIONS = {"Type": "volume", "Source": "secrets", "Target": "/run/connections", "ReadOnly": True}
EXCHANGE: dict[str, Any] = {**GOOD, "Image": EXCHANGE_IMAGE}
# Of the stage that may read credentials: every way to them but the one.
CREDENTIALS = [
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
# Bodies that two programs may read differently, and a part of the message.
AMBIGUOUS = [
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
]


def with_key(key: str, value: Any, where: str) -> bytes:
    """The good body with one more key, as JSON writes it, at the end of its object."""
    more = f', "{key}": {json.dumps(value)}}}'
    whole, host = json.dumps(GOOD), json.dumps(GOOD["HostConfig"])
    return (whole.replace(host, host[:-1] + more) if where else whole[:-1] + more).encode()


# A key that a good body has, once more or in a spelling that the engine takes for the same; of which object it is.
TWO_KEYS = [
    ("Image", "other:1", ""),
    ("User", "0:0", ""),
    ("HostConfig", {"Privileged": True}, ""),
    ("hostConfig", {"Privileged": True}, ""),
    ("HOSTCONFIG", {"Privileged": True}, ""),
    ("Ho\u017ftConfig", {"Privileged": True}, ""),
    ("\\u0048ostConfig", {"Privileged": True}, ""),
    ("u\u017fer", "0:0", ""),
    ("image", "other:1", ""),
    ("entrypoint", ["/bin/sh"], ""),
    ("cmd", ["x"], ""),
    ("env", ["LD_PRELOAD=x"], ""),
    ("labels", {LABEL: "another"}, ""),
    ("NetworkMode", "host", HOST),
    ("networkmode", "host", HOST),
    ("networ\u212amode", "host", HOST),
    ("PRIVILEGED", True, HOST),
    ("bind\u017f", ["/:/host"], HOST),
    ("mounts", [{"Type": "bind", "Source": "/", "Target": "/x"}], HOST),
    ("capadd", ["ALL"], HOST),
    ("capdrop", ["NET_RAW"], HOST),
    ("securityopt", ["seccomp=unconfined"], HOST),
    ("memory", 1 << 40, HOST),
    ("pidslimit", -1, HOST),
    ("readonlyrootfs", 1, HOST),
]
# An empty value of a key that is not on the list says nothing and is left out, also where the engine reads it as
# something: the container is as confined as any.
EMPTY = [
    (HOST + "MaskedPaths", []),
    (HOST + "ReadonlyPaths", []),
    (HOST + "readonlyrootfs", False),
    (HOST + "networkmode", ""),
    (HOST + "capdrop", []),
    (HOST + "securityopt", []),
    (HOST + "memory", 0),
    (HOST + "OomKillDisable", False),
    ("entrypoint", []),
    ("Entrypoint", [""]),
    ("user", ""),
    ("labels", {}),
    ("NetworkDisabled", False),
    ("networkingconfig", {"EndpointsConfig": {"other": {}}}),
    ("NetworkingConfig", {"EndpointsConfig": {"other": {}}}),
]

# In the image lock, but what it starts is no stage: its arguments would be any code at all.
NO_STAGE = {**GOOD, "Image": "airflow-ml-base:1", "Cmd": ["-c", "print('any code')"]}

# --- a service of a swarm ---

FOLDER = {"Type": "bind", "Source": "/srv/ml", "Target": "/data"}
TMP = {"Type": "tmpfs", "Target": "/tmp"}  # noqa: S108 - the container's own


def _good_service() -> dict[str, Any]:
    """A body as the engine of the stages writes it, with the SDK."""
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
    service = {
        "Name": "airflow-ml-0123456789abcdef",
        "Labels": {"airflow-ml.dag": "generate_data"},
        "TaskTemplate": template,
        "Mode": ServiceMode("replicated-job", replicas=1),
        "Networks": None,
        "EndpointSpec": EndpointSpec(mode="dnsrr"),
    }
    plain: dict[str, Any] = json.loads(json.dumps(service))
    return plain


SERVICE = _good_service()
INSIDE, TASK = "TaskTemplate.ContainerSpec.", "TaskTemplate."
SERVICES = [
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
    (INSIDE + "Image", PUSHED.replace("d" * 64, "c" * 64), "by its name in the image registry"),
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
    (INSIDE + "Mounts", [{**FOLDER, "Source": "/"}], '"/srv/ml"'),
    (INSIDE + "Mounts", [{**FOLDER, "Target": "/opt"}], '"/data"'),
    (INSIDE + "Mounts", [{**FOLDER, "Type": "volume"}], '"bind"'),
    (INSIDE + "Mounts", [{**FOLDER, "BindOptions": {"Propagation": "rshared"}}], "not set"),
    (INSIDE + "Mounts", [FOLDER, FOLDER], "each target once"),
    (INSIDE + "Mounts", [FOLDER, CONNECTIONS], '"bind"'),
    (INSIDE + "Mounts", [{**TMP, "Source": "/srv/ml"}], "not set"),
    (INSIDE + "Mounts", [{**TMP, "TmpfsOptions": {"Options": [["exec"]]}}], "not set"),
]

# A rank of a training on a swarm.
SWARM_RANK = changed(INSIDE + "Image", PUSHED_TRAINING, SERVICE)
SWARM_RANK["TaskTemplate"]["Networks"] = [{"Target": NETWORK, "Aliases": ["rank-0"], "DriverOpts": None}]
SWARM_RANKS = [
    (TASK + "Networks", [{"Target": "shop", "Aliases": ["rank-0"]}], "a network created here"),
    (TASK + "Networks", [{"Target": NETWORK, "Aliases": ["mlflow"]}], "rank-N"),
    (TASK + "Networks", [{"Target": NETWORK, "Aliases": ["rank-0", "rank-1"]}], "a list of 1 to 1"),
    (TASK + "Networks", [{"Target": NETWORK, "Aliases": ["rank-0"], "DriverOpts": {"a": "b"}}], "not set"),
    (TASK + "Networks", [{"Target": NETWORK, "Aliases": ["rank-0"]}, {"Target": "shop"}], "a list of 1 to 1"),
]

# --- a rank of a training on one engine, and its network ---

RANK = changed("HostConfig.NetworkMode", BRIDGE, {**GOOD, "Image": TRAINING_IMAGE})
RANK["NetworkingConfig"] = {"EndpointsConfig": {BRIDGE: {"Aliases": ["rank-0"]}}}
JOINED = "NetworkingConfig.EndpointsConfig"
RANKS = [
    ("Image", IMAGE, "not set"),  # of a stage that has no ranks
    ("NetworkingConfig", None, "alone"),
    (JOINED, {"shop": {"Aliases": ["rank-0"]}}, "a network created here"),
    (JOINED, {BRIDGE: {"Aliases": ["mlflow"]}}, "rank-N"),
    (JOINED, {BRIDGE: {"Aliases": ["rank-0", "mlflow"]}}, "a list of 1 to 1"),
    (JOINED, {BRIDGE: {}}, "alone"),
    (JOINED, {OTHER_BRIDGE: {"Aliases": ["rank-0"]}}, "alone"),
    (JOINED, {BRIDGE: {"Aliases": ["rank-0"]}, OTHER_BRIDGE: {"Aliases": ["rank-0"]}}, "alone"),
    (JOINED, {BRIDGE: {"Aliases": ["rank-0"], "IPAMConfig": {"IPv4Address": "10.0.0.1"}}}, "not set"),
    (JOINED, {BRIDGE: {"Aliases": ["rank-0"], "Links": ["other"]}}, "not set"),
    (JOINED, {BRIDGE: {"Aliases": ["rank-0"], "DriverOpts": {"a": "b"}}}, "not set"),
    (JOINED, {BRIDGE: {"Aliases": ["rank-0"], "MacAddress": "02:42:ac:11:00:02"}}, "not set"),
    (HOST + "NetworkMode", "none", "nothing"),
    (HOST + "NetworkMode", "other", '"none"'),
    (HOST + "NetworkMode", "host", '"none"'),
    (HOST + "NetworkMode", "container:" + OTHER, '"none"'),
    (HOST + "NetworkMode", OTHER_BRIDGE, "alone"),
]
INHIBIT = "com.docker.network.bridge.inhibit_ipv4"
BRIDGE_NET: dict[str, Any] = {
    "Name": "airflow-ml-fedcba9876543210", "Driver": "bridge", "Options": {INHIBIT: "true"}, "IPAM": None,
    "CheckDuplicate": None, "Labels": {"airflow-ml.data": "data"}, "Internal": True,
}  # fmt: skip
BRIDGE_NETS = [
    ("Internal", False),
    ("Driver", "overlay"),
    ("Driver", "macvlan"),
    ("Driver", "host"),
    ("Name", "bridge"),
    ("Options", {}),
    ("Options", {INHIBIT: "false"}),
    ("Options", {INHIBIT: "true", "com.docker.network.bridge.name": "docker0"}),
    ("Options", {INHIBIT: "true", "com.docker.network.bridge.gateway_mode_ipv4": "nat"}),
    ("Attachable", True),
    ("ConfigFrom", {"Network": "x"}),
    ("IPAM", {"Config": [{"Subnet": "10.0.0.0/8"}]}),
    ("EnableIPv6", True),
    ("Labels", {LABEL: "airflow-ml"}),
]

# --- a network of a swarm ---

NET: dict[str, Any] = {
    "Name": "airflow-ml-0123456789abcdef", "Driver": "overlay", "Options": None, "IPAM": None, "CheckDuplicate": None,
    "Labels": {"airflow-ml.data": "/srv/ml"}, "Internal": True,
}  # fmt: skip
NETWORKS = [
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
]
