"""Backs up this installation while it runs: databases, MLflow's files, data, `.env` and rules, into a folder.

FOLDER is new, by default backups/DATE-TIME. The databases are copied first, so each file that they name is in the copy.
Each partition of the copy is compared with its mark. Airflow's logs are not part of a backup. Whoever can read the
folder has every secret: keep it as safe as `.env`. What a backup that was killed has left beside the folder is removed.
Exit codes: 0 done; 1 it cannot be done, the message says why; 2 wrong usage.
"""

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from subprocess import PIPE
from typing import Any

from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError, docker, locked_image, only_change, project, settings
from airflow_ml.images.lock import revision_of
from airflow_ml.progress import Bytes, progress, reading, say, show
from airflow_ml.progress import copy as copy_bytes
from airflow_ml.stack import compose, require_restored
from airflow_ml.text_table import size_text

VERSION = 1
INDEX, SETTINGS, RULES = "backup.json", "env", "rules.json"
# The installation's gate, costs and way to promote.
OWN_RULES = ROOT / "dags" / RULES
# In this order: Airflow records what MLflow has done already.
DATABASES = ("airflow", "mlflow")
# In a container; a file may go while this looks.
ADD_SIZES = """
import contextlib, os
total = 0
for folder, _, names in os.walk("/data"):
    for name in names:
        with contextlib.suppress(OSError):
            total += os.lstat(os.path.join(folder, name)).st_size
print(total)
"""
# A partition may be published while it is copied; a second copy has it whole.
COPIES = 2


def volumes(known: Mapping[str, str], env: "Path | None" = None) -> dict[str, str]:
    """The volume, or host folder, of each archive, under these settings, which `env` has in place of `.env`."""
    return {"mlflow": f"{project(env)}_mlflow", "data": known["ML_DATA"]}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="a new folder (backups/DATE-TIME)")


def run(arguments: argparse.Namespace) -> int:
    """Back up into a new folder."""
    now = datetime.now(timezone.utc)
    folder = (arguments.folder or ROOT / "backups" / f"{now:%Y-%m-%d-%H%M%S}").absolute()
    if folder.exists():
        raise AirflowMlError(f"{folder} is there already", do="name a new folder", exit_code=WRONG_USAGE)
    with partial_folder(folder) as partial, show("backup"):
        torn = copy(partial)
        write_index(partial, now, torn)
        partial.rename(folder)
    for partition in torn:
        print(f"warning: {partition} is torn, so in the backup too; see docs/operate.md", file=sys.stderr)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"backed up into {folder}, {size_text(size)}; restore it with: ./airflow-ml restore {folder}")
    return 0


@contextlib.contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """A folder for what is not complete yet; it is gone at the end. Removes those of backups that were killed.

    Who fills a folder holds a lock on it, so that no other backup takes it for a left one.
    Errors: AirflowMlError if another backup fills it.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    for left in folder.parent.glob(".*.partial"):
        # Others may call a file so; a left one has the secrets, unless it was killed before.
        # os.path: where another account's folder cannot be looked into, Path raises.
        if left == partial or os.path.isfile(left / SETTINGS):  # noqa: PTH113
            with locked(left) as is_left:
                if is_left:
                    shutil.rmtree(left)
                    say(f"removed {left}, of a backup that was interrupted")
    try:
        partial.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise AirflowMlError(f"another backup writes {folder}", do="name a new folder") from None
    with locked(partial):
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold a folder until the end, or of this process; False if another process holds it, or it is not there."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def copy(folder: Path) -> list[str]:
    """Copy everything into a folder; returns the partitions that are torn where they are, with what they are in."""
    if not (ROOT / ".env").exists():
        raise AirflowMlError("there is no .env, so nothing was started from this folder", do="make run")
    require_restored()
    # A rotation in between would leave a database that these settings cannot read.
    with only_change():
        copy_settings_and_databases(folder)
    return copy_volumes(folder, volumes(settings()))


def copy_settings_and_databases(folder: Path) -> None:
    """Copy `.env`, the rules, and a dump of each database."""
    shutil.copyfile(ROOT / ".env", folder / SETTINGS)
    (folder / SETTINGS).chmod(0o600)
    shutil.copyfile(OWN_RULES, folder / RULES)
    for database in DATABASES:
        say(f"  database {database}")
        dump = ["exec", "--no-TTY", "postgres", "pg_dump", "--username=airflow", "--format=custom", database]
        # Nobody knows how large a dump will be.
        with (folder / f"{database}.dump").open("wb") as file, progress(database, None, "bytes") as advance:
            do = "see whether the stack runs: ./airflow-ml status"
            pipe(["compose", *dump], do=do, target=file, advance=advance)


def copy_volumes(folder: Path, sources: Mapping[str, str]) -> list[str]:
    """Copy volumes, or host folders, into archives; returns the partitions that are torn, as above."""
    all_torn: list[str] = []
    for name, source in sources.items():
        torn: list[str] = []
        for _ in range(COPIES):
            say(f"  {name}: {source}")
            archive = folder / f"{name}.tar.gz"
            archive_volume(source, archive)
            if not (torn := torn_partitions(archive)):
                break
        all_torn += [f"{partition} in {name}" for partition in torn]
    return all_torn


def pipe(
    command: Sequence[str],
    do: str,
    source: Bytes | None = None,
    target: Bytes | None = None,
    advance: Callable[[int], None] = lambda _: None,
    what: str = "",
) -> None:
    """Run a docker command that reads `source`, or whose output goes into `target`; `advance` gets their bytes.

    Errors: AirflowMlError with `what` was done, what docker wrote to stderr, and what to do.
    """
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            ["docker", *command],
            cwd=ROOT,
            stdin=PIPE if source else None,
            stdout=PIPE if target else None,
            stderr=errors,
        ) as process,
    ):
        # If docker ends early, what it says is the reason.
        with contextlib.suppress(BrokenPipeError):
            if source and process.stdin:
                with process.stdin:
                    copy_bytes(source, process.stdin, advance)
            if target and process.stdout:
                copy_bytes(process.stdout, target, advance)
        if process.wait():
            errors.seek(0)
            raise AirflowMlError(f"{what or ' '.join(['docker', *command])} failed: {errors.read().strip()}", do=do)


@contextlib.contextmanager
def container_with(source: str, mode: str) -> Iterator[str]:
    """A container that has a volume or host folder at /data, and is never started."""
    name = docker("create", "--network=none", f"--volume={source}:/data:{mode}", locked_image("base")).strip()
    try:
        yield name
    finally:
        docker("rm", "--force", name)


def archive_volume(source: str, archive: Path) -> None:
    """Write a volume's files, with owners and modes, into an archive."""
    what, do = f"copying {source}", "run the backup again"
    with (
        progress(what, size_of(source), "bytes") as advance,
        container_with(source, "ro") as container,
        gzip.open(archive, "wb", compresslevel=1) as file,
    ):
        pipe(["cp", f"{container}:/data/.", "-"], do=do, target=file, advance=advance, what=what)


def size_of(source: str) -> int:
    """How many bytes the files of a volume or host folder have, as far as the images' user sees them."""
    options = ["--rm", "--network=none", "--read-only", f"--volume={source}:/data:ro"]
    return int(docker("run", *options, locked_image("base"), "-c", ADD_SIZES))


def torn_partitions(archive: Path) -> list[str]:
    """The partitions of an archive in which a file is missing or has other bytes than the mark says."""
    hashes, marks = dict[str, str](), dict[PurePosixPath, Any]()
    with reading(archive, f"checking {archive.name}") as file, tarfile.open(fileobj=file, mode="r|gz") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if not member.isfile():
                continue
            content = tar.extractfile(member)
            assert content is not None
            if path.name == "_meta.json":
                marks[path.parent] = outputs_of(content.read())
            else:
                hashes[str(path)] = digest(content)
    return sorted(str(partition) for partition, outputs in marks.items() if not is_whole(partition, outputs, hashes))


def outputs_of(mark: bytes) -> dict[str, str] | None:
    """The sha256 of each file that a mark names and that was not removed; None if it cannot be read."""
    try:
        outputs = json.loads(mark)["outputs"]
        return {name: str(output["sha256"]) for name, output in outputs.items() if not output.get("removed")}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def is_whole(partition: PurePosixPath, outputs: "dict[str, str] | None", hashes: dict[str, str]) -> bool:
    return outputs is not None and all(hashes.get(str(partition / name)) == sha for name, sha in outputs.items())


def digest(content: Any) -> str:
    """The sha256 of a file that is open for reading."""
    found = hashlib.sha256()
    while block := content.read(1 << 20):
        found.update(block)
    return found.hexdigest()


def file_digest(path: Path) -> str:
    with reading(path, f"hashing {path.name}") as file:
        return digest(file)


def write_index(folder: Path, now: datetime, torn: Sequence[str]) -> None:
    """Write what the backup holds; without this file it is none."""
    files = {path.name: {"sha256": file_digest(path), "size": path.stat().st_size} for path in sorted(folder.iterdir())}
    version = compose("exec", "--no-TTY", "postgres", "postgres", "--version").stdout.strip()
    index = {
        "version": VERSION,
        "created": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "revision": revision_of(ROOT),
        "postgres": version,
        "torn": list(torn),
        "files": files,
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
