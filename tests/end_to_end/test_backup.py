"""A backup taken while the stack works is restored beside it; both score another day, with the same bytes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_ml import rotate, secret_files
from airflow_ml.airflow_api import Airflow
from airflow_ml.backup import INDEX, RULES, SETTINGS
from airflow_ml.common import AirflowMlError, read_env
from airflow_ml.images.lock import revision_of
from airflow_ml.secret_files import setting

from tests.harness import ROOT, Data, Finished, copy_tool, docker, page_login, wait_until

from .conftest import (
    COMMAND_TIMEOUT_S,
    DAY,
    PORT,
    PROJECT,
    RUN_TIMEOUT_S,
    SMALL,
    Mlflow,
    Results,
    Stack,
    compose_stack,
    data,
)

# Older than every day that other tests look at.
ANOTHER = "2026-01-05"
# A day that never comes.
MISSING = "2026-03-03"
OTHER = f"{PROJECT}-other"
OTHER_DATA = Data(f"{OTHER}-data")
PORTS = {f"ML_{name}_PORT": str(PORT + 100 + number) for number, name in enumerate(("AIRFLOW", "MLFLOW", "REPORTS"))}
ELSEWHERE = {**os.environ, "COMPOSE_PROJECT_NAME": OTHER, "ML_DATA": OTHER_DATA.source, **PORTS}


def tool(*arguments: "str | Path", elsewhere: bool = False, checkout: Path = ROOT) -> Finished:
    command = [checkout / "airflow-ml", *arguments]
    environment = ELSEWHERE if elsewhere else os.environ
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )


@pytest.fixture(scope="module")
def backup(stack: Stack, day: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Taken while a Dag publishes another day."""
    folder = tmp_path_factory.mktemp("backups") / "now"
    run = stack.airflow.trigger("generate_data", {"ds": ANOTHER, **SMALL})
    done = tool("backup", folder)
    assert done.returncode == 0, done.stderr
    assert f"restore it with: ./airflow-ml restore {folder}" in done.stdout
    assert stack.airflow.wait("generate_data", run, RUN_TIMEOUT_S) == "success"
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without an `.env`, which takes that of the backup."""
    folder = tmp_path_factory.mktemp("elsewhere") / "checkout"
    left = shutil.ignore_patterns(".git", ".venv", ".cache", ".env", ".secrets", "backups", "pictures")
    shutil.copytree(ROOT, folder, ignore=left)
    return folder


@pytest.fixture(scope="module")
def other(backup: Path, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """The Airflow of the restored stack. In its backup is no key, as in one of an installation that never signed."""
    unsigned = shutil.copytree(backup, tmp_path_factory.mktemp("backups") / "unsigned")
    settings = (unsigned / SETTINGS).read_text()
    change_backup(unsigned, SETTINGS, re.sub(r"(?m)^ML_REGISTRY_KEY=.*$", "ML_REGISTRY_KEY=", settings).encode())
    try:
        done = tool("restore", unsigned, elsewhere=True, checkout=checkout)
        assert done.returncode == 0, done.stderr
        own = {name: value for name, value in ELSEWHERE.items() if name not in os.environ or os.environ[name] != value}
        assert read_env(checkout / ".env").items() >= own.items(), "the next command needs no variable"
        yield client(checkout)
    finally:
        down = ["docker", "compose", "down", "--volumes", "--remove-orphans"]
        subprocess.run(down, cwd=checkout, env=ELSEWHERE, capture_output=True, check=False)
        subprocess.run(["docker", "volume", "rm", "--force", OTHER_DATA.source], capture_output=True, check=False)


def client(checkout: Path) -> Airflow:
    """A client of the other Airflow, with the password of its checkout."""
    return Airflow(f"http://localhost:{PORTS['ML_AIRFLOW_PORT']}", read_env(checkout / ".env")["ML_ADMIN_PASSWORD"])


def change_backup(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a backup, and its hash."""
    (folder / name).write_bytes(content)
    index = json.loads((folder / INDEX).read_text())
    index["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / INDEX).write_text(json.dumps(index))


# Tables of Airflow's database with rows of a run, and the time that makes such a row old.
TIMES = {"dag_run": "start_date", "task_instance": "start_date", "xcom": "timestamp", "log": "dttm"}


def things_of_the_other_stack() -> list[str]:
    """Every container, volume and network of the stack beside ours."""
    kinds = (
        ("ps", "--all", "--format={{.Names}}"),
        ("volume", "ls", "--quiet"),
        ("network", "ls", "--format={{.Name}}"),
    )
    names = [name for kind in kinds for name in docker(*kind).stdout.split()]
    return sorted(name for name in names if name.startswith(OTHER))


def test_restore_that_fails_half_way_leaves_what_was_there_before(backup: Path, checkout: Path, tmp_path: Path) -> None:
    """The files are in their volumes and Postgres runs when the last database turns out to be damaged.

    Comes before the restore that the next tests look at, which then shows that the way is free again.
    """
    damaged = tmp_path / "damaged"
    shutil.copytree(backup, damaged)
    change_backup(damaged, "mlflow.dump", b"damaged")
    assert things_of_the_other_stack() == []
    done = tool("restore", damaged, elsewhere=True, checkout=checkout)
    assert done.returncode == 1
    assert "  database mlflow" in done.stderr
    assert "input file does not appear to be a valid archive" in done.stderr
    assert "do: restore another backup; what this one has made is removed" in done.stderr
    assert things_of_the_other_stack() == []
    assert not (checkout / ".env").exists()
    assert not (checkout / ".secrets" / OTHER).exists()


def test_restored_stack_has_the_runs_the_files_and_the_champion(other: Airflow) -> None:
    assert other.request("GET", "/dags/train_model/dagRuns?limit=100")["total_entries"] >= 1
    ours = {path: sha for path, sha in data.files().items() if DAY in path}
    theirs = OTHER_DATA.files()
    assert ours
    assert {path: theirs.get(path) for path in ours} == ours
    there, here = Mlflow(f"http://localhost:{PORTS['ML_MLFLOW_PORT']}"), Mlflow(compose_stack.pages()["mlflow"])
    assert there.champion() == here.champion() is not None
    assert there.events() == here.events()


def test_what_is_older_than_the_first_key_is_signed_with_it(other: Airflow, checkout: Path) -> None:
    """From then on an event without a signature is refused, and with it each command that follows the events."""
    assert re.fullmatch(r"v2\.[^,]+", read_env(checkout / ".env")["ML_REGISTRY_KEY"])
    assert tool("models", "--events", elsewhere=True, checkout=checkout).returncode == 0
    mlflow = Mlflow(f"http://localhost:{PORTS['ML_MLFLOW_PORT']}")
    name, key = read_env(checkout / ".env")["ML_MODEL_NAME"], "champion.2026-12-31T00:00:00.000000Z"
    event = {"version": mlflow.champion(), "kind": "promote", "by": "mallory", "reason": "mine", "run": None}
    mlflow.send("POST", "registered-models/set-tag", name=name, key=key, value=json.dumps(event))
    refused = tool("models", "--events", elsewhere=True, checkout=checkout)
    assert (refused.returncode, f"the tag '{key}' is not signed" in refused.stderr) == (3, True), refused.stderr
    mlflow.send("DELETE", "registered-models/delete-tag", name=name, key=key)


def status(url: str, password: str) -> int:
    """The code of the answer to the login of people with a password."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=page_login(password))) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def enters_database(password: str) -> bool:
    """Whether Postgres takes a password of Airflow's role, over the network."""
    connect = "import psycopg2, sys; psycopg2.connect(host='postgres', user='airflow', password=sys.stdin.read())"
    command = ["docker", "exec", "--interactive", f"{OTHER}-api-server-1", "python", "-c", connect]
    done = subprocess.run(command, input=password, text=True, capture_output=True, check=False)
    assert done.returncode == 0 or "password authentication failed" in done.stderr
    return done.returncode == 0


def states(airflow: Airflow, run: str) -> set[str | None]:
    """The states of the tasks of a training."""
    return {task["state"] for task in airflow.tasks("train_model", run)}


def test_every_secret_gets_a_new_value_by_a_command(other: Airflow, checkout: Path) -> None:
    """What was encrypted stays readable, what is in production stays signed; no old password and no token is valid."""
    other.request("POST", "/variables", {"key": "rotated", "value": "still readable"})
    waiting = other.trigger("train_model", {"ds": MISSING})
    wait_until(lambda: "deferred" in states(other, waiting), "a task waits in the triggerer")
    old = read_env(checkout / ".env")
    for command in (["account", "admin"], ["rotate", *rotate.NAMES]):
        done = tool(*command, elsewhere=True, checkout=checkout)
        assert done.returncode == 0, done.stderr
    new = read_env(checkout / ".env")
    secrets = {setting(secret) for secret in secret_files.SECRETS}
    assert {name for name in new if new[name] != old[name]} == secrets - {"ML_ALERT_URLS"}
    mounted = "".join(file.read_text() for file in (checkout / ".secrets" / OTHER).iterdir())
    assert not [name for name in secrets - {"ML_ALERT_URLS"} if old[name] and old[name] in mounted]

    with pytest.raises(AirflowMlError, match="Invalid JWT token"):
        other.request("GET", "/variables")
    with pytest.raises(AirflowMlError, match="answered 401"):
        Airflow(other.url, other.password).request("GET", "/variables")
    assert client(checkout).request("GET", "/variables/rotated")["value"] == "still readable"
    assert "deferred" in states(client(checkout), waiting)
    mlflow = f"http://localhost:{PORTS['ML_MLFLOW_PORT']}/api/2.0/mlflow/experiments/search?max_results=1"
    for password, answers in ((old["ML_PAGES_PASSWORD"], 401), (new["ML_PAGES_PASSWORD"], 200)):
        assert status(mlflow, password) == answers
    for password, enters in ((old["ML_POSTGRES_PASSWORD"], False), (new["ML_POSTGRES_PASSWORD"], True)):
        assert enters_database(password) is enters


def test_restored_stack_gives_another_day_the_same_bytes(stack: Stack, other: Airflow, checkout: Path) -> None:
    """The day that was being published is published by a run here, if the backup came first; then both score it."""
    other = client(checkout)
    run = other.trigger("generate_data", {"ds": ANOTHER, **SMALL})
    assert other.wait("generate_data", run, RUN_TIMEOUT_S) == "success"
    run = other.trigger("predict", {"ds": ANOTHER})
    stack.run("predict", {"ds": ANOTHER})
    assert other.wait("predict", run, RUN_TIMEOUT_S) == "success"
    path = f"predictions/{ANOTHER}/predictions.csv"
    assert OTHER_DATA.hash(path) == data.hash(path)


def test_tidy_removes_files_of_an_old_day_that_can_be_made_again(other: Airflow, checkout: Path) -> None:
    """On the other stack, whose day no later test needs. Marks and predictions stay; so does what was made today."""
    before = OTHER_DATA.files()
    done = tool("tidy", "--older-than=90", elsewhere=True, checkout=checkout)
    assert done.returncode == 0, done.stderr
    assert before.keys() <= OTHER_DATA.files().keys()
    OTHER_DATA.python(
        "import pathlib, re\n"
        f"for path in pathlib.Path('/data').glob('*/{ANOTHER}/_meta.json'):\n"
        """    path.write_text(re.sub(r'("started": ")[0-9]{4}', r'\\g<1>2020', path.read_text()))"""
    )
    done = tool("tidy", "--older-than=90", elsewhere=True, checkout=checkout)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["data", "database", "logs", "mlflow"]
    gone = {path for path in before.keys() - OTHER_DATA.files().keys() if ANOTHER in path}
    features = {path for path in before if path.startswith(f"features/{ANOTHER}/")}
    assert gone == features - {f"features/{ANOTHER}/_meta.json"} != set()


def sql(statement: str) -> str:
    """What the other stack's Postgres answers about Airflow's database."""
    command = ("psql", "--username=airflow", "--dbname=airflow", "--tuples-only", "--no-align")
    return docker("exec", f"{OTHER}-postgres-1", *command, f"--command={statement}").stdout.strip()


def rows_of(dag: str, run: str) -> dict[str, int]:
    """How many rows a run has in Airflow's database, by table."""
    where = f"where dag_id = '{dag}' and run_id = '{run}'"
    return {table: int(sql(f"select count(*) from {table} {where}")) for table in TIMES}


def test_tidy_removes_old_rows_of_airflow_and_keeps_the_rest(other: Airflow, checkout: Path) -> None:
    """Runs that are made old, with their tasks, results and events; one of them is of the schedule."""
    airflow = client(checkout)
    airflow.pause("monitor")  # no run of the schedule comes that would be newer
    (by_hand, recent, *_), (automatic, *_) = (
        [
            str(run["dag_run_id"])
            for run in airflow.request("GET", f"/dags/{dag}/dagRuns?order_by=run_after&state=success")["dag_runs"]
        ]
        for dag in ("predict", "monitor")
    )
    for dag, run in (("predict", by_hand), ("monitor", automatic)):
        for table, time in TIMES.items():
            old = (
                f"update {table} set {time} = {time} - interval '200 days' where dag_id = '{dag}' and run_id = '{run}'"
            )
            assert sql(old) != "UPDATE 0", table
    # Started by an asset, so not by hand; the scheduler counts from runs of the schedule. It is the only one.
    types = f"case when run_id = '{automatic}' then 'asset_triggered' else 'manual' end"
    assert sql(f"update dag_run set run_type = {types} where dag_id = 'monitor'") != "UPDATE 0"
    everything = [rows_of("predict", by_hand), rows_of("predict", recent), rows_of("monitor", automatic)]
    assert all(all(rows.values()) for rows in everything), everything

    without_start = f"dag_id = 'monitor' and run_id = '{automatic}' and start_date is null"
    never_began = int(sql(f"select count(*) from task_instance where {without_start}"))
    assert never_began < everything[2]["task_instance"]

    command = ("tidy", "--older-than=90")
    counted = tool(*command, "--dry-run", elsewhere=True, checkout=checkout)
    assert [rows_of("predict", by_hand), rows_of("predict", recent), rows_of("monitor", automatic)] == everything
    done = tool(*command, elsewhere=True, checkout=checkout)
    assert (counted.returncode, done.returncode) == (0, 0), counted.stderr + done.stderr
    nothing = dict.fromkeys(TIMES, 0)
    assert rows_of("predict", by_hand) == nothing
    # The newest that nobody started by hand stays, and with it what never began: it has no time.
    left = {**nothing, "dag_run": 1, "task_instance": never_began}
    assert rows_of("monitor", automatic) == left
    assert rows_of("predict", recent) == everything[1]
    assert {task["state"] for task in airflow.tasks("predict", recent)} >= {"success"}
    for printed in (counted.stdout, done.stdout):
        (rows,) = re.findall(r"^ *database +([\d,]+) rows", printed, re.MULTILINE)
        assert int(rows.replace(",", "")) >= sum(everything[0].values())


def test_restore_overwrites_nothing(backup: Path, stack: Stack) -> None:
    done = tool("restore", backup)
    assert done.returncode == 1
    assert (
        f"error: this installation is not empty, it has {PROJECT}-data, {PROJECT}_mlflow, {PROJECT}_postgres"
        in done.stderr
    )


def test_refused_restore_leaves_nothing_behind(backup: Path, stack: Stack, tmp_path: Path) -> None:
    """The settings of the backup once stayed as `.env` on a machine that had none."""
    copy_tool(tmp_path)
    before = sorted(tmp_path.iterdir())
    command = [tmp_path / "airflow-ml", "restore", backup]
    done = subprocess.run(
        command, env=os.environ, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    assert done.returncode == 1
    assert "error: this installation is not empty" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_damaged_backup_is_refused_before_anything_is_made(backup: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(backup, damaged)
    (damaged / "mlflow.dump").write_bytes(b"damaged")
    done = tool("restore", damaged, elsewhere=True)
    assert done.returncode == 1
    assert f"error: {damaged}/mlflow.dump has other bytes than its index says" in done.stderr
    (damaged / "mlflow.dump").unlink()
    assert "mlflow.dump is missing" in tool("restore", damaged, elsewhere=True).stderr


def test_backup_is_for_its_owner_alone_and_names_what_it_holds(backup: Path) -> None:
    assert backup.stat().st_mode & 0o77 == 0
    index = json.loads((backup / "backup.json").read_text())
    assert sorted(index["files"]) == ["airflow.dump", "data.tar.gz", "env", "mlflow.dump", "mlflow.tar.gz", RULES]
    assert index["torn"] == []
    assert index["revision"] == revision_of(ROOT)
    assert tool("backup", backup).returncode == 2
