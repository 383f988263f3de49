"""How an Airflow connection reaches a container: as a file, while the task runs, and nowhere else."""

import asyncio
import json
import os
import shlex
import subprocess
import threading
import time
from pathlib import Path

import pytest
from airflow.models import DagRun
from airflow.models.taskinstance import clear_task_instances
from airflow.utils.session import create_session

from ml import connections, container_labels, operator
from tests.dags.engine.conftest import HELD, NO_PATIENCE, Engine, docker
from tests.dags.runs import Airflow, day
from tests.harness import PATIENCE_S

pytestmark = pytest.mark.usefixtures("_environment", "_shop")

PASSWORD, TOKEN = "only-in-the-file", "only-in-the-file-either"
CONNECTION = {
    "conn_type": "postgres", "host": "db", "port": 5432, "login": "me", "password": PASSWORD, "schema": "shop",
    "extra": {"sslmode": "require", "token": TOKEN},
}  # fmt: skip
READ = """
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["ML_CONNECTIONS"])
try:
    (folder / "x").write_text("x")
except OSError as error:
    changed = type(error).__name__ + " " + str(error.errno)
print(json.dumps({"arguments": sys.argv[1:], "content": json.loads((folder / "shop.json").read_text()),
                  "changed": changed, "others": os.listdir("/run/connections"), "folder": str(folder)}))
"""


@pytest.fixture
def _shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(CONNECTION))


def probe(probes: Airflow, code: str) -> tuple[str, str, object]:
    """Run the probe with a connection; returns its state, its error, its result."""
    run = probes.manual("probes", day("2026-11-21"), {"code": code})
    outcome = probes.run_task(run, "probe_with_connection")
    state = outcome.ti.state.value
    return state, str(outcome.error), probes.result(run, "probe_with_connection") if state == "success" else None


def test_container_reads_the_connection_and_cannot_change_it(probes: Airflow, folder: Path) -> None:
    state, error, result = probe(probes, READ)
    assert state == "success", error
    assert isinstance(result, dict)
    assert result["content"] == CONNECTION
    assert result["changed"] == "OSError 30"
    assert result["arguments"] == ["--connection=shop"]
    assert [f"/run/connections/{name}" for name in result["others"]] == [result["folder"]]
    assert list(folder.iterdir()) == []


def test_nothing_secret_is_in_what_the_engine_shows(probes: Airflow, folder: Path, engine: Engine) -> None:
    run = probes.manual("probes", day("2026-11-21"), {"code": "import time; print('up', flush=True); time.sleep(600)"})
    seen: list[str] = []

    def look() -> None:
        while not any("up" in docker("logs", container) for container in engine.containers(run.run_id)):
            time.sleep(0.1)
        assert [path.name for path in folder.glob("*/*")] == ["shop.json"]
        (container,) = engine.containers(run.run_id)
        seen.append(docker("inspect", container) + docker("top", container, "-ef"))
        docker("kill", container)

    looking = threading.Thread(target=look)
    looking.start()
    outcome = probes.run_task(run, "probe_with_connection")
    looking.join()
    assert outcome.ti.state == "up_for_retry"
    shown = f"{seen[0]}{outcome.error}{probes.shown_fields(run, 'probe_with_connection')}"
    assert "/run/connections" in shown
    assert PASSWORD not in shown
    assert TOKEN not in shown
    assert list(folder.iterdir()) == []


def test_next_try_removes_what_a_killed_worker_left(probes: Airflow, folder: Path) -> None:
    run = probes.manual("probes", day("2026-11-21"), {"code": f"{READ}\nraise SystemExit(1)"})
    names = []
    write = Path.write_text

    def seen(path: Path, *arguments: str, **more: str) -> int:
        names.append(path.parent)
        return write(path, *arguments, **more)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Path, "write_text", seen)
        probes.run_task(run, "probe_with_connection")
        (used,) = {name for name in names if name.parent == folder}
        used.mkdir()
        (used / "left.json").touch()
        probes.run_task(run, "probe_with_connection")
    assert {name for name in names if name.parent == folder} == {used}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("is_gone", [False, True])
def test_connection_is_there_while_the_triggerer_waits_and_not_longer(
    probes: Airflow, folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    run = probes.manual("probes", day("2026-11-21"), {"code": HELD + READ})
    assert probes.run_task(run, "probe_with_connection").ti.state == "deferred"
    assert [path.name for path in folder.glob("*/*")] == ["shop.json"]
    if is_gone:
        docker("rm", "--force", *engine.containers(run.run_id))
    engine.let_go(run.run_id)
    probes.fire_trigger(run, "probe_with_connection", PATIENCE_S)
    state = probes.run_task(run, "probe_with_connection", new_try=False).ti.state
    assert state == ("up_for_retry" if is_gone else "success")
    assert list(folder.iterdir()) == []


def clear(run: DagRun, task_id: str) -> None:
    """What a person does on the task's page."""
    with create_session() as session:
        found = session.merge(run).get_task_instance(task_id, session=session)
        assert found is not None
        clear_task_instances([found], session)


def test_trigger_that_is_stopped_after_a_clear_leaves_the_connection_of_the_new_try(
    probes: Airflow, folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy triggerer stops it late, when the next try has written its own."""
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    run = probes.manual("probes", day("2026-11-21"), {"code": HELD + READ})
    assert probes.run_task(run, "probe_with_connection").ti.state == "deferred"
    old, (before,) = probes.trigger(run, "probe_with_connection"), folder.iterdir()
    clear(run, "probe_with_connection")
    assert probes.run_task(run, "probe_with_connection").ti.state == "deferred"
    (after,) = folder.iterdir()  # the new try has removed the old one's container, and its connection
    asyncio.run(old.on_kill())
    assert before != after
    assert [path.name for path in folder.glob("*/*")] == ["shop.json"]
    engine.let_go(run.run_id)
    probes.fire_trigger(run, "probe_with_connection", PATIENCE_S)
    assert probes.run_task(run, "probe_with_connection", new_try=False).ti.state == "success"
    assert list(folder.iterdir()) == []


def test_folder_of_the_version_before_is_left_while_it_is_read_and_removed_then(folder: Path) -> None:
    """All tries of a task had one folder; a container of that version may go on."""
    labels = dict.fromkeys(("dag", "task", "run", "map-index", "data", "last-try"), "x")
    its_own = container_labels.of_try({f"airflow-ml.{name}": value for name, value in labels.items()})
    for kind in (its_own, container_labels.of_task(its_own)):
        one = folder / Path(connections.write("shop", kind)).name
        os.utime(one, (0, 0))
        connections.remove_all_but([its_own])
        assert one.exists()
        connections.remove(its_own)
        assert list(folder.iterdir()) == []


def test_command_by_hand_mounts_a_file_of_ones_own(
    probes: Airflow, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "print(open('/run/connections/shop.json').read()); raise SystemExit(3)"
    _, error, _ = probe(probes, code)
    assert PASSWORD not in error
    (tmp_path / "shop.json").write_text("mine")
    command = shlex.split(error.partition("By hand: ")[2])
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (3, "mine\n")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AIRFLOW_CONN_SHOP", None, "Airflow has no connection 'shop'"),
        ("ML_EXCHANGE_NETWORK", "none", "ML_EXCHANGE_NETWORK is none"),
        ("ML_EXCHANGE_NETWORK", None, "ML_EXCHANGE_NETWORK is unset or empty"),
        ("ML_CONNECTIONS_VOLUME", None, "ML_CONNECTIONS_VOLUME is unset or empty"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_missing_fails_the_task_and_says_what_to_do(
    probes: Airflow, monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, message: str
) -> None:
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    state, error, _ = probe(probes, READ)
    assert state == "failed"
    assert message in error
    assert "do: " in error


def test_extra_that_is_no_json_is_refused_without_its_text(
    probes: Airflow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({**CONNECTION, "extra": f"token={TOKEN}"}))
    state, error, _ = probe(probes, READ)
    assert state == "failed"
    assert "the extra of the connection 'shop' is not JSON" in error
    assert TOKEN not in error
    assert list(folder.iterdir()) == []


def test_login_of_the_registry_is_a_secret_and_no_connection_of_airflow(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"PASSWORD": tmp_path / "registry_password", "KEY": tmp_path / "registry_key"}
    for name, file in files.items():
        file.write_text(f"its-{name}\n")
        monkeypatch.setattr(connections, name, file)
    written = folder / Path(connections.write(connections.MLFLOW, {"task": "resolve"}, login=True)).name / "mlflow.json"
    login = {"login": "registry", "password": "its-PASSWORD", "key": "its-KEY"}
    assert json.loads(written.read_text()) == login
    connections.remove({"task": "resolve"})
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("secret", ["PASSWORD", "KEY"])
@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read .*let the scheduler have"), ("\n", "is empty, .*`make up`")]
)
def test_registry_gets_no_login_without_its_password_and_its_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str, content: str | None, said: str
) -> None:
    """Without the key the stage wrote what nobody could tell from a forgery."""
    for name in ("PASSWORD", "KEY"):
        (file := tmp_path / name).write_text("is there")
        monkeypatch.setattr(connections, name, file)
    wrong = tmp_path / secret
    wrong.unlink() if content is None else wrong.write_text(content)
    with pytest.raises(connections.NoConnection, match=f"{wrong} {said}"):
        connections.write(connections.MLFLOW, {"task": "resolve"}, login=True)
    assert list(folder.iterdir()) == []


def test_connection_of_airflow_with_the_name_of_the_login_is_not_the_login(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secret := tmp_path / "registry_password").write_text("of-the-stage")
    monkeypatch.setattr(connections, "PASSWORD", secret)
    monkeypatch.setenv(f"AIRFLOW_CONN_{connections.MLFLOW.upper()}", json.dumps(CONNECTION))
    written = folder / Path(connections.write(connections.MLFLOW, {"task": "export"})).name / "mlflow.json"
    assert json.loads(written.read_text()) == CONNECTION
