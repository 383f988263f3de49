"""The pods that the engine makes: valid for each version of Kubernetes, and as confined as containers on Docker are."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from ml import engines
from ml.engines import Work
from ml.engines.kubernetes.pod import NETWORK_LABEL, network_of, pod_of, secret_of
from tests.dags.kubernetes.cluster import NAMESPACE, Json
from tests.dags.kubernetes.conftest import DIGEST, WORK

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
CONNECTIONS = "/run/connections/0123456789abcdef"
NETWORK = "0123456789abcdef"
WORKS = {
    "plain": WORK,
    "pushed": replace(WORK, pushed=f"registry.example/airflow-ml-preprocessing@{DIGEST}"),
    "read only": replace(WORK, read_only=True),
    "mlflow": replace(WORK, stage="registry", network="mlflow", environment={"ML_MLFLOW_URI": "http://mlflow:5000"}),
    "connection": replace(
        WORK, stage="exchange", network="exchange", connection="shop", environment={"ML_CONNECTIONS": CONNECTIONS}
    ),
    "placed": replace(WORK, stage="training"),
    "rank 0": replace(WORK, stage="training", network=NETWORK, alias="rank-0"),
    "rank 1": replace(WORK, stage="training", network=NETWORK, alias="rank-1", first="there"),
}
# What a rank knows of the first one.
HOSTS = {"rank-0": "10.1.0.1"}


@pytest.fixture(autouse=True)
def _settings(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "training:kubernetes.io/arch==amd64 *:disk!=slow")
    monkeypatch.setenv("ML_STAGE_RESERVATIONS", "training:1g,2.5")
    monkeypatch.setenv("ML_STAGE_TOLERATIONS", "training:dedicated=ml:NoSchedule *:spot")


@pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
@pytest.mark.parametrize("version", VERSIONS)
def test_pod_is_valid(work: Work, version: str) -> None:
    pod = pod_of(work, "0123456789ab-preprocessing", HOSTS if work.first else {})
    made = json.loads(json.dumps(pod))
    assert kubernetes_validate.validate(made, version, strict=True) == version
    made["metadata"]["uid"] = "0123"
    for one in (secret_of(made, "shop.json", "{}"), network_of(made)):
        assert kubernetes_validate.validate(one, version, strict=True) == version


@pytest.mark.parametrize("version", VERSIONS)
def test_check_finds_a_field_that_does_not_exist(version: str) -> None:
    pod = pod_of(WORK, "there")
    security = pod["spec"]["containers"][0]["securityContext"]
    security["readOnlyRootFileSystem"] = security.pop("readOnlyRootFilesystem")
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFileSystem"):
        kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
def test_pod_is_confined(work: Work) -> None:
    spec = pod_of(work, "there")["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    security = spec["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"]) == (10001, 10002, True)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert (spec["restartPolicy"], spec["serviceAccountName"]) == ("Never", "airflow-ml-stage")
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & set(spec)
    assert {kind for volume in spec["volumes"] for kind in volume} <= {
        "name", "persistentVolumeClaim", "emptyDir", "secret",
    }  # fmt: skip
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert _mount(container, "/data")["readOnly"] == work.read_only


def test_stage_without_a_network_has_no_names_either() -> None:
    """Nothing in a pod closes the network: a NetworkPolicy does, which selects the pod by this label."""
    closed, mlflow = (pod_of(WORKS[name], "there") for name in ("plain", "mlflow"))
    assert closed["metadata"]["labels"]["airflow-ml.network"] == "none"
    assert (closed["spec"]["dnsPolicy"], closed["spec"]["dnsConfig"]) == ("None", {"nameservers": ["127.0.0.1"]})
    assert mlflow["metadata"]["labels"]["airflow-ml.network"] == "mlflow"
    assert "dnsPolicy" not in mlflow["spec"]


def test_image_is_pulled_by_digest_or_not_at_all() -> None:
    plain, pushed = (pod_of(WORKS[name], "there") for name in ("plain", "pushed"))
    assert _image(plain) == ("airflow-ml-preprocessing:0123456789ab", "Never")
    assert _image(pushed) == (f"registry.example/airflow-ml-preprocessing@{DIGEST}", "IfNotPresent")


def test_memory_is_reserved_and_bounds_the_stage() -> None:
    plain, placed = (pod_of(WORKS[name], "there")["spec"]["containers"][0]["resources"] for name in ("plain", "placed"))
    two, one = str(2 << 30), str(1 << 30)
    assert plain == {"requests": {"cpu": "0.1", "memory": two}, "limits": {"memory": two}}
    assert placed == {"requests": {"cpu": "2.5", "memory": one}, "limits": {"memory": two}}


def test_stage_is_placed_as_the_settings_say() -> None:
    plain, placed = (pod_of(WORKS[name], "there")["spec"] for name in ("plain", "placed"))
    not_slow = {"key": "disk", "operator": "NotIn", "values": ["slow"]}
    amd64 = {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}
    spot = {"key": "spot", "operator": "Exists"}
    dedicated = {"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}
    lost = [
        {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
        for why in ("not-ready", "unreachable")
    ]
    assert _wanted(plain) == [not_slow]
    assert _wanted(placed) == [amd64, not_slow]
    assert plain["tolerations"] == [spot, *lost]
    assert placed["tolerations"] == [dedicated, spot, *lost]


def test_connection_is_a_file_from_the_secret_of_the_pods_name() -> None:
    spec = pod_of(WORKS["connection"], "there")["spec"]
    assert {"name": "connection", "secret": {"secretName": "there"}} in spec["volumes"]
    assert _mount(spec["containers"][0], CONNECTIONS)["readOnly"]


@pytest.mark.parametrize(
    "value",
    ["", "predict", "scheduled__2026-11-21T06:00:00+00:00", "x" * 64, "-1", "manual__ünder", "a/b", "ends_with_"],
)
def test_every_label_is_one_that_kubernetes_takes(value: str) -> None:
    pod = pod_of(replace(WORK, labels={"airflow-ml.run": value}), "there")
    label = pod["metadata"]["labels"]["airflow-ml.run"]
    assert len(label) <= 63
    assert not label or (label[0] + label[-1]).isalnum()
    assert label.replace("-", "").replace("_", "").replace(".", "").isalnum() or not label
    assert label.isascii()
    assert pod["metadata"]["annotations"]["airflow-ml.run"] == value


def test_rank_knows_the_first_one_from_its_file_of_hosts_and_asks_no_server_for_names() -> None:
    first, second = (pod_of(WORKS[name], "there", HOSTS if name == "rank 1" else {}) for name in ("rank 0", "rank 1"))
    assert (first["spec"]["hostname"], second["spec"]["hostname"]) == ("rank-0", "rank-1")
    assert "hostAliases" not in first["spec"]
    assert second["spec"]["hostAliases"] == [{"ip": "10.1.0.1", "hostnames": ["rank-0"]}]
    assert second["spec"]["dnsConfig"] == first["spec"]["dnsConfig"] == {"nameservers": ["127.0.0.1"]}


def test_command_by_hand_of_one_rank_says_where_all_are_explained() -> None:
    command = engines.connect().by_hand(replace(WORK, ranks=3))
    assert command.startswith("kubectl run by-hand-preprocessing ")
    assert command.endswith(" # one of 3 ranks: docs/kubernetes.md says how all are started")
    assert "--labels" not in command, "no policy closes them"


@pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
def test_command_by_hand_is_the_same_pod(work: Work) -> None:
    words = shlex.split(engines.connect().by_hand(work))
    options: dict[str, str] = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
    name = f"by-hand-{work.stage}"
    assert words[:3] == ["kubectl", "run", name]
    pod = pod_of(work, name)
    assert json.loads(options["--overrides"])["spec"] == pod["spec"]
    assert options["--namespace"] == NAMESPACE
    labelled = f"{NETWORK_LABEL}={pod['metadata']['labels'][NETWORK_LABEL]}"
    assert options.get("--labels") == (labelled if work.ranks == 1 else None)


def test_command_by_hand_without_an_account_leaves_the_namespace_to_the_person(settings: Path) -> None:
    (settings / "namespace").unlink()
    assert "--namespace" not in engines.connect().by_hand(WORK)


def _image(pod: Json) -> tuple[str, str]:
    container = pod["spec"]["containers"][0]
    return container["image"], container["imagePullPolicy"]


def _mount(container: Json, path: str) -> Json:
    return next(mount for mount in container["volumeMounts"] if mount["mountPath"] == path)


def _wanted(spec: Json) -> Any:
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    return term["matchExpressions"]
