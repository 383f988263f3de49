"""What a backup removes and a restore takes over, in a checkout of its own and without an engine."""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow_ml import backup, common, machine, make_env, restore, stack
from airflow_ml.common import ROOT, AirflowMlError, read_env

from tests.harness import PATIENCE_S, copy_tool

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
    copy_tool(folder)
    (folder / "dags").mkdir()
    shutil.copy(ROOT / "dags" / "rules.json", folder / "dags" / "rules.json")
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


def test_folder_of_the_host_that_has_data_is_for_a_person_to_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`clean` leaves it alone, so its advice went in a circle."""
    (tmp_path / "raw").mkdir()
    (tmp_path / ".env").touch()
    monkeypatch.setattr(restore, "OURS", tmp_path / ".env")
    monkeypatch.setenv("ML_DATA", str(tmp_path))
    monkeypatch.setattr(restore, "docker", lambda *_: "")
    with pytest.raises(AirflowMlError, match=rf"it has {tmp_path}\n.*\n.*airflow-ml clean and empty {tmp_path}$"):
        restore.require_empty(tmp_path)


@pytest.mark.parametrize("key", restore.KEYS)
def test_backup_with_another_key_is_refused(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "OURS", tmp_path / ".env")
    keys = {"ML_FERNET_KEY": "one", "ML_REGISTRY_KEY": "two"}
    for path, values in ((tmp_path / "env", keys), (tmp_path / ".env", {**keys, key: "another"})):
        path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    with pytest.raises(AirflowMlError, match=rf"has another {key} than the backup(.|\n)*do: move .* away"):
        restore.require_own_settings(tmp_path, databases=False)
    # Without its .env an installation has no way to its databases but `clean`, which removes the data.
    with pytest.raises(
        AirflowMlError, match=f"take a new backup; or keep .* then put {key} of {tmp_path / 'env'} into"
    ):
        restore.require_own_settings(tmp_path, databases=True)
    shutil.copy(tmp_path / "env", tmp_path / ".env")
    for databases in (False, True):
        restore.require_own_settings(tmp_path, databases)


@pytest.mark.parametrize(
    ("ours", "theirs", "after"),
    [
        ("v2.X", "v2.X", "v2.X"),
        ("v2.X,", "v2.X", "v2.X"),
        ("v2.X,v2.W,", "v2.X,v2.W", "v2.X,v2.W"),
        ("v2.X", "v2.X,", "v2.X,"),
        ("v2.X,", "v2.X,", "v2.X,"),
        ("v2.X", "", "v2.X,"),
        ("v2.X,", "", "v2.X,"),
        ("v2.X,v2.W", "", "v2.X,v2.W,"),
    ],
)
def test_backup_decides_whether_what_is_not_signed_is_accepted(
    ours: str, theirs: str, after: str, engine: "Engine"
) -> None:
    """A comma that was left of another backup had `up` sign what is in this one, forged events among it.

    After a restore that failed, and after `make up`, the same command was refused: "another ML_REGISTRY_KEY".
    """
    (engine.folder / "env").write_text(f"ML_REGISTRY_KEY={theirs}\n")
    engine.index()
    restore.OURS.write_text(f"ML_REGISTRY_KEY={ours}\n")
    engine.fails = "--dbname=mlflow"
    with pytest.raises(AirflowMlError, match="it failed"):
        engine.restore()
    assert read_env(restore.OURS)["ML_REGISTRY_KEY"] == ours
    engine.fails = "none of them"
    assert engine.restore() == 0
    assert read_env(restore.OURS)["ML_REGISTRY_KEY"] == after


@pytest.mark.parametrize(("ours", "theirs"), [("v2.X", ""), ("v2.X,", "v2.X"), ("v2.X", "v2.X,")])
def test_restore_that_fails_leaves_the_settings_as_they_were(ours: str, theirs: str, engine: "Engine") -> None:
    (engine.folder / "env").write_text(f"ML_REGISTRY_KEY={theirs}\n")
    engine.index()
    restore.OURS.write_text(f"ML_REGISTRY_KEY={ours}\n")
    engine.fails = "up --no-start"
    with pytest.raises(AirflowMlError, match="the stack could not be made"):
        engine.restore(databases=False)
    assert restore.OURS.read_text() == f"ML_REGISTRY_KEY={ours}\n"


def test_key_accepts_nothing_unsigned_before_the_databases_are_removed(engine: "Engine") -> None:
    """Otherwise the next `make up` would sign what is in MLflow without a check."""
    restore.OURS.write_text("ML_REGISTRY_KEY=v2.X\n")
    engine.fails = "--file=/dev/null"
    with pytest.raises(AirflowMlError):
        engine.restore()
    assert read_env(restore.OURS)["ML_REGISTRY_KEY"] == "v2.X"


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


FILES = ("airflow.dump", "mlflow.dump", "env")


class Engine:
    """In place of docker: an image of Postgres 17, commands that fail if they have the words of `fails`, a record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[str] = []
        self.fails = "none of them"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = " ".join(arguments)
        self.commands.append(command)
        said = {
            "config --images": "postgres:17-trixie\n",
            "=postgres": "postgres (PostgreSQL) 17.12 (Debian 17.12-0)\n",
        }
        out = "".join(text for words, text in said.items() if words in command)
        return subprocess.CompletedProcess(arguments, int(self.fails in command), out, "line 96: no ]")

    def compose(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.run("compose", *arguments)

    def docker(self, *arguments: str) -> str:
        return self.run(*arguments).stdout

    def pipe(self, command: Sequence[str], do: str, **_: Any) -> None:
        if self.run(*command).returncode:
            raise AirflowMlError("it failed", do=do)

    def index(self) -> None:
        """Write the index of the backup as it is."""
        files = {name: {"sha256": backup.file_digest(self.folder / name)} for name in FILES}
        made = {"version": backup.VERSION, "created": "2026-11-27", "postgres": "postgres (PostgreSQL) 15.14"}
        (self.folder / backup.INDEX).write_text(json.dumps({**made, "files": files}))

    def number_of(self, words: str) -> int:
        """How many commands have the words."""
        return sum(words in command for command in self.commands)

    def restore(self, *, databases: bool = True) -> int:
        return restore.run(argparse.Namespace(folder=self.folder, databases=databases))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An installation and its backup, of Postgres 15, in folders of their own."""
    folder = tmp_path / "backup"
    folder.mkdir()
    for name in FILES:
        (folder / name).touch()
    (tmp_path / ".env").write_text("ML_REGISTRY_KEY=\n")
    made = Engine(folder)
    made.index()
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "airflow-ml")
    monkeypatch.setattr(restore, "OURS", tmp_path / ".env")
    for module in (common, stack, backup):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(machine, "images", lambda: None)
    monkeypatch.setattr(restore, "try_docker", made.run)
    for name in ("make_env", "write_secrets", "remove_secrets"):
        monkeypatch.setattr(restore, name, lambda: None)
    for module in (restore, stack):
        monkeypatch.setattr(module, "compose", made.compose)
        monkeypatch.setattr(module, "docker", made.docker)
    monkeypatch.setattr(restore, "pipe", made.pipe)
    monkeypatch.setattr(restore, "unhealthy_services", lambda *names: [f"{names[0]}: exited 1", "  no space left"])
    monkeypatch.setattr(restore, "start", stack.require_restored)
    return made


REMOVAL = "volume rm --force airflow-ml_postgres"


def test_databases_are_read_to_the_end_before_they_are_replaced(engine: Engine) -> None:
    assert engine.restore() == 0
    read = [number for number, command in enumerate(engine.commands) if command.endswith(" --file=/dev/null")]
    assert len(read) == 2
    assert max(read) < engine.commands.index("compose down --remove-orphans") < engine.commands.index(REMOVAL)
    assert engine.number_of(REMOVAL) == 1
    assert engine.number_of("exec --no-TTY postgres pg_restore") == 2


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("--file=/dev/null", "do: restore another backup; nothing was removed"),
        ("compose config", "line 96: no ]\n       do: correct docker-compose.yml"),
    ],
)
def test_databases_stay_if_a_check_fails(fails: str, words: str, engine: Engine) -> None:
    """A dump that was cut short before it was hashed has the right hash. A mistake in the file was a traceback."""
    engine.fails = fails
    with pytest.raises(AirflowMlError) as error:
        engine.restore()
    assert words in str(error.value)
    assert engine.number_of("down") == engine.number_of(REMOVAL) == 0
    stack.require_restored()


def test_databases_of_an_installation_without_settings_are_not_replaced(engine: Engine) -> None:
    restore.OURS.unlink()
    with pytest.raises(AirflowMlError, match=f"no database to replace(.|\n)*do: ./airflow-ml restore {engine.folder}"):
        engine.restore()
    assert engine.commands == []


@pytest.mark.parametrize("made", ["15.14", "17.2", "17.12"])
def test_backup_of_an_older_or_the_same_postgres_is_accepted(made: str, engine: Engine) -> None:
    assert restore.require_postgres({"postgres": f"postgres (PostgreSQL) {made}"}) == "postgres:17-trixie"


def test_backup_of_a_newer_postgres_is_refused(engine: Engine) -> None:
    with pytest.raises(
        AirflowMlError, match=r"is of Postgres 18, and postgres:17-trixie of docker-compose[.]yml is older"
    ):
        restore.require_postgres({"postgres": "postgres (PostgreSQL) 18.1"})


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("--dbname=mlflow", "do: run it again, or with another backup; the databases are removed"),
        ("up --detach", "postgres: exited 1\n  no space left\n       do: put right what the lines above show"),
    ],
)
def test_databases_that_could_not_be_filled_are_gone_and_the_stack_does_not_start(
    fails: str, words: str, engine: Engine
) -> None:
    """The services would fill what is missing with empty databases."""
    engine.fails = fails
    with pytest.raises(AirflowMlError) as error:
        engine.restore()
    assert words in str(error.value)
    assert engine.commands[-2:] == ["compose down --remove-orphans", REMOVAL]
    with pytest.raises(AirflowMlError, match=f"do: ./airflow-ml restore --databases {engine.folder}[.] If"):
        stack.start()
    with pytest.raises(AirflowMlError, match="a database is missing or not whole"):
        backup.copy(engine.folder)
    engine.fails = "none of them"
    assert engine.restore() == 0
    stack.require_restored()
