"""The whole stack under test: a compose project, a port and a data volume of its own, beside any that runs."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow_ml import stack as compose_stack
from airflow_ml.airflow_api import Airflow
from airflow_ml.secret_files import remove_secrets

from tests.harness import PATIENCE_S, ROOT, Data, Done, dags_of_the_docs, images, outside_of_make, registry_login

# Another name and another first port let two such stacks run side by side.
PROJECT = os.environ.get("ML_TEST_PROJECT", "airflow-ml-test")
PORT = int(os.environ.get("ML_TEST_PORT", "18080"))
os.environ |= {
    "COMPOSE_PROJECT_NAME": PROJECT,
    "ML_AIRFLOW_PORT": str(PORT),
    "ML_MLFLOW_PORT": str(PORT + 1),
    "ML_REPORTS_PORT": str(PORT + 2),
    "ML_DATA": f"{PROJECT}-data",
    "ML_UID": "10001",
    "ML_GID": "10001",
    # The network of the stack's own Postgres, which the tests use as somebody's database.
    "ML_EXCHANGE_NETWORK": f"{PROJECT}_default",
    "COMPOSE_FILE": os.pathsep.join(
        ["docker-compose.yml", "docker-compose.metrics.yml", "tests/end_to_end/stack.compose.yml"]
    ),
    "ML_OTLP_ENDPOINT": "http://collector:4318",
}
# Gets Airflow's metrics, in a container beside the stack.
COLLECTOR = f"{PROJECT}-collector"

# No test is about these: they bound what hangs, also on a machine that is slow and busy.
RUN_TIMEOUT_S, COMMAND_TIMEOUT_S = 1800, 1800
SMALL = {"rows": 3000}
FEW_TREES = {"lightgbm": {"num_boost_round": 20}}
# The day that `make run` trains on, and that several tests look at; the day that it scores, as in the README.
DAY, SCORED = "2026-11-21", "2026-11-22"
# The Dags in the order of a day.
DAGS = ("generate_data", "train_model", "predict", "monitor")
ALL_DAGS = (
    *DAGS,
    "tune_model",
    "backtest",
    "monitor_late_labels",
    "ask_after_shadow",
    "promote_model",
    "roll_back_model",
)
# Accounts of people, and their roles.
PEOPLE = {"vera": "viewer", "otto": "operator"}
Results = dict[tuple[str, str], dict[str, Any]]

# The rules of the stack under test, at first those of the repository: stack.compose.yml.
RULES = ROOT / ".cache" / "rules" / f"{PROJECT}.json"
os.environ["ML_TEST_RULES"] = str(RULES)
# The Dags of the tests: those beside this file, and those that docs/use.md shows.
TEST_DAGS = ROOT / ".cache" / "test-dags" / PROJECT
os.environ["ML_TEST_DAGS"] = str(TEST_DAGS)

# A Dag's schedule, and what takes its place: it may come while the tests run.
SCHEDULE = (r'schedule=at\("[^"]*"\)', "schedule=None")
# Where the Dag `exchange_predictions` brings predictions: a connection and a table.
EXPORT = "shop predicted_frauds"

# What stages are run on by hand.
data = Data(os.environ["ML_DATA"])


def registry(*arguments: str, code: int = 0) -> Done:
    """Run a command of the registry stage by hand, on MLflow's network."""
    options = (
        "--env=ML_MLFLOW_URI=http://mlflow:5000",
        registry_login(*(compose_stack.settings()[f"ML_REGISTRY_{name}"] for name in ("PASSWORD", "KEY"))),
    )
    return data.stage("registry", *arguments, code=code, network=f"{PROJECT}_mlflow", options=options)


class Stack:
    """Airflow as it runs under test."""

    def __init__(self) -> None:
        settings = compose_stack.settings()
        self.url = f"http://localhost:{settings['ML_AIRFLOW_PORT']}"
        self.password = settings["ML_ADMIN_PASSWORD"]
        self.airflow = Airflow(self.url, self.password)

    def run(self, dag: str, conf: dict[str, Any], logical_date: str | None = None) -> str:
        """Run a Dag to its end and expect success; returns the run's id."""
        return self.run_together([(dag, conf)], logical_date)[0]

    def run_together(self, runs: Sequence[tuple[str, dict[str, Any]]], logical_date: str | None = None) -> list[str]:
        """Run Dags at the same time, each with its `conf`, and expect success; returns the runs' ids."""
        started = [(dag, self.airflow.trigger(dag, conf, logical_date)) for dag, conf in runs]
        for dag, run in started:
            assert self.airflow.wait(dag, run, RUN_TIMEOUT_S) == "success", self.explain(dag, run)
        return [run for _, run in started]

    def last_run(self, dag: str, ds: str) -> str:
        """The id of a Dag's last run for a day."""
        runs = self.airflow.request("GET", f"/dags/{dag}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return next(str(run["dag_run_id"]) for run in runs if run["conf"].get("ds") == ds)

    def explain(self, dag: str, run: str) -> str:
        """The states of a run's tasks and the logs of those that failed."""
        tasks = self.airflow.tasks(dag, run)
        logs = [self.airflow.log_of(dag, run, task)[-3000:] for task in tasks if task["state"] == "failed"]
        return "\n".join([str({task["task_id"]: task["state"] for task in tasks}), *logs])

    def page(self, url: str) -> str:
        """The source of a page of MLflow or the reports."""
        asked = urllib.request.Request(url, headers=compose_stack.page_login())
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def links(self, dag: str, run: str, task: str) -> dict[str, str | None]:
        """The links on a task's page."""
        path = f"/dags/{dag}/dagRuns/{urllib.parse.quote(run)}/taskInstances/{task}/links"
        return dict(self.airflow.request("GET", path)["extra_links"])

    def field(self, dag: str, name: str, words: str) -> dict[str, Any]:
        """The schema of a field of a Dag's form, which Airflow reads again; its description has these words."""
        details = self.airflow.request("GET", f"/dags/{dag}/details")
        # It does so by itself too, within a minute.
        self.airflow.request("PUT", f"/parseDagFile/{details['file_token']}")
        end = time.monotonic() + RUN_TIMEOUT_S
        while True:
            schema: dict[str, Any] = details["params"][name]["schema"]
            if words in schema["description_md"]:
                return schema
            assert time.monotonic() < end, schema
            time.sleep(1)
            details = self.airflow.request("GET", f"/dags/{dag}/details")

    @contextmanager
    def shadow_days(self, days: int) -> Iterator[None]:
        """Rules with so many days in shadow for as long as the block runs."""
        try:
            write_rules(shadow_days=days)
            self._wait_for_shadow_tasks(there=True)
            yield
        finally:
            write_rules()
            self._wait_for_shadow_tasks(there=False)

    def _wait_for_shadow_tasks(self, *, there: bool) -> None:
        """Have Airflow read again the Dags whose tasks depend on shadow days, and wait until it has."""
        end = time.monotonic() + RUN_TIMEOUT_S
        for dag, task in (("predict", "shadow_predict"), ("monitor", "compare_shadow")):
            token = self.airflow.request("GET", f"/dags/{dag}/details")["file_token"]
            self.airflow.request("PUT", f"/parseDagFile/{token}")
            while (task in self._tasks_of(dag)) is not there:
                assert time.monotonic() < end, f"{dag} is not read again"
                time.sleep(0.5)

    def _tasks_of(self, dag: str) -> set[str]:
        return {task["task_id"] for task in self.airflow.request("GET", f"/dags/{dag}/tasks")["tasks"]}

    def results(self, dag: str, run: str) -> Results:
        """The result of each stage's command in a run."""
        return {(result["stage"], result["command"]): result for result in self.airflow.results(dag, run)}

    @contextmanager
    def variable(self, key: str, value: str) -> Iterator[None]:
        """An Airflow Variable for as long as the block runs."""
        self.airflow.request("POST", "/variables", {"key": key, "value": value})
        try:
            yield
        finally:
            self.airflow.request("DELETE", f"/variables/{key}")


class Mlflow:
    """MLflow's REST API, as far as people would look with it."""

    MODEL = "airflow-ml"

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> dict[str, Any]:
        address = f"{self.url}/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query)}"
        asked = urllib.request.Request(address, headers=compose_stack.page_login())
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return dict(json.load(answer))

    def send(self, method: str, path: str, **body: str | None) -> None:
        """Change something, as whoever has MLflow's login may."""
        headers = {**compose_stack.page_login(), "Content-Type": "application/json"}
        asked = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), headers, method=method
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE_S):
            pass

    def model(self) -> dict[str, Any]:
        """The registered model; without any where there is none yet."""
        try:
            return dict(self.get("registered-models/get", name=self.MODEL)["registered_model"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return {}

    def alias(self, name: str) -> str | None:
        """The version that has an alias."""
        found = [one["version"] for one in self.model().get("aliases", []) if one["alias"] == name]
        return found[0] if found else None

    def champion(self) -> str | None:
        return self.alias("champion")

    def events(self) -> list[dict[str, Any]]:
        """The promotions and rollbacks, the oldest first."""
        tags = {tag["key"]: tag["value"] for tag in self.model().get("tags", [])}
        return [json.loads(value) for key, value in sorted(tags.items()) if key.startswith("champion.")]

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.get("runs/get", run_id=run_id)["run"])

    def artifacts(self, run_id: str, path: str = "") -> list[str]:
        found = self.get("artifacts/list", run_id=run_id, **({"path": path} if path else {}))
        return [file["path"] for file in found.get("files", [])]

    def history(self, run_id: str, metric: str) -> list[dict[str, Any]]:
        """Every point of a metric."""
        return list(self.get("metrics/get-history", run_id=run_id, metric_key=metric).get("metrics", []))


@contextmanager
def champion_stays(stack: Stack) -> Iterator[None]:
    """After the block the champion is the one of before, whatever the block promotes, and the demo's feed goes on."""
    mlflow = Mlflow(compose_stack.pages()["mlflow"])
    before = mlflow.champion()
    try:
        yield
    finally:
        stack.airflow.pause("generate_data", paused=False)
        if mlflow.champion() != before:
            stack.run("roll_back_model", {"reason": "the end of a test of own data"})


def write_rules(**other: object) -> None:
    """Write the rules of the stack under test: those of the repository, and others in place of some of them."""
    rules = json.loads((ROOT / "dags" / "rules.json").read_text())
    assert set(other) <= set(rules)
    RULES.parent.mkdir(parents=True, exist_ok=True)
    # Into the same file, because a container has the file itself mounted.
    RULES.write_text(json.dumps({**rules, **other}))
    RULES.chmod(0o644)


def write_test_dags() -> None:
    """Bring together the Dags of the tests; those of the docs without a schedule, which may come while they run."""
    shutil.copytree(Path(__file__).parent / "test_dags", TEST_DAGS, dirs_exist_ok=True)
    for number, of_the_docs in enumerate(dags_of_the_docs()):
        unscheduled, found = re.subn(*SCHEDULE, of_the_docs)
        assert found == 1
        (TEST_DAGS / f"of_the_docs_{number}.py").write_text(unscheduled)
    (TEST_DAGS / "exchange_predictions.py").write_text(predict_with_export())


def predict_with_export() -> str:
    """The Dag `predict` as it is where ML_EXPORT is EXPORT, under another name and without a schedule."""
    text = (ROOT / "dags" / "predict.py").read_text()
    export = f'import os\n\nos.environ["ML_EXPORT"] = "{EXPORT}"\n\nfrom airflow.sdk'
    changes = (SCHEDULE, ("^from airflow.sdk", export), ('^    "predict",$', '    "exchange_predictions",'))
    for pattern, other in changes:
        text, found = re.subn(pattern, other, text, flags=re.MULTILINE)
        assert found == 1
    return text


def start_collector() -> None:
    code = (Path(__file__).parent / "collector.py").read_text()
    network = ["--network", f"{PROJECT}_default", "--network-alias", "collector"]
    command = ["docker", "run", "--detach", "--name", COLLECTOR, *network, "--entrypoint=python", images()["airflow"]]
    subprocess.run([*command, "-c", code], check=True, capture_output=True)


def remove_stack() -> None:
    subprocess.run(["docker", "rm", "--force", COLLECTOR], capture_output=True, check=False)
    compose_stack.compose("down", "--volumes", "--remove-orphans")
    remove_secrets()
    subprocess.run(["docker", "volume", "rm", "--force", data.source], capture_output=True, check=False)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    remove_stack()
    write_rules()
    write_test_dags()
    try:
        compose_stack.start()
        start_collector()
        yield Stack()
    finally:
        remove_stack()


@dataclass(frozen=True)
class FirstRun:
    """What `make run` printed on the fresh stack, the results of its stages, and those of DAY alone."""

    printed: str
    results: Results
    of_day: Results


# The days that `make run` for SCORED works on, by Dag.
RUN_DAYS = {"generate_data": SCORED, "train_model": DAY, "predict": SCORED, "monitor": SCORED}


def type_in(words: Sequence[str]) -> str:
    """What a command prints in the checkout, as a person sees it; fails unless it ends well."""
    done = subprocess.run(
        words, cwd=ROOT, env=outside_of_make(), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=COMMAND_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_by_make(ds: str) -> str:
    """What `make run` prints for a day."""
    return type_in(["make", "run", f"DS={ds}"])


def read_results(stack: Stack, days: Mapping[str, str]) -> Results:
    """The results of the last run of each Dag for its day."""
    results: Results = {}
    for dag, ds in days.items():
        results |= stack.results(dag, stack.last_run(dag, ds))
    return results


@pytest.fixture(scope="session")
def first_run(stack: Stack) -> FirstRun:
    """`make run` on the fresh stack; its model is in production until a test changes that."""
    printed = run_by_make(SCORED)
    of_day = read_results(stack, {"generate_data": DAY, "train_model": DAY})
    return FirstRun(printed, read_results(stack, RUN_DAYS), of_day)


@pytest.fixture(scope="session")
def day(stack: Stack, first_run: FirstRun) -> Results:
    """The results of one whole day, whose data and model are the first run's: here it is scored too."""
    results = dict(first_run.of_day)
    for dag in ("predict", "monitor"):
        results |= stack.results(dag, stack.run(dag, {"ds": DAY}))
    return results


@pytest.fixture(scope="session")
def people(stack: Stack) -> dict[str, Airflow]:
    """A client for a person of each role but admin, by role."""
    return {role: Airflow(stack.url, new_password(name, role), name) for name, role in PEOPLE.items()}


def new_password(name: str, role: str = "") -> str:
    """Make an account, or give it a new password; returns the password that the command prints."""
    printed = type_in(["./airflow-ml", "account", name, *([f"--role={role}"] if role else [])])
    return printed.split()[-1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A first hour is on a fresh stack, so it comes first."""
    items.sort(key=lambda item: item.path.name != "test_first_hour.py")


def run_mlflow_client(code: str) -> str:
    """Run Python code with all of MLflow and LightGBM, and nothing of ours, beside the stack's MLflow."""
    command = [ROOT / "airflow-ml", "mlflow-client", f"{PROJECT}_mlflow", "-"]
    done = subprocess.run(command, input=code, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
