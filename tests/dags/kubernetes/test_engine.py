"""What the engine asks of the API server, and what it makes of each answer and of each state of a pod."""

import hashlib
import json
import re
import ssl
import threading
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from kmock import KubernetesError
from urllib3.util import ssl_

from ml import connections
from ml.engines import ContainerGone, EngineError, NotRun, State, Work, connect, kubernetes
from ml.engines.kubernetes import KubernetesEngine
from ml.engines.kubernetes.pod import pod_of
from tests.dags.kubernetes.cluster import (
    LONG_AGO,
    Cluster,
    Json,
    disrupted,
    ended,
    log_of,
    running,
    status,
    unscheduled,
    waiting,
)
from tests.dags.kubernetes.conftest import DIGEST, LABELS, WORK

NO_NODE = "0/3 nodes are available: 3 Insufficient memory."
LOW = "The node was low on resource: memory."


def test_a_pod_is_started_found_and_removed(engine: KubernetesEngine, cluster: Cluster) -> None:
    name = engine.start(WORK)
    assert re.fullmatch("[0-9a-f]{12}-preprocessing", name)
    assert engine.find(LABELS) == {name: LABELS}
    assert engine.find({"airflow-ml.data": "data"}, running=True) == {name: LABELS}
    assert engine.does(name, WORK)
    engine.remove(name)
    assert cluster.pods == {}
    engine.remove(name)  # somebody else was faster
    assert cluster.requests == ["POST", "LIST", "LIST", "GET", "DELETE 2", "GET", "DELETE"]


def test_two_tasks_of_one_hash_are_not_confused(engine: KubernetesEngine, cluster: Cluster, settings: Path) -> None:
    """Labels of Kubernetes hold no run id, so they hold its hash; the annotations have the id itself."""
    pod = pod_of(WORK, "of-another-run")
    pod["metadata"]["annotations"]["airflow-ml.run"] = "another"
    cluster.add(pod)
    assert engine.find(LABELS) == {}


@pytest.mark.parametrize(
    ("refusals", "requests"),
    [
        ([KubernetesError(500, "InternalError", "etcdserver: request timed out")], ["LIST", "LIST"]),
        ([KubernetesError(410, "Expired", "The provided continue parameter is too old")], ["LIST", "LIST"]),
        ([KubernetesError(429, "TooManyRequests", "try again"), KubernetesError(503)], ["LIST"] * 3),
    ],
)
def test_what_passes_is_asked_again(
    engine: KubernetesEngine, cluster: Cluster, refusals: list[KubernetesError], requests: list[str]
) -> None:
    cluster.refusals["LIST"] = refusals
    assert engine.find(LABELS) == {}
    assert cluster.requests == requests


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("POST", (403, "Forbidden", "cannot create resource"), "refuses (403 Forbidden: cannot create resource)"),
        ("POST", (409, "Conflict", "quota has changed"), "refuses (409 Conflict: quota has changed)"),
        ("GET", (500, "InternalError", "no leader"), "refuses (500 InternalError: no leader)"),
        ("GET", (410, "Gone", "too old"), "refuses (410 Gone: too old)"),
    ],
)
def test_what_does_not_pass_is_an_error_with_its_words(
    engine: KubernetesEngine, cluster: Cluster, kind: str, error: tuple[int, str, str], words: str
) -> None:
    name = cluster.add(pod_of(WORK, "there"))
    cluster.refusals[kind] = [KubernetesError(*error) for _ in range(3)]
    with pytest.raises(EngineError) as raised:
        engine.start(WORK) if kind == "POST" else engine.state(name)
    assert str(raised.value) == words
    assert not isinstance(raised.value, NotRun | ContainerGone)


def test_pod_that_nobody_can_start_is_not_tried_again(engine: KubernetesEngine, cluster: Cluster) -> None:
    cluster.refusals["POST"] = [KubernetesError(422, "Invalid", 'spec.volumes[0].claimName: "Data" is invalid')]
    with pytest.raises(NotRun, match=r"the pod of airflow-ml-preprocessing:.*422 Invalid: spec\.volumes") as raised:
        engine.start(WORK)
    assert raised.value.hopeless


def test_pod_whose_answer_was_lost_is_not_started_twice(engine: KubernetesEngine, cluster: Cluster) -> None:
    cluster.lost_answers["POST"] = [KubernetesError(500, "InternalError", "etcdserver: request timed out")]
    name = engine.start(WORK)
    assert list(cluster.pods) == [name]
    assert cluster.requests == ["POST", "POST", "GET"]


def test_server_that_is_not_there_and_account_that_is_not_there(settings: Path) -> None:
    with connect(1) as engine, pytest.raises(EngineError, match=r"does not answer \(.*Connection refused"):
        engine.find(LABELS)
    (settings / "token").unlink()
    with connect(1) as engine, pytest.raises(EngineError, match=r"cannot be used \(.*No such file.*token"):
        engine.find(LABELS)


def tls_server(folder: Path) -> tuple[HTTPServer, bytes]:
    """A server that lists no pods, and its authority's certificate; as on old clusters, neither has key identifiers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"items": []}')

        def log_message(self, *_: object) -> None:
            pass

    first, end = datetime(2020, 1, 1), datetime(2120, 1, 1)
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name, its_own = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("kubernetes", "api"))
    root = (
        x509.CertificateBuilder(name, name, authority.public_key(), 1, first, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    certificate = (
        x509.CertificateBuilder(name, its_own, key.public_key(), 2, first, end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "both.pem").write_bytes(private + certificate.public_bytes(Encoding.PEM))
    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, root.public_bytes(Encoding.PEM)


def test_api_server_needs_a_certificate_of_the_cluster(
    settings: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = tls_server(tmp_path_factory.mktemp("good"))
    other, others = tls_server(tmp_path_factory.mktemp("other"))
    other.shutdown()
    monkeypatch.setenv("ML_KUBERNETES_API", f"https://127.0.0.1:{server.server_port}")
    # In Airflow's image urllib3 is stricter than with the Python of these tests.
    monkeypatch.setattr(ssl_, "sys", SimpleNamespace(version_info=(3, 13)))
    # What would decide for other programs decides nothing here.
    (settings / "bundle.pem").write_bytes(certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(settings / "bundle.pem"))
    (settings / "ca.crt").write_bytes(others)
    with connect(5) as engine, pytest.raises(EngineError, match=r"does not answer \(.*CERTIFICATE_VERIFY_FAILED"):
        engine.find(LABELS)
    (settings / "ca.crt").write_bytes(certificate)
    with connect(5) as engine:
        assert engine.find(LABELS) == {}
    monkeypatch.setenv("ML_KUBERNETES_API", f"https://localhost:{server.server_port}")
    with connect(5) as engine, pytest.raises(EngineError, match=r"does not answer \(.*(doesn't match|not valid for)"):
        engine.find(LABELS)
    server.shutdown()


@pytest.mark.parametrize("method", ["state", "last_line"])
def test_pod_that_is_gone(engine: KubernetesEngine, method: str) -> None:
    with pytest.raises(ContainerGone):
        getattr(engine, method)("gone")


@pytest.mark.parametrize(
    ("play", "state"),
    [
        ({"phase": "Pending"}, State(None)),
        (waiting("ContainerCreating"), State(None)),
        (waiting("ErrImagePull", "timeout"), State(None)),
        (running(), State(None)),
        (ended(0), State(0)),
        (ended(3), State(3)),
        (ended(137), State(137)),
        (ended(137, "OOMKilled"), State(137, out_of_memory=True)),
        (ended(0, deleted=LONG_AGO), State(0)),
    ],
)
def test_state_of_a_pod(engine: KubernetesEngine, cluster: Cluster, play: Json, state: State) -> None:
    name = cluster.add(pod_of(WORK, "there"), play)
    assert engine.state(name) == state
    assert bool(engine.find(LABELS, running=True)) == (state.exit_code is None)


@pytest.mark.parametrize(
    ("play", "words", "hopeless"),
    [
        (
            {"phase": "Failed", "reason": "Evicted", "message": LOW},
            f"the pod there was ended by Kubernetes: Evicted: {LOW}",
            False,
        ),
        (
            ended(137) | {"reason": "Evicted", "message": LOW} | disrupted("TerminationByKubelet"),
            f"the pod there was ended by Kubernetes: Evicted: {LOW}",
            False,
        ),
        ({"phase": "Failed", "reason": "NodeLost"}, "the pod there was ended by Kubernetes: NodeLost", False),
        (
            running(deleted=LONG_AGO) | disrupted("DeletionByTaintManager"),
            "the pod there was taken away by Kubernetes: its node does not answer, or is closed to it "
            "(DeletionByTaintManager, node k1)",
            False,
        ),
        (
            running(deleted=LONG_AGO) | disrupted("EvictionByEvictionAPI"),
            "the pod there was taken away by Kubernetes: its node is being emptied (EvictionByEvictionAPI, node k1)",
            False,
        ),
        (
            ended(137, "ContainerStatusUnknown", "The container could not be located"),
            "the pod there: the node does not know how the container ended (The container could not be located)",
            False,
        ),
        (
            ended(128, "StartError", "no such file"),
            "the pod there: the container cannot be started (no such file)",
            False,
        ),
        (
            waiting("ImagePullBackOff", "Back-off pulling image"),
            "the pod there: the image cannot be pulled (ImagePullBackOff: Back-off pulling image)",
            False,
        ),
        (
            waiting("ErrImageNeverPull"),
            "the pod there: the image is not on the node (ErrImageNeverPull)",
            True,
        ),
        (
            waiting("CreateContainerConfigError", "will run as root"),
            "the pod there: the container cannot be made (CreateContainerConfigError: will run as root)",
            False,
        ),
        (
            unscheduled('persistentvolumeclaim "data" not found'),
            'the pod there has no place: persistentvolumeclaim "data" not found; do: create the claim that ML_DATA '
            "names",
            True,
        ),
        (
            status("Running", {"running": {}}, image_id="docker.io/library/airflow-ml-preprocessing@sha256:9999"),
            "image airflow-ml-preprocessing:0123456789ab of the image lock is "
            "docker.io/library/airflow-ml-preprocessing@sha256:9999 on node k1, not sha256:0123; do: import it there "
            "again, or push the images with ./build_images.sh --push",
            True,
        ),
    ],
)
def test_pod_without_an_end_of_its_own_is_reported_in_words(
    engine: KubernetesEngine, cluster: Cluster, play: Json, words: str, hopeless: bool
) -> None:
    pod = pod_of(WORK, "there")
    pod["spec"]["nodeName"] = "k1"
    name = cluster.add(pod, play)
    with pytest.raises(NotRun) as raised:
        engine.state(name)
    assert (str(raised.value), raised.value.hopeless) == (words, hopeless)
    assert engine.find(LABELS, running=True) == {}, "so the triggerer stops waiting"
    assert list(engine.find(LABELS)) == [name], "and the next try removes it"
    assert not engine.does(name, WORK)


@pytest.mark.parametrize("play", [unscheduled(NO_NODE), waiting("ContainerCreating"), {"phase": "Pending"}])
def test_pod_that_does_not_start_is_given_up_after_the_set_time(
    engine: KubernetesEngine, cluster: Cluster, play: Json
) -> None:
    assert engine.state(cluster.add(pod_of(WORK, "young"), play)) == State(None)
    cluster.created = LONG_AGO
    name = cluster.add(pod_of(WORK, "there"), play)
    with pytest.raises(
        NotRun, match=r"the pod there .* after \d+ seconds, expected at most 600; do: look at"
    ) as raised:
        engine.state(name)
    assert (NO_NODE in str(raised.value)) == (play == unscheduled(NO_NODE))


def test_pod_that_somebody_removes_is_gone(engine: KubernetesEngine, cluster: Cluster) -> None:
    name = cluster.add(pod_of(WORK, "there"), running(deleted=LONG_AGO))
    with pytest.raises(ContainerGone):
        engine.state(name)


@pytest.mark.parametrize(
    "change",
    [
        {"image": "airflow-ml-preprocessing:ba9876543210"},
        {"pushed": f"registry.example/airflow-ml-preprocessing@{DIGEST}"},
        {"command": ["prepare", "--ds=2026-11-22"]},
        {"labels": LABELS | {"airflow-ml.last-try": "5"}},
    ],
)
def test_pod_of_an_earlier_try_that_does_other_work_is_refused(
    engine: KubernetesEngine, cluster: Cluster, change: dict[str, Any]
) -> None:
    name = cluster.add(pod_of(WORK, "there"), running())
    assert engine.does(name, WORK)
    assert not engine.does(name, replace(WORK, **change))


RESULT = {"stage": "preprocessing", "rows": 3}


@pytest.mark.parametrize("size", ["short", "long"])
def test_result_line_is_told_apart_from_the_rest_of_the_log(
    engine: KubernetesEngine, cluster: Cluster, size: str
) -> None:
    log, line = log_of(["one", '{"two": 2}'], RESULT | ({"classes": "x" * 5000} if size == "long" else {}))
    message = line if size == "short" else json.dumps({"sha256": hashlib.sha256(line.encode()).hexdigest()})
    cluster.log = log + b"after it\n"
    name = cluster.add(pod_of(WORK, "there"), {"phase": "Pending"}, running(), ended(0, message=message))
    found = [one for one in engine.follow(name, 60) if one != (None, b"\n")]
    assert found == [
        (None, b"one\n"),
        (None, b'{"two": 2}\n'),
        (f"{line}\n".encode(), None),
        (None, b"after it\n"),
    ]


def test_result_line_arrives_without_the_log(engine: KubernetesEngine, cluster: Cluster) -> None:
    line = json.dumps(RESULT)
    cluster.log = KubernetesError(500, "InternalError", "no route to host")
    name = cluster.add(pod_of(WORK, "there"), ended(0, message=line))
    assert list(engine.follow(name, 60)) == [
        (None, b"the log cannot be read: the engine refuses (500 InternalError: no route to host)\n"),
        (f"{line}\n".encode(), None),
    ]


def test_result_line_that_is_lost_is_not_made_up(engine: KubernetesEngine, cluster: Cluster) -> None:
    name = cluster.add(pod_of(WORK, "there"), ended(0, message=json.dumps({"sha256": "0" * 64})))
    cluster.log = b"what is left\n"
    with pytest.raises(NotRun, match="does not fit the termination message"):
        list(engine.follow(name, 60))


def test_log_of_a_pod_that_goes_on(engine: KubernetesEngine, cluster: Cluster) -> None:
    cluster.log = b"so far\n"
    name = cluster.add(pod_of(WORK, "there"), running())
    assert [one for one in engine.follow(name, 0) if one != (None, b"\n")] == [(None, b"so far\n")]
    assert engine.last_line(name) == "so far"
    other = cluster.add(pod_of(WORK, "other"), waiting("ErrImagePull"))
    assert engine.last_line(other) == ""


def test_pod_on_a_lost_node_is_removed_from_the_list(engine: KubernetesEngine, cluster: Cluster) -> None:
    """Kubernetes waits for the node for ever; a container whose pod is gone is ended when the node is back."""
    cluster.node_is_lost = True
    engine.remove(cluster.add(pod_of(WORK, "there"), running()))
    assert cluster.pods == {}
    assert (cluster.requests[0], cluster.requests[-1]) == ("DELETE 2", "DELETE 0")


def with_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr(connections, "FOLDER", tmp_path)
    folder = tmp_path / "0123456789abcdef"
    folder.mkdir()
    (folder / "shop.json").write_text('{"password": "secret"}')
    environment = {"ML_CONNECTIONS": f"/run/connections/{folder.name}"}
    return replace(WORK, stage="exchange", connection="shop", network="exchange", environment=environment)


def test_connection_is_a_secret_that_goes_with_the_pod(
    engine: KubernetesEngine, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = engine.start(with_connection(tmp_path, monkeypatch))
    (secret,) = cluster.secrets
    (owner,) = secret["metadata"]["ownerReferences"]
    assert secret["stringData"] == {"shop.json": '{"password": "secret"}'}
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", name, f"uid-of-{name}")
    assert "secret" not in json.dumps(cluster.pods[name]["metadata"])
    assert "password" not in json.dumps(cluster.pods[name])


def test_pod_whose_secret_is_refused_is_removed(
    engine: KubernetesEngine, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.refusals["POST secret"] = [KubernetesError(403, "Forbidden", "cannot create secrets")]
    with pytest.raises(EngineError, match="cannot create secrets"):
        engine.start(with_connection(tmp_path, monkeypatch))
    assert cluster.pods == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ML_DATA", "/srv/data", "ML_DATA is '/srv/data', expected the name of a PersistentVolumeClaim"),
        ("ML_STAGE_TOLERATIONS", "training", "ML_STAGE_TOLERATIONS has 'training', expected words such as training:"),
        ("ML_STAGE_TOLERATIONS", "", "ML_STAGE_TOLERATIONS is unset or empty, expected words such as training:"),
        ("ML_STAGE_CONSTRAINTS", "training", "ML_STAGE_CONSTRAINTS has 'training'"),
        ("ML_POD_START_SECONDS", "soon", "ML_POD_START_SECONDS is 'soon', expected a number of seconds"),
        ("ML_KUBERNETES_API", "", "ML_KUBERNETES_API is unset, and this is no pod of a cluster"),
    ],
)
def test_setting_that_is_wrong_is_an_error_before_any_task_runs(
    settings: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Exception, match="expected") as raised:
        connect()
    assert str(raised.value).startswith(words)


@pytest.mark.parametrize(
    ("host", "address"), [("10.96.0.1", "https://10.96.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_pod_of_a_cluster_knows_its_api_server(
    settings: Path, monkeypatch: pytest.MonkeyPatch, host: str, address: str
) -> None:
    monkeypatch.delenv("ML_KUBERNETES_API")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert kubernetes.connect(1).address == address


def test_secret_whose_answer_was_lost_is_that_of_the_pod(
    engine: KubernetesEngine, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.lost_answers["POST secret"] = [KubernetesError(500, "InternalError", "etcdserver: request timed out")]
    name = engine.start(with_connection(tmp_path, monkeypatch))
    assert (list(cluster.pods), len(cluster.secrets)) == ([name], 1)
    assert cluster.requests == ["POST", "POST secret", "POST secret"]
