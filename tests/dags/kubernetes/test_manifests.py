"""deploy/kubernetes: valid for each version, few rights, and in step with compose and with the engine.

The schema of Airflow's chart is not here: no test compares the values with it.
"""

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ml import connections
from ml.engines.kubernetes import KubernetesEngine
from ml.engines.kubernetes.pod import network_of, pod_of
from ml.gang import GangEngine
from ml.settings import EXPECTED
from tests.dags.conftest import ROOT
from tests.dags.kubernetes.cluster import Cluster, Json, ended
from tests.dags.kubernetes.conftest import WORK
from tests.dags.kubernetes.test_pod import HOSTS, VERSIONS, WORKS

DEPLOY = ROOT / "deploy" / "kubernetes"
LABEL = "app.kubernetes.io/name"
KUBECTL = Path(sys.executable).parent / "kubectl"
VALUES = yaml.safe_load((DEPLOY / "values.yaml").read_text())
ENVIRONMENT: dict[str, str] = VALUES["settings"]
# What compose gives Airflow and the values do not: what the chart sets itself, its secrets, the engine's address.
NOT_IN_VALUES = {
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__AUTH_MANAGER",
    "AIRFLOW__CORE__LOAD_EXAMPLES",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW_CONFIG",
    "ML_DOCKER_HOST",
}
# Where Kubernetes needs another value than the one in .env.example.
OTHERS = {"ML_ENGINE", "ML_EXCHANGE_NETWORK"}
# What the engine's requests need; the mock names them so.
RIGHTS = {
    "POST": ("", "pods", "create"),
    "GET": ("", "pods", "get"),
    "LIST": ("", "pods", "list"),
    "DELETE": ("", "pods", "delete"),
    "LOG": ("", "pods/log", "get"),
    "POST secret": ("", "secrets", "create"),
    "POST policy": ("networking.k8s.io", "networkpolicies", "create"),
}


def render(folder: Path) -> list[Json]:
    """What `kubectl apply -k` would send."""
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def manifests() -> list[Json]:
    return render(DEPLOY)


@pytest.fixture(scope="module")
def probes() -> list[Json]:
    return render(DEPLOY / "probe")


def of_kind(manifests: list[Json], *kinds: str) -> list[Json]:
    return [one for one in manifests if one["kind"] in kinds]


def named(manifests: list[Json], kind: str, name: str) -> Json:
    (found,) = (one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name)
    return found


def templates(manifests: list[Json]) -> Iterator[Json]:
    """The pods that the manifests make."""
    for one in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        yield one["spec"]["template"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(manifests: list[Json], probes: list[Json], version: str) -> None:
    assert len(manifests) >= 18
    for one in [*manifests, *probes]:
        assert kubernetes_validate.validate(one, version, strict=True) == version
        assert one["metadata"].get("namespace", "airflow-ml") == "airflow-ml"


@pytest.mark.usefixtures("settings")
def test_every_pod_is_one_that_the_namespace_accepts(manifests: list[Json], probes: list[Json]) -> None:
    """Kubernetes' level `restricted`, as far as its rules concern what these pods have."""
    assert named(manifests, "Namespace", "airflow-ml")["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "restricted"
    }
    chart = {
        "securityContext": VALUES["securityContexts"]["pod"],
        "volumes": [*VALUES["volumes"], *VALUES["scheduler"]["extraVolumes"], *VALUES["triggerer"]["extraVolumes"]],
        "containers": [{"name": "airflow", "securityContext": VALUES["securityContexts"]["containers"]}],
    }
    stages = [pod_of(work, "there")["spec"] for work in WORKS.values()]
    for spec in [*(pod["spec"] for pod in templates([*manifests, *probes])), *stages, chart]:
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert security["runAsUser"] > 0
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        allowed = {"name", "persistentVolumeClaim", "emptyDir", "secret", "configMap"}
        assert {key for volume in spec.get("volumes", ()) for key in volume} <= allowed
        for container in spec["containers"]:
            its_own = container["securityContext"]
            assert its_own["allowPrivilegeEscalation"] is False
            assert its_own["capabilities"] == {"drop": ["ALL"]}
            assert not {"hostPort"} & {key for port in container.get("ports", ()) for key in port}


def test_pods_of_the_manifests_get_no_token(manifests: list[Json], probes: list[Json]) -> None:
    for pod in templates([*manifests, *probes]):
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_pod_that_writes_a_claim_or_shares_one_has_its_group_set(manifests: list[Json], probes: list[Json]) -> None:
    """A new volume is often root's alone: Kubernetes gives it to the group of the first pod that names one."""
    pods = [pod["spec"] for pod in templates([*manifests, *probes]) if "persistentVolumeClaim" in json.dumps(pod)]
    securities = [*(pod["securityContext"] for pod in pods), VALUES["securityContexts"]["pod"]]
    assert len(securities) == 4, "mlflow, reports, check-storage, Airflow"
    for security in securities:
        assert (security["fsGroup"], security["fsGroupChangePolicy"]) == (security["runAsGroup"], "OnRootMismatch")


def test_airflow_has_the_rights_that_the_engine_uses_and_no_other(
    manifests: list[Json],
    engine: KubernetesEngine,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "FOLDER", tmp_path)
    (tmp_path / "0123456789abcdef").mkdir()
    (tmp_path / "0123456789abcdef" / "shop.json").write_text("{}")
    cluster.plays = [ended(0, message="{}")]
    for work in (replace(WORKS["connection"], labels=WORK.labels), replace(WORK, ranks=2)):
        gang = GangEngine(engine)
        name = gang.start(work)
        assert gang.does(name, work)
        assert [*gang.find(WORK.labels)] == [name]
        list(gang.follow(name, 1))
        gang.remove(name)
    used = {RIGHTS["DELETE" if kind.startswith("DELETE") else kind] for kind in cluster.requests}
    rules = named(manifests, "Role", "airflow-ml")["rules"]
    granted = [
        (group, what, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for what in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(granted) == sorted(used)
    (binding,) = of_kind(manifests, "RoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "airflow-ml", "namespace": "airflow-ml"}]
    accounts = {service: VALUES[service]["serviceAccount"].get("name") for service in ("scheduler", "triggerer")}
    assert accounts == {"scheduler": "airflow-ml", "triggerer": "airflow-ml"}
    assert of_kind(manifests, "ClusterRole", "ClusterRoleBinding") == []


def reached(manifests: list[Json], labels: Json, way: str = "Egress") -> list[Any] | None:
    """What a pod may reach: the `to` of all policies that select it, each with its ports; None if none selects it.

    With the way `Ingress`, who may reach it: the `from`.
    """
    policies = [
        one["spec"] for one in of_kind(manifests, "NetworkPolicy") if selects(one["spec"]["podSelector"], labels)
    ]
    if not any(way in policy["policyTypes"] for policy in policies):
        return None
    return [rule for policy in policies for rule in policy.get(way.lower(), ())]


def selects(selector: Json, labels: Json) -> bool:
    exists = [one["key"] for one in selector.get("matchExpressions", ()) if one["operator"] == "Exists"]
    return selector.get("matchLabels", {}).items() <= labels.items() and set(exists) <= set(labels)


@pytest.mark.usefixtures("settings")
def test_stage_reaches_its_network_alone(manifests: list[Json], probes: list[Json]) -> None:
    pods = {name: pod_of(WORKS[name], "there")["metadata"]["labels"] for name in ("plain", "mlflow", "connection")}
    assert reached(manifests, pods["plain"]) == []
    mlflow = named(manifests, "Deployment", "mlflow")["spec"]["template"]["metadata"]["labels"]
    first, names = reached(manifests, pods["mlflow"]) or []
    assert first["ports"] == [{"protocol": "TCP", "port": 5000}]
    assert [selects(one["podSelector"], mlflow) for one in first["to"]] == [True]
    assert {port["port"] for port in names["ports"]} == {53}
    outside, _ = reached(manifests, pods["connection"]) or []
    assert [set(one) for one in outside["to"]] == [{"ipBlock"}]
    assert reached(manifests, named(probes, "Job", "probe-none")["spec"]["template"]["metadata"]["labels"]) == []
    assert reached(manifests, {"tier": "airflow"}) is None, "Airflow reaches the API server"


@pytest.mark.usefixtures("settings")
def test_rank_reaches_the_ranks_of_its_gang_alone_and_only_they_reach_it(manifests: list[Json]) -> None:
    first, second = (pod_of(WORKS[name], name.replace(" ", "-"), HOSTS) for name in ("rank 0", "rank 1"))
    other = pod_of(replace(WORKS["rank 0"], network="fedcba9876543210"), "of-another-gang")
    outside = [named(manifests, "Deployment", "mlflow")["spec"]["template"], pod_of(WORK, "there"), other]
    rank = second["metadata"]["labels"]
    assert reached(manifests, rank) == reached(manifests, rank, "Ingress") == [], "closed until the policy is there"
    first["metadata"]["uid"] = other["metadata"]["uid"] = "0123"
    opened = [*manifests, network_of(first), network_of(other)]
    for way, key in (("Egress", "to"), ("Ingress", "from")):
        (rule,) = reached(opened, rank, way) or []
        ((peer,),) = rule.values()
        assert (list(rule), list(peer)) == ([key], ["podSelector"])
        assert all(selects(peer["podSelector"], pod["metadata"]["labels"]) for pod in (first, second))
        assert not any(selects(peer["podSelector"], pod["metadata"]["labels"]) for pod in outside)


@pytest.mark.parametrize("name", ["mlflow", "reports", "postgres"])
def test_service_has_pods_and_a_policy_that_lets_few_in(manifests: list[Json], name: str) -> None:
    service = named(manifests, "Service", name)
    kind = "StatefulSet" if name == "postgres" else "Deployment"
    template = named(manifests, kind, name)["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    assert port["port"] in {one["containerPort"] for one in template["spec"]["containers"][0]["ports"]}
    policy = named(manifests, "NetworkPolicy", name)["spec"]
    assert selects(policy["podSelector"], template["metadata"]["labels"])
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert all(rule["from"] for rule in policy.get("ingress", ()))


def test_chart_gets_every_setting_that_compose_gives() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-airflow"]["environment"]
    assert set(compose) - set(ENVIRONMENT) == NOT_IN_VALUES, "do: add it to deploy/kubernetes/values.yaml"
    assert set(EXPECTED) - set(ENVIRONMENT) == {"ML_DOCKER_HOST"}
    same = {name for name, value in compose.items() if "$" not in str(value)} - {"ML_MLFLOW_URI"}
    assert {name: str(compose[name]) for name in same & set(ENVIRONMENT)} == {
        name: ENVIRONMENT[name] for name in same & set(ENVIRONMENT)
    }


def test_file_of_yours_needs_only_the_settings_that_differ() -> None:
    """Helm merges mappings and replaces lists."""
    assert "env" not in VALUES
    assert "range $name, $value := .Values.settings" in VALUES["extraEnv"]
    assert {type(value) for value in ENVIRONMENT.values()} == {str}, "YAML reads 06:00 and 0 as numbers"


def test_chart_is_set_for_the_version_of_airflow_in_the_image() -> None:
    (wanted,) = re.findall(
        r"^apache-airflow==(.+)$", (ROOT / "services" / "airflow" / "requirements.in").read_text(), re.MULTILINE
    )
    assert VALUES["airflowVersion"] == wanted, "do: change it in deploy/kubernetes/values.yaml"


def test_no_client_chooses_the_address_by_which_its_logins_are_counted() -> None:
    """Airflow's default, which compose has. The chart writes the other value into `airflow.cfg`."""
    assert ENVIRONMENT["AIRFLOW__FAB__ENABLE_PROXY_FIX"] == "False"


def test_api_server_gets_as_long_to_start_as_compose_gives_it() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-healthcheck"]
    for service in ("apiServer", "scheduler"):
        # The chart asks every 10 s.
        assert f"{10 * VALUES[service]['startupProbe']['failureThreshold']}s" == compose["start_period"]


def test_defaults_are_those_of_the_example() -> None:
    found = re.findall(r"^(\w+)=([^<\n]*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    shared = {name: value for name, value in found if name in ENVIRONMENT.keys() - OTHERS}
    assert shared == {name: ENVIRONMENT[name] for name in shared}
    assert len(shared) > 8


def test_claims_and_secrets_that_are_used_exist(manifests: list[Json]) -> None:
    claims = {one["metadata"]["name"] for one in of_kind(manifests, "PersistentVolumeClaim")}
    text = json.dumps([manifests, VALUES])
    used = set(re.findall(r'"claimName": "([^"]+)"|"existingClaim": "([^"]+)"', text))
    assert {one or other for one, other in used} == claims == {ENVIRONMENT["ML_DATA"], "logs", "mlflow"}
    keys = set(re.findall(r'"key": "([a-z-]+)"', text)) - {"airflow-ml.network"}
    # By these names the chart itself looks for them.
    keys |= {"connection", "fernet-key", "api-secret-key", "jwt-secret"}
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    assert set(re.findall(r"--from-literal=([a-z-]+)=", page)) == keys


def test_first_job_gets_the_secrets_that_it_reads() -> None:
    job, init = VALUES["migrateDatabaseJob"], (ROOT / "services" / "airflow" / "init.py").read_text()
    (volume,), (mount,) = job["extraVolumes"], job["extraVolumeMounts"]
    assert f'SECRETS = Path("{mount["mountPath"]}")' in init
    assert [item["path"] for item in volume["secret"]["items"]] == sorted(re.findall(r'secret\("(\w+)"\)', init))


@pytest.mark.parametrize("name", ["mlflow", "reports", "postgres"])
def test_service_gets_the_secrets_that_compose_gives_it(manifests: list[Json], name: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]
    (pod,) = [one["spec"] for one in templates(manifests) if one["metadata"]["labels"].get(LABEL) == name]
    (volume,) = [one["secret"] for one in pod["volumes"] if one["name"] == "secrets"]
    assert {item["path"]: item["key"] for item in volume["items"]} == {
        secret: secret.replace("_", "-") for secret in compose["secrets"]
    }
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "secrets"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/run/secrets", True)
    assert "secretKeyRef" not in json.dumps(pod)


@pytest.mark.parametrize(("secret", "file"), [("password", connections.PASSWORD), ("key", connections.KEY)])
def test_secret_of_the_registry_is_the_file_that_the_scheduler_reads(secret: str, file: Path) -> None:
    scheduler = VALUES["scheduler"]
    mounts = {one["mountPath"]: one for one in scheduler["extraVolumeMounts"] if one["name"] == "registry"}
    (volume,) = [one["secret"] for one in scheduler["extraVolumes"] if one["name"] == "registry"]
    paths = {item["key"]: item["path"] for item in volume["items"]}
    assert mounts[str(file)]["subPath"] == paths[f"registry-{secret}"]


def test_no_command_of_the_chart_needs_a_shell() -> None:
    """The image has none, and the chart's own commands and checks use one."""
    for service in ("scheduler", "triggerer", "dagProcessor", "apiServer", "migrateDatabaseJob"):
        assert VALUES[service]["args"][0] in ("airflow", "python")
    for service in ("scheduler", "triggerer", "dagProcessor"):
        assert VALUES[service]["livenessProbe"]["command"][:2] == ["python", "/opt/service/healthcheck.py"]
        assert VALUES[service]["logGroomerSidecar"] == {"enabled": False}
    assert VALUES["scheduler"]["startupProbe"]["command"][0] == "python"
    assert not VALUES["createUserJob"]["enabled"]


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("arguments", "names"), [([], ["mlflow", "reports"]), (["--probe"], ["base"])])
def test_overlay_has_the_pushed_images_by_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], names: list[str]
) -> None:
    digest = f"sha256:{'cd' * 32}"
    pushed = {name: f"registry.example:5000/team/airflow-ml-{name}@{digest}" for name in names}
    entries = {name: {"name": f"airflow-ml-{name}", "pushed": pushed[name]} for name in names}
    lock = tmp_path / "images.lock.json"
    lock.write_text(json.dumps({"images": entries}))
    assert load("overlay", DEPLOY / "overlay.py").main(arguments, lock) == 0
    shutil.copytree(DEPLOY, tmp_path / "deploy" / "kubernetes")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(capsys.readouterr().out)
    rendered = json.dumps(render(tmp_path / "mine"))
    ours = set(re.findall(r'"image": "([^"]*airflow-ml-[^"]*)"', rendered))
    assert ours == set(pushed.values())


@pytest.mark.parametrize("content", [None, {"mlflow": {"name": "airflow-ml-mlflow", "pushed": None}}])
def test_overlay_of_images_that_were_not_pushed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Json | None
) -> None:
    lock = tmp_path / "images.lock.json"
    if content is not None:
        lock.write_text(json.dumps({"images": content}))
    assert load("overlay", DEPLOY / "overlay.py").main([], lock) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "do: run ./build_images.sh --push ADDRESS" in err


@pytest.mark.parametrize(
    ("listening", "expected", "code", "words"),
    [
        ([], [], 0, "as it must be: reaches nothing"),
        (["mlflow"], ["mlflow"], 0, "as it must be: reaches mlflow"),
        (["kubernetes"], [], 1, "reaches kubernetes, expected it not to: the NetworkPolicies are not enforced"),
        ([], ["mlflow"], 1, "does not reach mlflow, expected it to"),
        ([], ["minio"], 2, "unknown minio, expected of kubernetes, mlflow, postgres"),
    ],
)
def test_probe_says_whether_policies_are_enforced(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    listening: list[str],
    expected: list[str],
    code: int,
    words: str,
) -> None:
    probe = load("probe", DEPLOY / "probe" / "probe.py")
    monkeypatch.setattr(probe, "PAUSE_S", 0)
    servers, environment = [], {}
    for name in probe.TARGETS:
        server = socket.create_server(("127.0.0.1", 0))
        environment[f"{name.upper()}_SERVICE_HOST"] = "127.0.0.1"
        environment[f"{name.upper()}_SERVICE_PORT"] = str(server.getsockname()[1])
        if name in listening:
            servers.append(server)
        else:
            server.close()
    assert probe.main(expected, environment) == code
    out, err = capsys.readouterr()
    assert words in out + err


def test_probe_without_an_address_says_nothing_good(capsys: pytest.CaptureFixture[str]) -> None:
    probe = load("probe", DEPLOY / "probe" / "probe.py")
    assert probe.main(["mlflow"], {}) == 1
    assert "no address of kubernetes, mlflow, expected its Service" in capsys.readouterr().err


def test_probe_needs_no_postgres_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    probe = load("probe", DEPLOY / "probe" / "probe.py")
    monkeypatch.setattr(probe, "PAUSE_S", 0)
    assert probe.main([], {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "9"}) == 0
    assert "as it must be: reaches nothing" in capsys.readouterr().out


def test_pod_that_is_closed_late_is_no_pod_that_stays_open() -> None:
    probe = load("probe", DEPLOY / "probe" / "probe.py")
    late, never = (probe.wrong("kubernetes", answers, expected=False) for answers in ([True, False], [True, True]))
    assert late == (
        "reaches kubernetes, expected it not to: the network plug-in closes a pod only some moments after its start"
    )
    assert never == "reaches kubernetes, expected it not to: the NetworkPolicies are not enforced"


def patches(sign: str) -> list[Json]:
    """The patches of the page's block that has this sign: those of a file that it writes, or a list."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    (block,) = (one for one in re.findall(r"```(?:sh|yaml)\n(.*?)```", page, re.DOTALL) if sign in one)
    file = re.search(r"<<'END'\n(.*?)\nEND", text := textwrap.dedent(block), re.DOTALL)
    return list(yaml.safe_load(file[1])["patches"] if file else yaml.safe_load(text))


@pytest.fixture
def patched(tmp_path: Path) -> Callable[..., list[Json]]:
    """Renders what an operator has who follows the page: our manifests with patches of the page on top."""

    def render_with(*signs: str) -> list[Json]:
        shutil.copytree(DEPLOY, tmp_path / "deploy" / "kubernetes", dirs_exist_ok=True)
        for folder, resource in (("my-images", "../deploy/kubernetes"), ("my-cluster", "../my-images")):
            (tmp_path / folder).mkdir()
            its_own = [patch for sign in signs for patch in patches(sign)] if folder == "my-cluster" else []
            kustomization = {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [resource],
                "patches": its_own,
            }
            (tmp_path / folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return render(tmp_path / "my-cluster")

    return render_with


CLASSES, DATABASE = "name: data|logs", "$patch: delete"


def test_patch_of_the_page_names_the_storage_class_of_the_shared_claims(patched: Callable[..., list[Json]]) -> None:
    claims = of_kind(patched(CLASSES), "PersistentVolumeClaim")
    classes = {one["metadata"]["name"]: one["spec"].get("storageClassName") for one in claims}
    assert classes == {"data": "YOUR-RWX-CLASS", "logs": "YOUR-RWX-CLASS", "mlflow": None}


def test_patch_of_the_page_takes_another_database(manifests: list[Json], patched: Callable[..., list[Json]]) -> None:
    rendered = patched(CLASSES, DATABASE)
    names = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    left = {(one["kind"], one["metadata"]["name"]) for one in rendered}
    assert names - left == {(kind, "postgres") for kind in ("StatefulSet", "Service", "NetworkPolicy")}
    (container,) = named(rendered, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"]
    before, after = (
        {one["name"]: one["value"] for one in pod["env"]}
        for pod in (named(manifests, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0], container)
    )
    address = before["MLFLOW_BACKEND_STORE_URI"].replace("@postgres/", "@db.example/")
    assert after == {**before, "MLFLOW_BACKEND_STORE_URI": address}
    database, names_server = named(rendered, "NetworkPolicy", "mlflow")["spec"]["egress"]
    assert database == {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 5432}]}
    assert {port["port"] for port in names_server["ports"]} == {53}
