"""A real MLflow server on Postgres, on an internal network, and days of data made by the real stages."""

import json
import secrets
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import (
    PATIENCE_S,
    RESTRICTED,
    ROOT,
    Data,
    Done,
    OpenStages,
    docker,
    images,
    mount_secrets,
    page_login,
    registry_login,
    wait_until,
)

PREFIX = "airflow-ml-registry-test"
POSTGRES = "postgres:17-trixie"
PAGES = {
    "ML_MLFLOW_PAGE": "http://localhost:5000",
    "ML_REPORTS_PAGE": "http://localhost:8081",
    "ML_AIRFLOW_PAGE": "http://localhost:8080",
}
FIRST, SECOND = "2026-11-15", "2026-11-16"
PAGES_PASSWORD, REGISTRY_PASSWORD = "of-people-and-longer", "of-the-stage-and-longer"
RULES = json.loads((ROOT / "dags/rules.json").read_text())
Json = dict[str, Any]


@dataclass
class Server:
    """The server; `name` is the registered model, so that each test has one of its own."""

    network: str
    address: str
    data: Data
    stages: OpenStages
    name: str = "airflow-ml"
    environment: Mapping[str, str] = field(default_factory=dict)
    # What the stage signs with. As behind the first key of an installation, what has no signature is valid too.
    key: str = "v2.of-the-stage,"

    def named(self, name: str, data: Data | None = None) -> "Server":
        return Server(self.network, self.address, data or self.data, self.stages, name)

    def options(self, run: str = "", **more: str) -> tuple[str, ...]:
        """What the operator gives a container of the stage."""
        dag = {"ML_DAG_ID": "train_model", "ML_RUN_ID": run} if run else {}
        environment = {"ML_MLFLOW_URI": "http://mlflow:5000", "ML_MODEL_NAME": self.name, **PAGES, **dag, **more}
        return (
            registry_login(REGISTRY_PASSWORD, self.key),
            *(f"--env={key}={value}" for key, value in environment.items()),
        )

    def registry(self, *arguments: str, run: str = "", code: int = 0, **more: str) -> Done:
        """Run a command of the stage."""
        options = self.options(run, **more)
        return self.data.stage(
            "registry", *arguments, code=code, network=self.network, options=options, among=self.stages
        )

    def register(self, ds: str = FIRST, run: str = "") -> Json:
        return self.registry("register", "--ds", ds, run=run).line

    def promote(self, version: str, reason: str = "a test", code: int = 0, run: str = "", at: str = "") -> Done:
        """Promote a version, or the challenger if none is named."""
        more = (*(("--version", version) if version else ()), *(("--at", at) if at else ()))
        return self.registry(*("promote", "--by", "tester", "--reason", reason, *more), code=code, run=run)

    def roll_back(self, code: int = 0, run: str = "") -> Done:
        return self.registry("roll-back", "--by", "tester", "--reason", "worse", code=code, run=run)

    def rest(self, path: str, /, body: Json | None = None, **query: str) -> Any:
        """What MLflow's REST interface says; None where there is no such thing."""
        address = f"{self.address}/{path}{'?' if query else ''}{urllib.parse.urlencode(query)}"
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Host": "mlflow:5000", "Content-Type": "application/json", **page_login(PAGES_PASSWORD)}
        try:
            with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=PATIENCE_S) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        try:
            return json.loads(content)
        except ValueError:
            return content.decode()

    def model(self) -> Json:
        """The registered model: aliases, and tags as a dictionary."""
        found = self.rest("api/2.0/mlflow/registered-models/get", name=self.name)["registered_model"]
        aliases = {alias["alias"]: alias["version"] for alias in found.get("aliases", [])}
        return {"aliases": aliases, "tags": pairs(found.get("tags", []))}

    def events(self) -> list[Json]:
        """The history, oldest first."""
        tags = {key: value for key, value in self.model()["tags"].items() if key.startswith("champion.")}
        return [json.loads(tags[key]) for key in sorted(tags)]

    def borrow(self, lender: "Server", count: int) -> None:
        """Versions of a registered model of its own that have the files of the lender's first; without a container."""
        lent = lender.rest("api/2.0/mlflow/model-versions/get", name=lender.name, version="1")["model_version"]
        self.rest("api/2.0/mlflow/registered-models/create", {"name": self.name})
        for _ in range(count):
            wanted = {"name": self.name, "source": lent["source"], "run_id": lent["run_id"], "tags": lent["tags"]}
            self.rest("api/2.0/mlflow/model-versions/create", wanted)

    def versions(self) -> list[Json]:
        found = self.rest("api/2.0/mlflow/model-versions/search", filter=f"name='{self.name}'")
        return list(found.get("model_versions", []))

    def version(self, number: str) -> Json:
        found = self.rest("api/2.0/mlflow/model-versions/get", name=self.name, version=number)["model_version"]
        return {**found, "tags": pairs(found.get("tags", []))}

    def runs(self) -> list[Json]:
        experiment = self.rest("api/2.0/mlflow/experiments/get-by-name", experiment_name=self.name)
        if experiment is None:
            return []
        body = {"experiment_ids": [experiment["experiment"]["experiment_id"]], "max_results": 100}
        return list(self.rest("api/2.0/mlflow/runs/search", body).get("runs", []))

    def run(self, run_id: str) -> Json:
        """A run: info, and params, metrics (the last of each), tags as dictionaries."""
        found = self.rest("api/2.0/mlflow/runs/get", run_id=run_id)["run"]
        return {"info": found["info"], **{kind: pairs(found["data"].get(kind, [])) for kind in DATA}}

    def points(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """Every point of a metric that MLflow was ever given: step and value."""
        found = self.rest("api/2.0/mlflow/metrics/get-history", run_id=run_id, metric_key=key)
        return [(int(point["step"]), point["value"]) for point in found.get("metrics", [])]

    def artifacts(self, run_id: str, path: str) -> set[str]:
        found = self.rest("api/2.0/mlflow/artifacts/list", run_id=run_id, path=path)
        return {Path(file["path"]).name for file in found.get("files", [])}

    def artifact(self, run_id: str, path: str) -> Any:
        return self.rest("get-artifact", run_uuid=run_id, path=path)


DATA = ("params", "metrics", "tags")


def pairs(entries: list[Json]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


@contextmanager
def serve(data: Data, *options: str) -> Iterator[Server]:
    """Postgres and the service's own image, with more options of `docker run`; removed at the end."""
    name = f"{PREFIX}-{secrets.token_hex(4)}"
    containers = {"db": f"{name}-db", "mlflow": f"{name}-mlflow"}
    docker("network", "create", "--internal", name)
    stages = OpenStages()
    try:
        start_database(name, containers["db"])
        address = start_server(name, containers["db"], containers["mlflow"], *options)
        yield Server(name, address, data, stages)
    finally:
        stages.close()
        docker("rm", "--force", "--volumes", *containers.values(), check=False)
        docker("network", "rm", name, check=False)


def start_database(network: str, name: str) -> None:
    settings = {"POSTGRES_USER": "mlflow", "POSTGRES_PASSWORD": "only-here", "POSTGRES_DB": "mlflow"}
    environment = [f"--env={key}={value}" for key, value in settings.items()]
    docker("run", "--detach", f"--name={name}", f"--network={network}", *environment, POSTGRES)


def start_server(network: str, database: str, name: str, *options: str) -> str:
    """Start MLflow as compose does; returns the address that reaches it from here, once it answers."""
    docker(
        *("run", "--detach", f"--name={name}", f"--network={network}", "--network-alias=mlflow"),
        "--network-alias=stranger",
        f"--env=MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://mlflow@{database}/mlflow",
        *mount_secrets(
            mlflow_postgres_password="only-here", pages_password=PAGES_PASSWORD, registry_password=REGISTRY_PASSWORD
        ),
        "--env=MLFLOW_SERVER_ALLOWED_HOSTS=mlflow:5000,127.0.0.1:5000",
        *options,
        images()["mlflow"],
    )
    probe = ("exec", name, "python", "/opt/service/server.py", "healthcheck")
    wait_until(lambda: docker(*probe, check=False).returncode == 0, "MLflow is ready", name)
    template = f'--format={{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    return f"http://{docker('inspect', name, template).stdout.strip()}:5000"


def server_container(server: Server) -> str:
    return f"{server.network}-mlflow"


def in_server(server: Server, code: str) -> str:
    """Run Python in the server's container, such as to damage what it keeps."""
    return docker("exec", server_container(server), "python", "-c", code).stdout


def start(server: Server, *arguments: str, run: str = "") -> "subprocess.Popen[str]":
    """Start a command that takes its time, and return immediately, with a container's name to kill it by."""
    name = f"{server.network}-killed"
    slow = [*RESTRICTED, "--cpus=0.1"]
    command = ["docker", "run", *slow, f"--name={name}", f"--network={server.network}", server.data.mount]
    return subprocess.Popen([*command, *server.options(run), images()["registry"], *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
