"""What a backup removes and a restore takes over, in a checkout of its own and without an engine."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from airflow_ml import backup, make_env, restore
from airflow_ml.common import ROOT, AirflowMlError, read_env

from tests.harness import PATIENCE_S

TAKE = """
import contextlib, sys
from pathlib import Path
from airflow_ml.restore import take_rules, take_settings
take_settings(Path(sys.argv[1]))
with contextlib.ExitStack() as undo:
    take_rules(Path(sys.argv[1]), undo)
    undo.pop_all()
"""
OTHERS = ("COMPOSE_PROJECT_NAME", "ML_DATA", "ML_DATA_MOUNT", "ML_AIRFLOW_PORT", "ML_MLFLOW_PORT", "ML_REPORTS_PORT")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tool in a folder of its own, without settings."""
    folder = tmp_path / "checkout"
    for part in ("airflow_ml", "setup"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "dags").mkdir()
    for name in (".env.example", "docker-compose.yml", "dags/rules.json"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def taken(checkout: Path, tmp_path: Path) -> Path:
    """A backup's settings and rules."""
    make_env.make_env(checkout)
    folder = tmp_path / "backup"
    folder.mkdir()
    (checkout / ".env").rename(folder / "env")
    (folder / "rules.json").write_text('{"promote": "manual"}\n')
    return folder


def take(checkout: Path, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    known = {name: value for name, value in os.environ.items() if name not in OTHERS}
    return subprocess.run(
        [sys.executable, "-c", TAKE, folder],
        cwd=checkout,
        env={**known, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )


def test_settings_of_the_environment_become_those_of_the_restored_installation(checkout: Path, taken: Path) -> None:
    """The next command, without the variables, once mounted the data of the first installation."""
    given = {"COMPOSE_PROJECT_NAME": "second", "ML_DATA": "second-data", "ML_MLFLOW_PORT": "5001"}
    take(checkout, taken, **given)
    theirs, ours = read_env(taken / "env"), read_env(checkout / ".env")
    assert {name: value for name, value in ours.items() if theirs.get(name) != value} == given
    said = "from airflow_ml.common import project; print(project())"
    known = {name: value for name, value in os.environ.items() if name not in OTHERS}
    asked = subprocess.run([sys.executable, "-c", said], cwd=checkout, env=known, capture_output=True, text=True)
    assert asked.stdout == "second\n"


def test_host_folder_of_the_environment_is_made_and_mounted(checkout: Path, taken: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    take(checkout, taken, ML_DATA=str(data))
    ours = read_env(checkout / ".env")
    assert (ours["ML_DATA"], ours["ML_DATA_MOUNT"]) == (str(data), str(data))
    assert data.is_dir()


def test_settings_of_the_backup_stay_without_an_environment(checkout: Path, taken: Path) -> None:
    take(checkout, taken)
    assert read_env(checkout / ".env") == read_env(taken / "env")


def test_rules_of_the_backup_replace_those_of_the_checkout_and_are_named(checkout: Path, taken: Path) -> None:
    """An installation in which a person promotes once went live by itself after a restore."""
    done = take(checkout, taken)
    assert (checkout / "dags" / "rules.json").read_text() == '{"promote": "manual"}\n'
    assert f"rules: {checkout / 'dags' / 'rules.json'} is the backup's now" in done.stderr
    assert "rules" not in take(checkout, taken).stderr, "they are there already"
    (taken / "rules.json").unlink()
    take(checkout, taken)


@pytest.mark.parametrize("key", restore.KEYS)
def test_backup_with_another_key_is_refused(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "OURS", tmp_path / ".env")
    keys = {"ML_FERNET_KEY": "one", "ML_REGISTRY_KEY": "two"}
    for path, values in ((tmp_path / "env", keys), (tmp_path / ".env", {**keys, key: "another"})):
        path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    with pytest.raises(AirflowMlError, match=f"has another {key} than the backup"):
        restore.require_own_settings(tmp_path)
    shutil.copy(tmp_path / "env", tmp_path / ".env")
    restore.require_own_settings(tmp_path)


def test_what_a_killed_backup_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """It has every secret, and its name is hidden."""
    left, living, strange = (tmp_path / f".{name}.partial" for name in ("left", "living", "strange"))
    for folder in (left, living, strange):
        folder.mkdir()
        (folder / ("file" if folder == strange else "env")).touch()
    handle = os.open(living, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with backup.partial_folder(tmp_path / "new") as partial:
            assert sorted(tmp_path.iterdir()) == sorted([living, strange, partial])
            partial.rename(tmp_path / "new")
        with pytest.raises(AirflowMlError, match="another backup writes"), backup.partial_folder(tmp_path / "living"):
            pass
    finally:
        os.close(handle)
    with backup.partial_folder(tmp_path / "newer"):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([strange, tmp_path / "new"])


@pytest.mark.parametrize("revision", [None, "of-another"])
def test_restore_names_the_revision_that_made_the_backup(revision: str | None) -> None:
    said = restore.made_with({"revision": revision})
    assert said == "" if revision is None else said.startswith(", made with revision of-another; this is revision ")
