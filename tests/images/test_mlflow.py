"""MLflow's server as compose runs it, before the real Postgres: what stages and people ask of it works, little else."""

import base64
import json
import os
import re
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pytest

from tests.harness import PATIENCE_S, ROOT, docker, free_port, images, mount_secrets, page_login, wait_until

POSTGRES = {"POSTGRES_USER": "airflow", "POSTGRES_DB": "airflow", "POSTGRES_PASSWORD": "airflow"}
MAKE_DATABASE = "import sys; sys.path.insert(0, '/opt/service'); import init; init.make_mlflow_database(sys.argv[1])"
# Names an application role of Postgres and its password, tries to enter a database, says what became of it.
ENTER = """
import psycopg2, sys
try:
    psycopg2.connect(host="postgres", user="mlflow", password=sys.argv[1], dbname=sys.argv[2]).close()
    print("entered")
except psycopg2.OperationalError as error:
    print(error)
"""
CONFINEMENT = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
mounts = dict((line.split()[1], line.split()[3].split(",")) for line in open("/proc/mounts"))
print(json.dumps({
    "user": os.getuid(), "capabilities": int(status["CapBnd"], 16), "no new privileges": int(status["NoNewPrivs"]),
    "root": mounts["/"][0], "other mounts": sorted(
        path for path, options in mounts.items()
        if options[0] == "rw" and not path.startswith(("/proc", "/sys", "/dev", "/etc/"))
    ),
}))
"""
LARGE = 600 << 20
PAGES_PASSWORD, REGISTRY_PASSWORD = "of-people-and-longer", "of-the-stage-and-longer"


class Server:
    """Postgres, and the server with all that docker-compose.yml says of it, on a network of their own."""

    def __init__(self) -> None:
        self.name = f"airflow-ml-test-mlflow-{secrets.token_hex(4)}"
        self.port, self.password = free_port(), secrets.token_urlsafe(24)
        self.url = f"http://localhost:{self.port}"
        docker("network", "create", self.name)
        environment = [f"--env={name}={value}" for name, value in POSTGRES.items()]
        postgres = re.findall(r"image: (postgres:\S+)", (ROOT / "docker-compose.yml").read_text())[0]
        docker("run", "--detach", f"--name={self.name}-postgres", f"--network={self.name}",
               "--network-alias=postgres", *environment, postgres)  # fmt: skip
        wait_until(self.postgres_is_ready, "Postgres takes connections")

    def postgres_is_ready(self) -> bool:
        command = ["exec", f"{self.name}-postgres", "pg_isready", "--quiet", "--host", "127.0.0.1", "-U", "airflow"]
        return docker(*command, check=False).returncode == 0

    def make_database(self, password: str) -> None:
        """As the service init does, in its image, with the role that made Postgres' volume."""
        address = "postgresql+psycopg2://airflow:airflow@postgres/airflow"
        docker("run", "--rm", f"--network={self.name}", f"--env=AIRFLOW__DATABASE__SQL_ALCHEMY_CONN={address}",
               "--entrypoint=python", images()["airflow"], "-c", MAKE_DATABASE, password)  # fmt: skip

    def start(self) -> None:
        """As compose would."""
        service = self.service
        environment = [f"--env={name}={value}" for name, value in service["environment"].items()]
        given = {
            "mlflow_postgres_password": self.password,
            "pages_password": PAGES_PASSWORD,
            "registry_password": REGISTRY_PASSWORD,
        }
        secrets = mount_secrets(**{one["source"]: given[one["source"]] for one in service["secrets"]})
        confined = [*(f"--cap-drop={name}" for name in service["cap_drop"]),
                    *(f"--security-opt={option}" for option in service["security_opt"]),
                    *(f"--tmpfs={path}" for path in service["tmpfs"]),
                    *(["--read-only"] if service["read_only"] else []),
                    f"--memory={service['mem_limit']}", f"--pids-limit={service['pids_limit']}"]  # fmt: skip
        (volume,), (port,) = service["volumes"], service["ports"]
        # Empty, as Kubernetes mounts a new claim: without `nocopy`, Docker copies the image's folders into it.
        home = f"--volume={self.name}:{volume['target']}:nocopy"
        own = f"import os; os.chown({volume['target']!r}, 10001, 10001)"
        docker("run", "--rm", "--user=0", home, "--entrypoint=python", images()["mlflow"], "-c", own)
        docker("run", "--detach", f"--name={self.name}", f"--network={self.name}", "--network-alias=mlflow",
               home, f"--publish={port['host_ip']}:{self.port}:{port['target']}",
               *environment, *secrets, *confined, images()["mlflow"])  # fmt: skip

    @cached_property
    def service(self) -> dict[str, Any]:
        """What docker-compose.yml says of the service, with this server's port."""
        config = subprocess.run(
            ["docker", "compose", "config", "--format", "json"], cwd=ROOT,
            env={**os.environ, "ML_MLFLOW_PORT": str(self.port)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(config.stdout)["services"]["mlflow"]
        return found

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name, f"{self.name}-postgres", check=False)
        docker("volume", "rm", "--force", self.name, check=False)
        docker("network", "rm", self.name, check=False)

    def python(self, code: str, *arguments: str) -> str:
        return docker("exec", self.name, "python", "-c", code, *arguments).stdout.strip()

    def healthcheck(self) -> "subprocess.CompletedProcess[str]":
        return docker("exec", self.name, *self.service["healthcheck"]["test"][1:], check=False)

    def is_healthy(self) -> bool:
        return self.healthcheck().returncode == 0

    def send(self, method: str, path: str, content: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """The status and the bytes of the answer."""
        login = page_login(PAGES_PASSWORD)
        request = urllib.request.Request(f"{self.url}{path}", content, {**login, **headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A call of the REST API that succeeds."""
        content = None if body is None else json.dumps(body).encode()
        status, answer = self.send(method, f"/api/2.0/mlflow/{path}", content, **{"Content-Type": "application/json"})
        assert status == 200, answer
        found: dict[str, Any] = json.loads(answer)
        return found

    def log(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    one = Server()
    try:
        one.start()  # before its database is there, as compose does
        wait_until(lambda: "waiting for the database" in one.log(), "the server says what it waits for")
        one.make_database("of-another-env")
        one.make_database(one.password)
        wait_until(one.is_healthy, "the server is healthy")
        yield one
    finally:
        one.remove()


@pytest.fixture(scope="module")
def run(server: Server) -> dict[str, Any]:
    """A run with what a training logs."""
    experiment = server.call("POST", "experiments/create", {"name": "airflow-ml"})["experiment_id"]
    tags = [{"key": "airflow_ml.ds", "value": "2026-11-21"}]
    created = server.call("POST", "runs/create", {"experiment_id": experiment, "start_time": 1, "tags": tags})
    info: dict[str, Any] = created["run"]["info"]
    metrics = [
        {"key": "validation.auc", "value": value, "timestamp": 1, "step": step} for step, value in enumerate([0.7, 0.8])
    ]
    batch = {"run_id": info["run_id"], "metrics": metrics, "params": [{"key": "num_leaves", "value": "31"}]}
    server.call("POST", "runs/log-batch", batch)
    return info


def artifact(run: dict[str, Any], path: str) -> str:
    """Where the server takes and gives an artifact of a run."""
    return f"/api/2.0/mlflow-artifacts/artifacts/{run['artifact_uri'].partition(':/')[2]}/{path}"


def test_database_is_made_for_mlflow_alone_and_takes_over_a_changed_password(server: Server) -> None:
    assert server.python(ENTER, server.password, "mlflow") == "entered"
    assert "password authentication failed" in server.python(ENTER, "of-another-env", "mlflow")
    assert 'permission denied for database "airflow"' in server.python(ENTER, server.password, "airflow")


def test_run_keeps_what_was_logged(server: Server, run: dict[str, Any]) -> None:
    data = server.call("GET", f"runs/get?run_id={run['run_id']}")["run"]["data"]
    assert [(metric["key"], metric["value"]) for metric in data["metrics"]] == [("validation.auc", 0.8)]
    assert {"key": "num_leaves", "value": "31"} in data["params"]
    history = server.call("GET", f"metrics/get-history?run_id={run['run_id']}&metric_key=validation.auc")["metrics"]
    assert [(point["step"], point["value"]) for point in history] == [(0, 0.7), (1, 0.8)]
    wanted = {"experiment_ids": [run["experiment_id"]], "filter": "tags.`airflow_ml.ds` = '2026-11-21'"}
    assert [found["info"]["run_id"] for found in server.call("POST", "runs/search", wanted)["runs"]] == [run["run_id"]]


def test_artifact_comes_back_as_it_was_sent(server: Server, run: dict[str, Any]) -> None:
    content = secrets.token_bytes(1 << 20)
    assert server.send("PUT", artifact(run, "model/model.txt"), content)[0] == 200
    assert server.send("GET", artifact(run, "model/model.txt")) == (200, content)
    listed = server.call("GET", f"artifacts/list?run_id={run['run_id']}&path=model")["files"]
    assert listed == [{"path": "model/model.txt", "is_dir": False, "file_size": len(content)}]
    assert server.send("GET", f"/get-artifact?run_id={run['run_id']}&path=model/model.txt") == (200, content)


def test_artifact_outside_of_the_artifacts_is_refused(server: Server, run: dict[str, Any]) -> None:
    for path in ("../../../../etc/passwd", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd"):
        assert server.send("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")[0] in (400, 404)


def test_registry_keeps_versions_aliases_and_tags(server: Server, run: dict[str, Any]) -> None:
    server.call("POST", "registered-models/create", {"name": "airflow-ml"})
    source = f"{run['artifact_uri']}/model"
    server.send("PUT", artifact(run, "model/MLmodel"), b"flavors: {}")
    version = {"name": "airflow-ml", "source": source, "run_id": run["run_id"]}
    made = [server.call("POST", "model-versions/create", version)["model_version"]["version"] for _ in range(2)]
    assert made == ["1", "2"]
    for number in made:
        alias = {"name": "airflow-ml", "alias": "champion", "version": number}
        server.call("POST", "registered-models/alias", alias)
    champion = server.call("GET", "registered-models/alias?name=airflow-ml&alias=champion")["model_version"]
    assert (champion["version"], champion["run_id"], champion["source"]) == ("2", run["run_id"], source)
    path = "/model-versions/get-artifact?name=airflow-ml&version=2&path=MLmodel"
    assert server.send("GET", path) == (200, b"flavors: {}")
    tag = {"key": "champion.2026-11-21T03:00:00Z", "value": '{"version": "2"}'}
    server.call("POST", "registered-models/set-tag", {"name": "airflow-ml", **tag})
    assert server.call("GET", "registered-models/get?name=airflow-ml")["registered_model"]["tags"] == [tag]


def rows_of(server: Server, run_id: str) -> list[int]:
    """How many rows of the database a run has, by table."""
    tables = ("runs", "metrics", "latest_metrics", "params", "tags")
    return [int(sql(server, f"select count(*) from {table} where run_uuid = '{run_id}'")) for table in tables]


def sql(server: Server, statement: str) -> str:
    command = ("psql", "--username=airflow", "--dbname=mlflow", "--tuples-only", f"--command={statement}")
    return docker("exec", f"{server.name}-postgres", *command).stdout.strip()


def test_deleted_runs_go_from_the_database_later_unless_a_version_names_them(server: Server) -> None:
    """`tidy` deletes runs; their rows stayed for ever. `mlflow gc` removes also those of versions in production."""
    experiment = server.call("POST", "experiments/create", {"name": "deleted"})["experiment_id"]
    server.call("POST", "registered-models/create", {"name": "deleted"})
    runs = {}
    for name in ("old", "recent", "named", "there"):
        created = server.call("POST", "runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]
        batch = {"run_id": created["run_id"], "metrics": [{"key": "auc", "value": 0.7, "timestamp": 1, "step": 0}]}
        server.call("POST", "runs/log-batch", batch | {"params": [{"key": "num_leaves", "value": "31"}]})
        assert server.send("PUT", artifact(created, "model/model.txt"), b"tree")[0] == 200
        runs[name] = created
    version = {"name": "deleted", "source": f"{runs['named']['artifact_uri']}/model", "run_id": runs["named"]["run_id"]}
    server.call("POST", "model-versions/create", version)
    for name in ("old", "recent", "named"):
        server.call("POST", "runs/delete", {"run_id": runs[name]["run_id"]})
    before = 1_000_000
    for name in ("old", "named"):
        moment = f"update runs set deleted_time = {before - 1} where run_uuid = '{runs[name]['run_id']}'"
        assert sql(server, moment) == "UPDATE 1"
    program = ("exec", server.name, "python", "/opt/service/deleted.py", str(before))
    assert json.loads(docker(*program, "--dry-run").stdout) == {"runs": 1, "kept": 1}
    assert rows_of(server, runs["old"]["run_id"])[:4] == [1, 1, 1, 1]
    assert json.loads(docker(*program).stdout) == {"runs": 1, "kept": 1}
    assert rows_of(server, runs["old"]["run_id"]) == [0, 0, 0, 0, 0]
    assert server.send("GET", artifact(runs["old"], "model/model.txt"))[0] == 404
    for name in ("recent", "named", "there"):
        assert rows_of(server, runs[name]["run_id"])[:4] == [1, 1, 1, 1], name
        assert server.send("GET", artifact(runs[name], "model/model.txt")) == (200, b"tree"), name
    server.call("POST", "runs/restore", {"run_id": runs["named"]["run_id"]})
    assert json.loads(docker(*program).stdout) == {"runs": 0, "kept": 0}
    assert server.is_healthy()


def test_page_of_a_run_gets_what_it_asks_for(server: Server, run: dict[str, Any]) -> None:
    """Run pages ask in GraphQL, charts for many histories at once; both are loaded when they are first asked for."""
    query = "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runUuid } } } }"
    body = {"operationName": "GetRun", "query": query, "variables": {"data": {"runId": run["run_id"]}}}
    status, answer = server.send("POST", "/graphql", json.dumps(body).encode(), **{"Content-Type": "application/json"})
    assert (status, json.loads(answer)["data"]) == (
        200, {"mlflowGetRun": {"run": {"info": {"runUuid": run["run_id"]}}}},
    )  # fmt: skip
    path = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={run['run_id']}&metric_key=validation.auc"
    status, answer = server.send("GET", path)
    assert (status, len(json.loads(answer)["metrics"])) == (200, 2)


def test_page_is_served_whole_and_from_here_alone(server: Server) -> None:
    status, page = server.send("GET", "/")
    assert (status, b"<title>MLflow" in page) == (200, True)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
    assert any(path.endswith(".js") for path in loaded)
    for path in loaded:
        assert "://" not in path
        status, content = server.send("GET", f"/{path.removeprefix('./')}")
        assert (status, len(content) > 100) == (200, True), path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5000", "10.0.0.1:5000"])
def test_other_name_than_its_own_is_refused(server: Server, host: str) -> None:
    """A page of a foreign name that leads to this machine (DNS rebinding) gets nothing."""
    for path in ("/", "/api/2.0/mlflow/experiments/search?max_results=1", "/get-artifact?run_id=x&path=y"):
        assert server.send("GET", path, Host=host)[0] == 403


def test_name_on_the_network_of_the_stages_is_taken(server: Server) -> None:
    code = "import sys, json, urllib.request as u; headers = json.loads(sys.argv[1])\n"
    code += "print(u.urlopen(u.Request('http://mlflow:5000/', headers=headers)).status)"
    assert server.python(code, json.dumps(page_login(PAGES_PASSWORD))) == "200"


OPENED = [
    ("GET", "/"), ("GET", "/health"), ("GET", "/version"), ("GET", "/favicon.ico"), ("GET", "/static-files/index.html"),
    ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/openapi.json"), ("POST", "/graphql"), ("POST", "/v1/traces"),
    ("GET", "/get-artifact?run_id=x&path=y"), ("GET", "/model-versions/get-artifact?name=x&version=1&path=y"),
    ("GET", "/api/2.0/mlflow/experiments/search?max_results=1"), ("GET", "/api/3.0/mlflow/server-info"),
    ("POST", "/ajax-api/2.0/mlflow/registered-models/set-tag"), ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x"),
    ("GET", "//api/2.0/mlflow/experiments/search?max_results=1"), ("OPTIONS", "/api/2.0/mlflow/runs/create"),
    ("GET", "/gateway/x"), ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPENED)
def test_request_without_a_login_is_refused(server: Server, method: str, path: str) -> None:
    assert server.send(method, path, b"{}" if method != "GET" else None, Authorization="") == (401, b"Log in.\n")


def basic(words: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(words.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (basic(f"ml:{PAGES_PASSWORD}"), 200),
        (basic(f"registry:{REGISTRY_PASSWORD}"), 200),
        (basic(f"ml:{PAGES_PASSWORD}", "bAsIc"), 200),
        (basic(f"registry:{PAGES_PASSWORD}"), 401),
        (basic(f"ml:{REGISTRY_PASSWORD}"), 401),
        (basic(f"ML:{PAGES_PASSWORD}"), 401),
        (basic(f"ml:{PAGES_PASSWORD} "), 401),
        (basic(f"ml:{PAGES_PASSWORD[:-1]}"), 401),
        (basic("ml:"), 401),
        (basic(""), 401),
        (basic(f"ml:{PAGES_PASSWORD}", "Bearer"), 401),
        (f"Basic ml:{PAGES_PASSWORD}", 401),
        ("Basic " + "A" * 5000, 401),
        ("Basic \xff\xfe", 401),
        ("Basic", 401),
    ],
)
def test_login_is_that_of_an_account_and_its_password(server: Server, header: str, status: int) -> None:
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert server.send("GET", path, Authorization=header)[0] == status


@pytest.mark.parametrize(("given", "found"), [({}, 0), ({"registry_password": "fifteen-letters"}, 15)])
def test_server_without_a_long_password_does_not_start(given: dict[str, str], found: int) -> None:
    options = ["--env=MLFLOW_BACKEND_STORE_URI=x", *mount_secrets(pages_password=PAGES_PASSWORD, **given)]
    done = docker("run", "--rm", *options, images()["mlflow"], check=False)
    expected = "expected a password of at least 16; do: set ML_REGISTRY_PASSWORD in .env, then make up"
    assert (done.returncode, done.stderr) == (
        2, f"error: /run/secrets/registry_password has {found} characters, {expected}\n"
    )  # fmt: skip


def test_assistant_that_runs_programs_is_closed_to_the_network(server: Server) -> None:
    for method, path, body in (("PUT", "config", b"{}"), ("POST", "message", b'{"message": "x"}')):
        content_type = {"Content-Type": "application/json"}
        status, answer = server.send(method, f"/ajax-api/3.0/mlflow/assistant/{path}", body, **content_type)
        assert status == 403, answer


def test_server_is_confined(server: Server) -> None:
    assert json.loads(server.python(CONFINEMENT)) == {
        "user": 10001, "capabilities": 0, "no new privileges": 1, "root": "ro", "other mounts": ["/opt/mlflow", "/tmp"],  # noqa: S108
    }  # fmt: skip


def test_log_has_requests_but_neither_health_checks_nor_secrets(server: Server, run: dict[str, Any]) -> None:
    lines = server.log().splitlines()
    assert any('"POST /api/2.0/mlflow/runs/create HTTP/1.1" 200' in line for line in lines)
    assert not [line for line in lines if "max_results=1 " in line and "127.0.0.1:" in line and line.endswith(" 200")]
    assert not [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING) \S+: ", line)]
    assert server.password not in "\n".join(lines)


def test_large_artifact_is_not_a_matter_of_memory(server: Server, run: dict[str, Any]) -> None:
    assert int(server.service["mem_limit"]) < LARGE
    assert server.send("PUT", artifact(run, "large.bin"), bytes(LARGE))[0] == 200
    listed = server.call("GET", f"artifacts/list?run_id={run['run_id']}")["files"]
    assert {"path": "large.bin", "is_dir": False, "file_size": LARGE} in listed
    assert server.python("import os; print(os.listdir('/opt/mlflow/tmp'))") == "[]"
    used = docker("stats", "--no-stream", "--format={{.MemPerc}}", server.name).stdout
    assert float(used.strip().rstrip("%")) < 80


def test_server_says_that_the_database_is_away_and_heals(server: Server) -> None:
    docker("stop", f"{server.name}-postgres")
    away = server.healthcheck()
    assert away.returncode == 1
    assert re.match(r"mlflow: answers 503: .*postgres", away.stderr), away.stderr
    docker("start", f"{server.name}-postgres")
    wait_until(server.is_healthy, "the server is healthy again")
    state = json.loads(docker("inspect", server.name).stdout)[0]
    assert (state["State"]["Running"], state["RestartCount"]) == (True, 0)


def test_restart_keeps_runs_artifacts_and_models(server: Server, run: dict[str, Any]) -> None:
    assert server.send("PUT", artifact(run, "kept.txt"), b"kept")[0] == 200
    server.python("open('/opt/mlflow/tmp/left-by-a-kill', 'w')")
    docker("stop", "--time=60", server.name)
    state = json.loads(docker("inspect", server.name).stdout)[0]["State"]
    assert state["ExitCode"] != 137, "it heard the signal"
    docker("start", server.name)
    wait_until(server.is_healthy, "the server is healthy after its restart")
    assert server.call("GET", f"runs/get?run_id={run['run_id']}")["run"]["info"]["run_uuid"] == run["run_id"]
    assert server.send("GET", artifact(run, "kept.txt")) == (200, b"kept")
    assert server.python("import os; print(os.listdir('/opt/mlflow/tmp'))") == "[]"
