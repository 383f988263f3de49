"""Looks for what is wrong with this installation, and says what to do about it.

Looks at the engine and its plugins, disk, memory, clock, .env, images, ports, data, its file system and services.
Changes nothing; the check of the file system writes a folder below the data, and removes it. On a swarm it tries the
data's folder on each node, and labels those that pass: stages run on no others.
Exit codes: 0 nothing is wrong; 1 something is, a line says what; 2 wrong usage.
"""

import argparse
import json
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ml import rotate, secret_files, stack
from airflow_ml.common import (
    ROOT,
    AirflowMlError,
    image_lock,
    inspect_images,
    read_env,
    settings,
    try_docker,
)
from airflow_ml.data import DATA_FOLDER, Data, load_data, require_data, run_in_base
from airflow_ml.make_env import NEW_KEY, unknown_settings
from airflow_ml.nodes import check_here, check_node, nodes_of, what_is_wrong
from airflow_ml.text_table import aligned, size_text

OLDEST_ENGINE, OLDEST_COMPOSE = 25, 2
# What `make run` needs: images and their builder's cache, the services and one stage. `status` has the same limit.
LEAST_DISK, LEAST_MEMORY = 10_000_000_000, 6_000_000_000
MOST_CLOCK_S = 30
WRITE = """
import json, os, pathlib, sys
json.load(sys.stdin)
print(json.dumps({"writable": os.access("/data", os.W_OK), "owner": pathlib.Path("/data").stat().st_uid}))
"""
SHARED = "docs/operate.md, Put the data on a shared file system"
PORTS = {"ML_AIRFLOW_PORT": "Airflow", "ML_MLFLOW_PORT": "MLflow", "ML_REPORTS_PORT": "the reports"}


@dataclass(frozen=True)
class Finding:
    """What a check found; `do` says what to do if something is wrong."""

    what: str
    text: str
    do: str = ""
    is_warning: bool = False

    @property
    def level(self) -> str:
        """The word in front of its line."""
        return "wrong" if self.do else "warning" if self.is_warning else "fine"


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(arguments: argparse.Namespace) -> int:
    """Run every check, and print what it found."""
    findings = list(examine())
    print("\n".join(aligned([(found.level, found.what, found.text) for found in findings])))
    # One cause may stop several services.
    wrong = dict.fromkeys(found.do for found in findings if found.do)
    print("\n" + ("\n".join(f"do: {do}" for do in wrong) if wrong else "Nothing is wrong."))
    return 1 if wrong else 0


def examine() -> Iterator[Finding]:
    """The findings of all checks; without an engine those that need none."""
    yield environment(ROOT / ".env", ROOT / ".env.example")
    yield from unread(ROOT / ".env")
    try:
        info: dict[str, Any] = json.loads(try_docker("info", "--format", "{{json .}}").stdout)
        if not info.get("ServerVersion"):
            raise AirflowMlError("the engine does not answer")
    except (AirflowMlError, ValueError) as error:
        yield Finding("engine", str(error).splitlines()[0], "./airflow-ml engine")
        return
    for check in CHECKS:
        try:
            yield from check(info)
        except AirflowMlError as error:
            text, _, do = str(error).partition("\n       do: ")
            yield Finding(check.__name__, text, do or "see above")


# --- checks ---


def environment(path: Path, example: Path) -> Finding:
    """Whether .env has every setting, and is nobody else's to read."""
    if not path.exists():
        return Finding(".env", "is not there yet", "make run, which writes it")
    missing = sorted(set(read_env(example)) - set(read_env(path)))
    if missing:
        return Finding(".env", f"lacks {', '.join(missing)}", "make up, which adds what is missing")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding(".env", "can be read by others, and holds passwords", f"chmod 600 {path}")
    return keys(read_env(path))


def unread(path: Path) -> Iterator[Finding]:
    """A warning on each setting that nothing reads: it may be misspelt, or be one of another version."""
    for sentence in unknown_settings(path) if path.exists() else ():
        yield Finding(".env", sentence, is_warning=True)


def keys(found: Mapping[str, str]) -> Finding:
    """Whether no key is half replaced, and the one that signs is not of a release before."""
    for name in (rotate.FERNET, rotate.SIGNING):
        setting = secret_files.setting(name)
        key, do = found.get(setting, ""), f"./airflow-ml rotate {name}"
        if key.endswith(","):
            text = f"has a first {setting}, and what is older is not signed yet"
            return Finding(".env", text, "make up, which signs it")
        if "," in key:
            return Finding(".env", f"has two keys in {setting}: a rotation was interrupted", do)
        if name == rotate.SIGNING and key and not key.startswith(NEW_KEY):
            text = f"has an {setting} of a release before, whose signatures do not say for which version they are"
            return Finding(".env", text, do)
    return Finding(".env", "has every setting")


def engine(info: dict[str, Any]) -> Iterator[Finding]:
    """The versions of the engine and of the plugins that a build and the stack need."""
    version = str(info["ServerVersion"])
    old = major(version) < OLDEST_ENGINE
    yield Finding("engine", version, f"a Docker engine of version {OLDEST_ENGINE} or newer" if old else "")
    plugins = {one["Name"]: str(one.get("Version", "")) for one in (info.get("ClientInfo") or {}).get("Plugins") or []}
    for name, oldest in (("buildx", 0), ("compose", OLDEST_COMPOSE)):
        found = plugins.get(name)
        lacking = found is None or major(found) < oldest
        yield Finding(name, found or "is not there", "./airflow-ml engine, which installs it" if lacking else "")


def major(version: str) -> int:
    """The first number of a version."""
    match = re.search(r"\d+", version)
    return int(match[0]) if match else 0


def memory(info: dict[str, Any]) -> Iterator[Finding]:
    """The memory that the engine may use."""
    found = int(info["MemTotal"])
    do = f"give the engine {size_text(LEAST_MEMORY)} or more" if found < LEAST_MEMORY else ""
    yield Finding("memory", size_text(found), do)


def disk(info: dict[str, Any]) -> Iterator[Finding]:
    """The room where the engine keeps images and volumes, if that is on this machine."""
    folder = Path(str(info["DockerRootDir"]))
    if not folder.exists():
        return
    free = shutil.disk_usage(folder).free
    do = f"free {size_text(LEAST_DISK)}: ./build_images.sh --prune, docker builder prune" if free < LEAST_DISK else ""
    yield Finding("disk", f"{size_text(free)} are free in {folder}", do)


def clock(info: dict[str, Any]) -> Iterator[Finding]:
    """Whether the engine's clock is this machine's: the day of a run is a day of the engine."""
    text = re.sub(r"(\.\d{6})\d*", r"\1", str(info["SystemTime"])).replace("Z", "+00:00")
    apart = abs((datetime.fromisoformat(text) - datetime.now(timezone.utc)).total_seconds())
    do = "set the clocks, or restart the engine's machine" if apart > MOST_CLOCK_S else ""
    yield Finding("clock", f"{apart:.0f} s apart from the engine's", do)


def images(info: dict[str, Any]) -> Iterator[Finding]:
    """Whether the engine has each image of the image lock, with the same id."""
    lock = image_lock()
    if not lock:
        yield Finding("images", "are not built yet", "./airflow-ml build")
        return
    found = inspect_images(entry["image"] for entry in lock.values())
    gone = sorted(name for name, entry in lock.items() if found.get(entry["image"], {}).get("Id") != entry["id"])
    text = f"{len(lock) - len(gone)} of {len(lock)} are there{': not ' + ', '.join(gone) if gone else ''}"
    yield Finding("images", text, "./airflow-ml build" if gone else "")


def ports(info: dict[str, Any]) -> Iterator[Finding]:
    """Whether each port is ours, or free."""
    texts = {setting: settings()[setting] for setting in PORTS}
    if wrong := [setting for setting, text in texts.items() if not stack.port_of(text)]:  # compose would refuse them
        for setting in wrong:
            do = f"set {setting} in .env to a port, such as 8080"
            yield Finding(setting, f"is {texts[setting]!r}, for {PORTS[setting]}", do)
        return
    up = {service.name for service in stack.services() if service.state == "running"}
    ours = bool({"api-server", "mlflow", "reports"} & up)
    for setting, page in PORTS.items():
        port = int(texts[setting])
        taken = not ours and stack.is_taken(port)
        do = f"set {setting} in .env to a port that is free" if taken else ""
        state = "belongs to another program" if taken else "is ours" if ours else "is free"
        yield Finding(f"port {port}", f"{state}, for {page}", do)


def data_folder(info: dict[str, Any]) -> Iterator[Finding]:
    """Whether the data is there, and belongs to the user that stages run as."""
    data = load_data()
    try:
        require_data(data)
    except AirflowMlError as error:
        yield Finding("data", str(error).splitlines()[0], "make run, which makes it")
        return
    if not image_lock():
        return
    mount = data.mount(DATA_FOLDER, writable=True)
    found = run_in_base(data, ("-c", WRITE), {}, mount)
    text = f"{data.source!r} belongs to user {found['owner']}, stages run as {data.user.partition(':')[0]}"
    yield Finding("data", text, "" if found["writable"] else "set ML_UID and ML_GID in .env to the owner, then make up")
    if found["writable"]:
        yield from storage(data, settings()["ML_ENGINE"])


def storage(data: Data, engine: str) -> Iterator[Finding]:
    """Whether the data's file system keeps what partitions rely on: on this host, or on each node of a swarm."""
    if engine != "swarm":
        yield judge_storage("storage", check_here(data))
        return
    try:
        for node in nodes_of(data):
            yield judge_storage(f"storage of {node.name}", check_node(node, data))
    except AirflowMlError as error:
        text, _, do = str(error).partition("\n       do: ")
        yield Finding("storage", text, do or SHARED)


def judge_storage(what: str, done: "subprocess.CompletedProcess[str]") -> Finding:
    """What a check found, from its result line or its error."""
    if done.returncode:
        return Finding(what, what_is_wrong(done), SHARED)
    result = json.loads(done.stdout)
    return Finding(
        what, f"{result['file_system']} keeps locks and renames ({result['changes']} changes by two processes)"
    )


def services(info: dict[str, Any]) -> Iterator[Finding]:
    """Whether each service that was started is well."""
    found = stack.services()
    remedy = "" if all(one.is_well for one in found) else stack.remedy()
    for one in found:
        state = f"{one.state} {one.health}".strip()
        do = remedy or f"./airflow-ml logs {one.name}, then make up"
        yield Finding(one.name, state, "" if one.is_well else do)


CHECKS: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
    engine, memory, disk, clock, images, ports, data_folder, services,
)  # fmt: skip
