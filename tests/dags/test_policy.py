"""What no Dag may do without: one operator, locked images, limits, retries; nothing looked up while parsing."""

import ast
import json
import os
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml import engines
from ml.approval import AskPerson
from ml.engines.docker import host_config
from ml.images import ImageLockError, image_of
from ml.operator import StageOperator
from ml.sensor import PartitionSensor
from ml.started_dags import EvaluateAgain, TrainOnBreach
from ml.tasks import stage
from tests.dags.conftest import DAGS, IMAGES, LOCK
from tests.dags.runs import Dags, make_bag, unmapped

Tasks = list[StageOperator]
# What these work on is not a day but the registry.
WITHOUT_DAY = {"resolve", "answer", "promote", "roll_back"}
DAG_FILES = sorted(DAGS.glob("*.py"))


@pytest.fixture(scope="module")
def tasks(dags: Dags) -> Tasks:
    found = [unmapped(task) for dag in dags.values() for task in dag.tasks]
    return [task for task in found if isinstance(task, StageOperator)]


def test_every_task_is_a_stage_or_waits_or_asks_or_starts_another_dag(dags: Dags) -> None:
    found = {type(unmapped(task)) for dag in dags.values() for task in dag.tasks}
    assert found == {StageOperator, PartitionSensor, TrainOnBreach, EvaluateAgain, AskPerson}


def test_what_starts_a_training_does_no_work(dags: Dags) -> None:
    (task,) = (task for dag in dags.values() for task in dag.tasks if isinstance(task, TrainOnBreach))
    assert not task.outlets
    assert not {"open", "read_text", "read_bytes", "write_text", "run", "Popen"} & _called_names("started_dags.py")
    assert timedelta(0) < task.execution_timeout <= timedelta(minutes=5)
    assert task.trigger_dag_id in dags


def test_what_evaluates_again_does_no_work_and_holds_no_worker(dags: Dags) -> None:
    (task,) = (task for dag in dags.values() for task in dag.tasks if isinstance(task, EvaluateAgain))
    assert not task.outlets
    assert not {"open", "read_text", "read_bytes", "write_text", "run", "Popen"} & _called_names("started_dags.py")
    assert task.deferrable
    assert task.wait_for_completion
    assert task.dag.max_active_runs == 1
    assert task.trigger_dag_id in dags


def test_what_asks_does_no_work_and_holds_no_run_up(dags: Dags) -> None:
    asking = [task for dag in dags.values() for task in dag.tasks if isinstance(task, AskPerson)]
    assert {task.dag.dag_id for task in asking} == {"train_model", "ask_after_shadow"}
    assert not {"open", "read_text", "read_bytes", "write_text", "run", "Popen"} & _called_names("approval.py")
    for task in asking:
        assert not task.outlets
        assert task.defaults == ["Keep as challenger"]
        assert task.max_active_tis_per_dag is None
        assert task.dag.max_active_runs > 1
        stages = [one for one in task.dag.tasks if isinstance(one, StageOperator)]
        assert all(one.max_active_tis_per_dag == 1 for one in stages)


def test_what_waits_does_no_work(dags: Dags) -> None:
    """It makes no data and hands on no more than the numbers of shards: the stages' containers do all work."""
    waiting = [task for dag in dags.values() for task in dag.tasks if isinstance(task, PartitionSensor)]
    assert waiting
    for task in waiting:
        assert not task.outlets
        assert task.upstream_task_ids <= {"check_parameters"}
        assert not {"open", "read_text", "read_bytes", "write_text", "run", "Popen"} & _called_names("sensor.py")
        assert timedelta(0) < task.execution_timeout <= timedelta(minutes=5)
        assert task.retries == 2
        assert not task.soft_fail
        assert not task.never_fail


def _called_names(module: str) -> set[str]:
    calls = [
        node.func for node in ast.walk(ast.parse((DAGS / "ml" / module).read_text())) if isinstance(node, ast.Call)
    ]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def test_every_image_is_the_locked_one(tasks: Tasks) -> None:
    for task in tasks:
        assert (task.image, task.image_id) == (IMAGES[task.stage]["image"], IMAGES[task.stage]["id"])


def test_every_stage_has_a_task(tasks: Tasks) -> None:
    """Except `exchange`: nothing comes from elsewhere or goes there unless somebody says so."""
    assert {task.stage for task in tasks} == set(IMAGES) - {"exchange"}


def test_every_task_is_bounded_and_retried(tasks: Tasks) -> None:
    for task in tasks:
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=6)
        assert task.retries == 2
        assert task.retry_exponential_backoff > 1
        assert task.max_retry_delay <= timedelta(minutes=10)


def test_every_container_is_confined(tasks: Tasks) -> None:
    for task in tasks:
        assert task.user == "10001:10001"
        one = copy(task)
        one.ranks = "1"  # where it is a template, a run fills it in
        host = host_config(one._work())
        (mount, *others), network = host.pop("mounts"), host.pop("network_mode")
        assert (mount["Source"], mount["Target"], mount["Type"]) == ("data", "/data", "volume")
        login = [("/run/connections", True)] if task.stage == "registry" else []
        assert [(other["Target"], other["ReadOnly"]) for other in others] == login
        assert (network == "none") is (task.stage != "registry")
        assert host == {
            "mem_limit": "2g", "memswap_limit": "2g", "pids_limit": 512, "read_only": True, "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"], "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev"},  # noqa: S108
        }  # fmt: skip


@pytest.mark.parametrize("parameter", ["privileged", "mounts", "network_mode", "auto_remove"])
def test_no_task_can_confine_its_container_less(parameter: str) -> None:
    with pytest.raises(TypeError, match=f"was given {parameter} of DockerOperator, expected none"):
        StageOperator(task_id="any", stage="training", command=[], **{parameter: True})


@pytest.mark.parametrize(
    "task_id", ["register", "decide", "answer", "promote", "roll_back", "log_evaluation", "late_labels"]
)
def test_tasks_that_write_nothing_cannot_write(tasks: Tasks, task_id: str) -> None:
    found = [task for task in tasks if task.task_id == task_id]
    assert found
    assert all(host_config(task._work())["mounts"][0]["ReadOnly"] is True for task in found)


def test_commands_are_lists_whose_day_is_right_in_every_run(tasks: Tasks) -> None:
    from ml import DS

    for task in tasks:
        assert isinstance(task.command, list)
        assert (DS.template in task.command) is (task.task_id not in WITHOUT_DAY)


def test_environment_decides_where_and_as_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"ML_DATA": "/srv/data", "ML_UID": "1000", "ML_GID": "100", "ML_STAGE_MEMORY": "1g"}
    for name, value in {**settings, "ML_DOCKER_HOST": "unix:///run/engine-proxy/engine.sock"}.items():
        monkeypatch.setenv(name, value)
    task = StageOperator(task_id="any", stage=next(iter(IMAGES)), command=[])
    (mount,) = host_config(task._work())["mounts"]
    assert (mount["Type"], mount["Source"]) == ("bind", "/srv/data")
    assert (task.user, task.mem_limit) == ("1000:100", "1g")
    assert engines.connect().address == "unix:///run/engine-proxy/engine.sock"


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.name)
def test_dag_file_knows_only_the_factory(file: Path) -> None:
    """What else Airflow and the engine offer, such as Variables read while parsing, stays out of a Dag file."""
    tree = ast.parse(file.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert imported == {"airflow.sdk", "ml"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert not names & {"Variable", "Connection", "BaseHook", "task"}
    assert ast.get_docstring(tree)


def test_parsing_looks_nothing_up(parsed_elsewhere: dict[str, Any]) -> None:
    assert parsed_elsewhere["asked"] == []


def test_modules_of_the_engines_alone_know_docker() -> None:
    """The operator has the fields of Airflow's DockerOperator, nothing else."""
    knowing = {
        path.name: packages for path in DAGS.rglob("*.py") if (packages := {p for p in _imports(path) if "docker" in p})
    }
    assert knowing == {
        "docker.py": {"docker", "docker.errors", "docker.types"},
        "swarm.py": {"docker.errors", "docker.types", "docker.utils", "ml.engines.docker"},
        "operator.py": {"airflow.providers.docker.operators.docker"},
    }


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


def test_engine_that_is_not_there_is_the_import_error_of_every_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ENGINE", "podman")
    bag = make_bag(DAGS)
    assert not bag.dags
    assert len(bag.import_errors) == len(DAG_FILES)
    assert all(
        "ML_ENGINE is 'podman', expected docker or kubernetes or swarm; do: set it in .env" in error
        for error in bag.import_errors.values()
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "is missing"),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"version": 1}', "cannot be read"),
        ('{"version": 2, "images": {}}', "has version 2, expected 1"),
        ('{"version": 1, "images": {}}', "no image and id for the stage 'generator'"),
        ('{"version": 1, "images": {"generator": {"image": "airflow-ml-generator:abc"}}}', "no image and id"),
        ('{"version": 1, "images": {"generator": {"image": "airflow-ml-generator", "id": "x"}}}', "name its content"),
        ('{"version": 1, "images": {"generator": {"image": "g:latest", "id": "x"}}}', "name its content"),
        ('{"version": 1, "images": {"generator": {"image": "host:5000/g", "id": "x"}}}', "name its content"),
    ],
)
def test_image_lock_that_cannot_be_used_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, found: str
) -> None:
    lock = tmp_path / "images.lock.json"
    if content is not None:
        lock.write_text(content)
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    with pytest.raises(ImageLockError) as error:
        image_of("generator")
    assert found in str(error.value)
    assert str(lock) in str(error.value)
    assert "./build_images.sh" in str(error.value)


def test_image_lock_that_is_missing_is_the_import_error_of_every_dag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_IMAGE_LOCK", str(tmp_path / "nowhere.json"))
    bag = make_bag(DAGS)
    assert not bag.dags
    assert len(bag.import_errors) == len(DAG_FILES)
    assert all("nowhere.json" in error and "./build_images.sh" in error for error in bag.import_errors.values())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"version": 0}, "has version 0, expected 1"),
        ({"images": {}}, "has no image and id for the stage"),
    ],
)
def test_image_lock_of_another_time_is_the_import_error_of_every_dag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], found: str
) -> None:
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({**json.loads(LOCK.read_text()), **change}))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    bag = make_bag(DAGS)
    assert not bag.dags
    assert len(bag.import_errors) == len(DAG_FILES)
    assert all(found in error and "do: run ./build_images.sh" in error for error in bag.import_errors.values())


def test_stage_without_image_breaks_the_dags_that_run_it_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(LOCK.read_text())
    del content["images"]["training"]
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(content))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    bag = make_bag(DAGS)
    assert {Path(name).stem for name in bag.import_errors} == {"backtest", "train_model"}
    assert all("the stage 'training'; do: run ./build_images.sh" in error for error in bag.import_errors.values())
    assert set(bag.dags) == {path.stem for path in DAG_FILES} - {"backtest", "train_model"}


@pytest.mark.parametrize(
    ("own", "of_the_lock", "expected"), [("abc", "def", "abc"), (None, "def", "def"), (None, None, None)]
)
def test_image_has_the_revision_of_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None, of_the_lock: str | None, expected: str | None
) -> None:
    """The lock's revision is that of the last run of the build, which may have built another image."""
    content = json.loads(LOCK.read_text())
    content["images"]["training"]["revision"], content["revision"] = own, of_the_lock
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(content))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    assert image_of("training").revision == expected


def test_image_with_a_registry_and_a_port_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(LOCK.read_text())
    content["images"]["generator"]["image"] = "host:5000/airflow-ml-generator:abc"
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(content))
    monkeypatch.setenv("ML_IMAGE_LOCK", os.fspath(lock))
    assert image_of("generator").name == "host:5000/airflow-ml-generator:abc"


@pytest.mark.parametrize(("command", "task_id"), [("generator", "generator"), ("preprocessing split", "split")])
def test_task_is_named_after_the_last_word_of_its_command(command: str, task_id: str) -> None:
    assert stage(command, [], doc="Reads nothing.").task_id == task_id
