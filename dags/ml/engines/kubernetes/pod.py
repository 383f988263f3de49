"""The pod that does a work, and what comes and goes with it, as Kubernetes takes them. Reads and writes nothing."""

import hashlib
import re
from collections.abc import Mapping

from ml import connections
from ml.engines import Work
from ml.engines.kubernetes.api import Json
from ml.engines.kubernetes.options import tolerations_of
from ml.network import NONE
from ml.placement import constraints_of, reservation_of
from ml.settings import SettingError, seconds_of

# The container's name in its pod.
CONTAINER = "stage"
# An account without rights; its pull secrets are those of the stages.
SERVICE_ACCOUNT = "airflow-ml-stage"
# What NetworkPolicies select: every stage has it, with the name of its network.
NETWORK_LABEL = "airflow-ml.network"
# The id that an image must have that is not named by a digest.
IMAGE_ID = "airflow-ml.image-id"
DATA, TEMPORARY, CONNECTION = "data", "tmp", "connection"
DATA_FOLDER, TEMPORARY_FOLDER, RESULT_FILE = "/data", "/tmp", "/dev/termination-log"  # noqa: S108 - the container's own
# A stage ends immediately when it is asked to.
STOP_SECONDS = 2
# The taints of a node that does not answer.
LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
# A pod without a request for processors comes last where a node is busy.
LEAST_CPUS = 0.1
MEMORY, UNITS = re.compile(r"(\d+)([bkmg]?)"), {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def label(value: str) -> str:
    """A value as Kubernetes takes it for a label: the value itself, or a hash of it."""
    return value if LABEL.fullmatch(value) else f"sha256-{hashlib.sha256(value.encode()).hexdigest()[:32]}"


def network_label(work: Work) -> str:
    """The value of the label by which policies select the work's pod."""
    return label(work.network or NONE)


def selector(labels: Mapping[str, str]) -> str:
    """What selects the pods with these labels, and few others: two values may have one hash."""
    return ",".join(f"{name}={label(value)}" for name, value in labels.items())


def labels_of(pod: Json) -> dict[str, str]:
    """The work's labels, whole: an annotation holds any text. Others have annotations of their own."""
    labels, annotations = (pod["metadata"].get(name, {}) for name in ("labels", "annotations"))
    return {name: str(value) for name, value in annotations.items() if name in labels}


def reference(work: Work) -> str:
    """The image by digest; if it was never pushed, the name under which somebody imported it on the nodes."""
    return work.pushed or work.image


def pod_of(work: Work, name: str, hosts: Mapping[str, str] | None = None) -> Json:
    """The pod, confined as a container is on the Docker engine. Errors: SettingError.

    :param hosts: names that the pod knows, with their addresses
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                **{name: label(value) for name, value in work.labels.items()},
                NETWORK_LABEL: network_label(work),
                "app.kubernetes.io/name": work.stage,
                "app.kubernetes.io/part-of": "airflow-ml",
            },
            "annotations": {**work.labels, **({} if work.pushed else {IMAGE_ID: work.image_id})},
        },
        "spec": spec_of(work, name, hosts),
    }


def spec_of(work: Work, name: str, hosts: Mapping[str, str] | None = None) -> Json:
    """What the pod runs, and how it is confined. The Secret with the connection has the pod's name."""
    user, group = (int(number) for number in work.user.split(":"))
    closed = (work.network or NONE) == NONE or work.alias
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "serviceAccountName": SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Without a network, or on a gang's, nobody asks for names. Kubernetes wants one server: this one is not there.
        **({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}} if closed else {}),
        **({"hostname": work.alias} if work.alias else {}),
        **({"hostAliases": [{"ip": ip, "hostnames": [host]} for host, ip in hosts.items()]} if hosts else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": group,
            "fsGroup": group,
            "fsGroupChangePolicy": "OnRootMismatch",  # not file by file for each pod
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **_affinity(work.stage),
        "tolerations": [*tolerations_of(work.stage), *_until_lost()],
        "containers": [_container(work)],
        "volumes": [
            {"name": DATA, "persistentVolumeClaim": {"claimName": work.data}},
            {"name": TEMPORARY, "emptyDir": {"medium": "Memory"}},
            *([{"name": CONNECTION, "secret": {"secretName": name}}] if work.connection else []),
        ],
    }


def _affinity(stage: str) -> Json:
    """The nodes that the constraints of a stage allow: a label has, or has not, a value."""
    wanted = [
        {"key": label, "operator": "In" if sign == "==" else "NotIn", "values": [value]}
        for label, sign, value in constraints_of(stage)
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": wanted}]}}
    return {"affinity": {"nodeAffinity": required}} if wanted else {}


def _until_lost() -> list[Json]:
    """A pod on a node that does not answer is given up after so many seconds; Kubernetes' own limit is five minutes."""
    seconds = int(seconds_of("ML_NODE_LOST_SECONDS"))
    lost = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
    return [{"key": key, **lost} for key in LOST]


def _bytes(memory: str) -> int:
    """Memory as Docker writes it, such as 4g, in bytes. Errors: SettingError."""
    if not (found := MEMORY.fullmatch(memory)):
        raise SettingError("ML_STAGE_MEMORY", f"is {memory!r}")
    return int(found[1]) * UNITS[found[2]]


def _resources(work: Work) -> Json:
    """The memory that the stage may use is reserved, unless the stage reserves less."""
    memory, reserved = _bytes(work.memory), reservation_of(work.stage)
    return {
        "requests": {
            "cpu": f"{max(reserved.cpus, LEAST_CPUS):g}",
            "memory": str(min(reserved.memory or memory, memory)),
        },
        "limits": {"memory": str(memory)},
    }


def _container(work: Work) -> Json:
    environment = {**work.environment, "ML_RESULT_FILE": RESULT_FILE}
    folder = work.environment.get("ML_CONNECTIONS", connections.TARGET)
    return {
        "name": CONTAINER,
        "image": reference(work),
        # An image without a digest could be anybody's elsewhere, so it is never pulled.
        "imagePullPolicy": "IfNotPresent" if work.pushed else "Never",
        "args": list(work.command),
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": _resources(work),
        "securityContext": {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": RESULT_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": DATA, "mountPath": DATA_FOLDER, "readOnly": work.read_only},
            {"name": TEMPORARY, "mountPath": TEMPORARY_FOLDER},
            *([{"name": CONNECTION, "mountPath": folder, "readOnly": True}] if work.connection else []),
        ],
    }


def secret_of(pod: Json, file: str, content: str) -> Json:
    """A Secret with one file, which goes with the pod."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _going_with(pod),
        "immutable": True,
        "stringData": {file: content},
    }


def network_of(pod: Json) -> Json:
    """The pods on the pod's network reach each other, and nothing else. It goes with the pod."""
    same = {"podSelector": {"matchLabels": {NETWORK_LABEL: pod["metadata"]["labels"][NETWORK_LABEL]}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _going_with(pod),
        "spec": {
            **same,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [same]}],
            "egress": [{"to": [same]}],
        },
    }


def _going_with(pod: Json) -> Json:
    """The metadata of what Kubernetes removes together with the pod."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    return {"name": name, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]}
