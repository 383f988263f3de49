"""Builds the base and the stages once more, on an engine of their own that has nothing cached, and compares the bytes.

The same folders must give the same layers, whoever builds them. If they do not, the files that differ are shown.
Needs root rights on Linux to start a second dockerd (with a data folder, a socket and a bridge of its own), or
--host, the address of another engine.
Exit codes: 0 the same bytes; 1 other bytes, or it cannot be done; 2 wrong usage.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml.common import ROOT, AirflowMlError, image_lock

BRIDGE, ADDRESS = "br-ml-again", "172.31.253.1/24"
COPIED = ("base-image", "stages", "services", "airflow_ml", "setup")
START_S = 60
SHOWN = 10


def call(*command: str | Path, host: str | None = None, check: bool = True, quiet: bool = True) -> str:
    """The output of a command; `host` is the address of another engine.

    Errors: AirflowMlError with the end of what it wrote.
    """
    environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    errors = subprocess.STDOUT if quiet else None
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False, env=environment)
    if check and done.returncode:
        raise AirflowMlError(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:].strip()}")
    return done.stdout


@contextlib.contextmanager
def second_engine() -> Iterator[str]:
    """A Docker engine with empty caches; yields its address, and leaves nothing of it behind."""
    with engine_folder() as folder, engine_on(folder) as host:
        yield host


@contextlib.contextmanager
def engine_folder() -> Iterator[Path]:
    """An empty folder for an engine, and the bridge for it; both go at the end."""
    if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("ip"):
        raise AirflowMlError(
            "a second engine needs root rights, dockerd and the command ip on this machine",
            do="run this as root on Linux, or name another engine with --host",
        )
    folder = Path(tempfile.mkdtemp(prefix="airflow-ml-again-"))
    call("ip", "link", "delete", BRIDGE, check=False)
    call("ip", "link", "add", BRIDGE, "type", "bridge")
    call("ip", "address", "add", ADDRESS, "dev", BRIDGE)
    call("ip", "link", "set", BRIDGE, "up")
    try:
        yield folder
    finally:
        call("ip", "link", "delete", BRIDGE, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def engine_on(folder: Path) -> Iterator[str]:
    """An engine that keeps its data in a folder, which an engine may have used before; yields its address."""
    host = f"unix://{folder}/engine.sock"
    with (folder / "log").open("a") as log:
        engine = subprocess.Popen(
            ["dockerd", f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid",
             f"--host={host}", f"--bridge={BRIDGE}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(engine, host, folder / "log")
        yield host
    finally:
        engine.terminate()
        engine.wait(timeout=60)


def wait_for(engine: "subprocess.Popen[bytes]", host: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and engine.poll() is None:
        if subprocess.run(["docker", "--host", host, "version"], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.3)
    raise AirflowMlError(f"the second engine did not start; its last words:\n{log.read_text()[-1500:]}")


def hand_over(image: str, host: str) -> None:
    """Give the other engine a published image, as it is here."""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as source:
        done = subprocess.run(
            ["docker", "--host", host, "load"], stdin=source.stdout, capture_output=True, text=True, check=False
        )
    if done.returncode or source.returncode:
        raise AirflowMlError(f"{image} could not be handed to the other engine: {done.stderr.strip()}")


def build_again(folder: Path, names: Sequence[str], host: str) -> dict[str, dict[str, Any]]:
    """Build these images from a copy of the sources; returns the copy's image lock."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    (folder / "dags").mkdir()
    for service in sorted((folder / "services").iterdir()):
        if service.name not in names:
            shutil.rmtree(service)
    for name in ("airflow-ml", ".env.example"):
        shutil.copy(ROOT / name, folder / name)
    call(folder / "airflow-ml", "build", host=host, quiet=False)
    return image_lock(folder)


def layers(image: str, host: str | None = None) -> list[str]:
    """The digests of an image's layers, lowest first."""
    digests: list[str] = json.loads(call("docker", "image", "inspect", image, host=host))[0]["RootFS"]["Layers"]
    return digests


def files_of_layers(image: str, folder: Path, host: str | None = None) -> list[dict[str, str]]:
    """For each layer of an image, the facts of each of its files."""
    archive = folder / f"{'again' if host else 'here'}.tar"
    call("docker", "save", "--output", archive, image, host=host)
    with tarfile.open(archive) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]
        found = []
        for name in manifest[0]["Layers"]:
            with tarfile.open(fileobj=saved.extractfile(name)) as layer:
                found.append({member.name: describe(layer, member) for member in layer})
    archive.unlink()
    return found


def describe(layer: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Everything that a layer's digest depends on, for one file."""
    content = layer.extractfile(member) if member.isfile() else None
    digest = hashlib.sha256(content.read()).hexdigest()[:12] if content else member.linkname or "-"
    return (
        f"mode {member.mode:o}, owner {member.uid}:{member.gid}, time {member.mtime:.9g}, {member.size} bytes, {digest}"
    )


def differences(here: Sequence[Mapping[str, str]], again: Sequence[Mapping[str, str]]) -> list[str]:
    """What differs between the files of two images, in words."""
    lines = []
    for number, (ours, theirs) in enumerate(zip(here, again, strict=False), start=1):
        for name in sorted(set(ours) | set(theirs)):
            if ours.get(name) != theirs.get(name):
                lines.append(f"layer {number}, {name}: {ours.get(name, 'not there')} | {theirs.get(name, 'not there')}")
    if len(here) != len(again):
        lines.append(f"{len(here)} layers | {len(again)} layers")
    return lines


def compare(names: Sequence[str], again: Mapping[str, dict[str, Any]], folder: Path, host: str) -> bool:
    """Print for each image whether its bytes are the same; returns whether all are."""
    lock = image_lock()
    same = True
    for name in names:
        ours, theirs = lock[name]["image"], again[name]["image"]
        if ours != theirs:
            raise AirflowMlError(f"the image lock names {ours}, the folders are {theirs}", do="./airflow-ml build")
        mine, others = layers(ours), layers(theirs, host)
        equal = sum(a == b for a, b in zip(mine, others, strict=False))
        whole = "the same image id" if lock[name]["id"] == again[name]["id"] else "another image id"
        print(f"{ours:42} {equal} of {max(len(mine), len(others))} layers the same, {whole}")
        if mine != others:
            same = False
            lines = differences(files_of_layers(ours, folder), files_of_layers(theirs, folder, host))
            print(*(f"  {line}" for line in lines[:SHOWN]), sep="\n")
            print(f"  {len(lines)} differences" + (f", the first {SHOWN} are above" if len(lines) > SHOWN else ""))
    return same


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--host", help="another engine, such as ssh://user@machine; its caches must be empty")
    parser.add_argument("--services", action="store_true", help="the services too")


def debian_image() -> str:
    """The published image that the base starts from."""
    lines = (ROOT / "base-image/Dockerfile").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ARG DEBIAN_IMAGE="))


def run(arguments: argparse.Namespace) -> int:
    """Build again and compare."""
    kinds = ("stages", "services") if arguments.services else ("stages",)
    names = ["base", *(path.parent.name for kind in kinds for path in sorted(ROOT.glob(f"{kind}/*/Dockerfile")))]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-ml-sources-")))
        host = arguments.host or stack.enter_context(second_engine())
        hand_over(debian_image(), host)
        again = build_again(folder, names, host)
        return 0 if compare(names, again, folder, host) else 1
