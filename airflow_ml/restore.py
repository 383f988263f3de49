"""Restores a backup into an empty installation, or only its databases, and starts it.

FOLDER is what `./airflow-ml backup` made. If there is no `.env`, the command takes the backup's, with this machine's
Docker socket, and with the COMPOSE_PROJECT_NAME, ML_DATA and ports that the environment gives. If there is one, it must
have the same ML_FERNET_KEY and ML_REGISTRY_KEY: without them Airflow cannot read its connections, and the stage
registry refuses each promotion. What a backup has without a signature, `up` signs with the key that is there.
`dags/rules.json` becomes the backup's.

With --databases the command replaces both databases of this installation and nothing else. This is the way to a newer
major version of Postgres. If it fails after the removal, this installation has no database: run it again. Until it has
ended well, `make up` refuses to start.
Exit codes: 0 done; 1 it cannot be done: the message says why, and without --databases nothing is left behind; 1 also if
everything is restored but does not start: then `make up` starts it; 2 wrong usage; 3 everything is restored and up, but
the history in MLflow cannot be signed, because an event is malformed.
"""

import argparse
import contextlib
import gzip
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ml import machine
from airflow_ml.backup import (
    DATABASES,
    INDEX,
    OWN_RULES,
    RULES,
    SETTINGS,
    VERSION,
    container_with,
    file_digest,
    pipe,
    volumes,
)
from airflow_ml.common import (
    ROOT,
    WRONG_USAGE,
    AirflowMlError,
    docker,
    env_line,
    project,
    read_env,
    restore_marker,
    setting_of,
    settings,
    try_docker,
    write_atomic,
)
from airflow_ml.doctor import PORTS, major
from airflow_ml.images.lock import revision_of
from airflow_ml.make_env import (
    SIGNING,
    change_settings,
    data_mount,
    docker_gid,
    docker_socket,
    make_data_folder,
    make_env,
)
from airflow_ml.progress import reading, say, show
from airflow_ml.secret_files import remove_secrets, write_secrets
from airflow_ml.stack import compose, must_compose, unhealthy_services
from airflow_ml.up import start

OURS = ROOT / ".env"
# What is in the databases was encrypted or signed with these.
KEYS = ("ML_FERNET_KEY", SIGNING)
ANOTHER = "restore another backup; what this one has made is removed"
AGAIN = "run it again, or with another backup; the databases are removed, data and MLflow's files are as they were"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--databases", action="store_true", help="replace the databases that are there, nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Check the backup; then fill the volumes, or replace the databases, and start."""
    folder = arguments.folder.absolute()
    with show("restore"):
        index = read_index(folder)
    require_own_settings(folder, arguments.databases)
    if arguments.databases:
        replace_databases(folder, index)
    else:
        restore_all(folder, index)
    restore_marker().unlink(missing_ok=True)
    print(f"restored the backup of {index['created']}{made_with(index)}", flush=True)
    start()
    return 0


def restore_all(folder: Path, index: Mapping[str, Any]) -> None:
    """Take the settings and the rules, and fill the volumes, if nothing is in the way."""
    data = require_empty(folder)
    with contextlib.ExitStack() as undo:
        if not OURS.exists():
            undo.callback(OURS.unlink, missing_ok=True)
        take_settings(folder)
        take_rules(folder, undo)
        # Only from here on compose has the settings that were checked: before, it could name what belongs to others.
        undo.callback(remove, data)
        accept_unsigned(folder, undo)
        machine.images()
        require_postgres(index)
        # With Airflow's, so before the marker: without its file compose does not make the containers, nor the volumes.
        write_secrets()
        mark_unfinished(f"./airflow-ml clean, then ./airflow-ml restore {folder}")
        with show("restore"):
            fill(folder)
        undo.pop_all()


def replace_databases(folder: Path, index: Mapping[str, Any]) -> None:
    """Put the databases of the backup into a new volume, in place of the one that is there."""
    if not OURS.exists():
        raise AirflowMlError("there is no .env, so no database to replace", do=f"./airflow-ml restore {folder}")
    make_env()
    machine.images()
    image = require_postgres(index)
    with show("restore"), contextlib.ExitStack() as undo:
        require_readable(folder, image)
        remove_databases(folder)
        undo.callback(remove_databases, folder)
        accept_unsigned(folder, undo)  # not before: until then what is here is signed
        fill_databases(folder, do=AGAIN)
        undo.pop_all()


def remove_databases(folder: Path) -> None:
    """Remove the services, and the volume of Postgres. Errors: AirflowMlError."""
    must_compose("down", "--remove-orphans", do="run it again, once that is put right")
    mark_unfinished(f"./airflow-ml restore --databases {folder}")
    docker("volume", "rm", "--force", f"{project()}_postgres")


def mark_unfinished(do: str) -> None:
    """Have `up` refuse to start, and say what to do: it would fill what is missing with empty databases."""
    marker = restore_marker()
    marker.parent.mkdir(exist_ok=True)
    write_atomic(marker, do)


def made_with(index: Mapping[str, Any]) -> str:
    """The revision that made the backup, and this one if it is another; backups of before do not say it."""
    revision, here = index.get("revision"), revision_of(ROOT)
    if not revision:
        return ""
    return f", made with revision {revision}" + ("" if revision == here else f"; this is revision {here or 'unknown'}")


def read_index(folder: Path) -> dict[str, Any]:
    """What the backup holds.

    Errors: AirflowMlError if it is no backup, or a file of it is missing or has other bytes.
    """
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        version, files = index["version"], dict(index["files"])
    except (OSError, ValueError, LookupError, TypeError):
        raise AirflowMlError(
            f"{folder} is no backup", expected=f"a folder with a {INDEX}", exit_code=WRONG_USAGE
        ) from None
    if version != VERSION:
        raise AirflowMlError(f"the backup has version {version}", expected=f"version {VERSION}")
    for name, known in files.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != known["sha256"]:
            found = "has other bytes than its index says" if path.is_file() else "is missing"
            raise AirflowMlError(f"{path} {found}", do="restore another backup")
    return index


def require_postgres(index: Mapping[str, Any]) -> str:
    """The image of Postgres in docker-compose.yml.

    Errors: AirflowMlError if compose cannot read the file, or if the backup is of a newer major version than the image.
    """
    image = must_compose("config", "--images", "postgres", do="correct docker-compose.yml").strip()
    here = docker("run", "--rm", "--network=none", "--entrypoint=postgres", image, "--version").strip()
    # As `postgres (PostgreSQL) 17.12 (Debian 17.12-0+deb13u1)`.
    made = major(str(index["postgres"]))
    if made > major(here):
        raise AirflowMlError(
            f"the backup is of Postgres {made}, and {image} of docker-compose.yml is older",
            do=f"put an image of {made} or newer into docker-compose.yml",
        )
    return image


def require_readable(folder: Path, image: str) -> None:
    """Errors: AirflowMlError if the image cannot read a dump to its end.

    The hashes of the index do not show this: a dump that was cut short before it was hashed has the right one.
    """
    command = ["run", "--rm", "--interactive", "--network=none", "--entrypoint=pg_restore", image, "--file=/dev/null"]
    for database in DATABASES:
        with reading(folder / f"{database}.dump", f"reading {database}.dump") as file:
            pipe(command, do="restore another backup; nothing was removed", source=file)


def require_own_settings(folder: Path, databases: bool) -> None:
    """Errors: AirflowMlError if there are settings that cannot read the databases of the backup.

    :param databases: whether only the databases are restored, so that `.env` has to stay
    """
    if not OURS.exists():
        return
    ours, theirs = read_env(OURS), read_env(folder / SETTINGS)
    if other := [key for key in KEYS if not fits(ours.get(key, ""), theirs.get(key, ""), key)]:
        keys = " and ".join(other)
        do = f"move {OURS} away; the backup's takes its place"
        if databases:
            do = f"take a new backup; or keep a copy of {OURS}, then put {keys} of {folder / SETTINGS} into {OURS}"
        raise AirflowMlError(f"{OURS} has another {keys} than the backup", do=do)


def fits(ours: str, theirs: str, key: str) -> bool:
    """Whether what one key has encrypted or signed is valid with the other; a comma behind it says no other."""
    return ours.rstrip(",") == theirs.rstrip(",") or (key == SIGNING and not theirs)


def accept_unsigned(folder: Path, undo: contextlib.ExitStack) -> None:
    """Have `up` sign what is in a backup that was taken before everything was signed, and nothing of another one."""
    ours, theirs = (read_env(path).get(SIGNING, "") for path in (OURS, folder / SETTINGS))
    key = ours.rstrip(",") + ("," if not theirs or theirs.endswith(",") else "")
    if key != ours:
        undo.callback(change_settings, OURS, {SIGNING: ours})
        change_settings(OURS, {SIGNING: key})


def take_settings(folder: Path) -> None:
    """Use the settings of the backup where there are none."""
    if not OURS.exists():
        theirs = (folder / SETTINGS).read_text(encoding="utf-8").splitlines()
        own = own_settings()
        make_data_folder(own.get("ML_DATA", ""))
        names = list(map(setting_of, theirs))
        lines = [env_line(name, own[name]) if name in own else line for name, line in zip(names, theirs, strict=True)]
        missing = [env_line(name, own[name]) for name in own.keys() - set(names)]
        write_atomic(OURS, "\n".join([*sorted(missing), *lines]) + "\n", mode=0o600)
    make_env()


def own_settings() -> dict[str, str]:
    """What this machine has, and what the environment gives; else the next command would work on another's data."""
    given = ("COMPOSE_PROJECT_NAME", "ML_DATA", "ML_DATA_MOUNT", *PORTS)
    found = {name: value for name in given if (value := os.environ.get(name))}
    if "ML_DATA" in found:
        found.setdefault("ML_DATA_MOUNT", data_mount(found["ML_DATA"]))
    return {"ML_DOCKER_SOCKET": docker_socket(), "ML_DOCKER_GID": docker_gid(), **found}


def take_rules(folder: Path, undo: contextlib.ExitStack) -> None:
    """Use the rules of the backup, whose gate may leave promotions to a person. A backup of before has none."""
    if not (folder / RULES).exists():
        return
    ours, theirs = OWN_RULES.read_text(encoding="utf-8"), (folder / RULES).read_text(encoding="utf-8")
    if ours != theirs:
        undo.callback(write_atomic, OWN_RULES, ours)
        write_atomic(OWN_RULES, theirs)
        print(f"  rules: {OWN_RULES} is the backup's now; `git diff` shows the difference", file=sys.stderr)


def require_empty(folder: Path) -> str:
    """The volume, or host folder, of the data. Nothing is overwritten, and nothing is written before this is known.

    Errors: AirflowMlError if the installation has a database, files or data already.
    """
    env = OURS if OURS.exists() else folder / SETTINGS
    found = settings(env=env)
    data = found["ML_DATA"]
    there = set(docker("volume", "ls", "--quiet").split()) & {f"{project(env)}_postgres", *volumes(found, env).values()}
    if data.startswith("/") and Path(data).is_dir() and any(Path(data).iterdir()):
        there.add(data)
    if there:
        # `clean` leaves a folder of the host alone.
        empty = f" and empty {data}" if data in there and data.startswith("/") else ""
        raise AirflowMlError(
            f"this installation is not empty, it has {', '.join(sorted(there))}",
            expected="a machine, or a COMPOSE_PROJECT_NAME and ML_DATA, without any",
            do=f"keep what you need (./airflow-ml backup), then ./airflow-ml clean{empty}",
        )
    return data


def fill(folder: Path) -> None:
    """Make the volumes as compose wants them, and fill them."""
    done = compose("up", "--no-start")
    if done.returncode:
        raise AirflowMlError(f"the stack could not be made: {done.stderr.strip()}")
    write_secrets()  # from here on compose can start Postgres alone
    for name, source in volumes(settings()).items():
        say(f"  {name}: {source}")
        unpack(folder / f"{name}.tar.gz", source)
    fill_databases(folder, do=ANOTHER)


def fill_databases(folder: Path, do: str) -> None:
    """Start Postgres on an empty volume, and fill it; `do` is what a person does about an error."""
    write_secrets()  # without Airflow's
    done = compose("up", "--detach", "--wait", "postgres")
    if done.returncode:
        # The caller removes the container, and its log with it.
        report = "\n".join([done.stderr.strip(), *unhealthy_services("postgres")])
        raise AirflowMlError(
            f"Postgres does not start\n{report}", do="put right what the lines above show, then run it again"
        )
    in_postgres = ["compose", "exec", "--no-TTY", "postgres"]
    # Airflow's database and role are made by Postgres itself; init sets the password of MLflow's role.
    pipe([*in_postgres, "createuser", "--username=airflow", "mlflow"], do=do)
    pipe([*in_postgres, "createdb", "--username=airflow", "--owner=mlflow", "mlflow"], do=do)
    for database in DATABASES:
        say(f"  database {database}")
        options = ["--username=airflow", "--no-owner", "--exit-on-error", f"--role={database}", f"--dbname={database}"]
        with reading(folder / f"{database}.dump", f"filling the database {database}") as file:
            pipe([*in_postgres, "pg_restore", *options], do=do, source=file)


def unpack(archive: Path, target: str) -> None:
    """Write the files of an archive, with owners and modes, into a volume or host folder."""
    what = f"writing {archive.name} into {target}"
    with (
        container_with(target, "rw") as container,
        reading(archive, what) as packed,
        gzip.open(packed) as file,
    ):
        pipe(["cp", "-", f"{container}:/data"], do=ANOTHER, source=file, what=what)


def remove(data: str) -> None:
    """Remove what a restore that failed has made; the files in a host folder are named, and stay.

    :param data: the volume or folder that was empty before
    """
    compose("down", "--volumes", "--remove-orphans")
    restore_marker().unlink(missing_ok=True)
    remove_secrets()
    if data.startswith("/"):
        print(f"{data} may hold a part of the data; remove its files before the next try", file=sys.stderr)
    else:
        try_docker("volume", "rm", "--force", data)
