"""Writes `.env` from `.env.example`, with new random secrets.

Values in <angle brackets> are filled in; every other line is copied. A host folder in the variable ML_DATA goes into
`.env`, so that `ML_DATA=$PWD/data make run` keeps the files in a folder of the user. An existing `.env` keeps every
line. If it is older than a setting, that setting is added, with its comment from the example. One without a key to sign
with gets its first, with a comma behind it: what has no signature stays valid until `make up` has signed it.
"""

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from airflow_ml.common import (
    IMAGE_UID,
    ROOT,
    AirflowMlError,
    env_line,
    nearest,
    only_change,
    read_env,
    setting_of,
    try_docker,
    write_atomic,
)

# How a key begins that never signed in an old form, as stages/registry/signature.py has it.
NEW_KEY = "v2."
SIGNING, TO_FILL_IN = "ML_REGISTRY_KEY", "<registry key>"
DEFAULT_SOCKET = "/var/run/docker.sock"
# The comment above the images' lines, which are the last.
IMAGES = "# Below this line ./build_images.sh keeps the images that compose runs, such as ML_AIRFLOW_IMAGE."


def owner_id(own: int, data: str) -> str:
    """Whose files the stages write: the user's own in a host folder, the images' in a named volume."""
    return str(own if data.startswith("/") and own != 0 else IMAGE_UID)


def docker_socket() -> str:
    """The engine's socket as a container can mount it."""
    host = os.environ.get("DOCKER_HOST", "")
    return host.removeprefix("unix://") if host.startswith("unix://") else DEFAULT_SOCKET


def docker_gid() -> str:
    """The group that may use the socket, as a container sees it: Docker Desktop's is in its own machine."""
    if "Docker Desktop" in operating_system():
        return "0"
    socket = Path(docker_socket())
    return str(socket.stat().st_gid) if socket.exists() else "0"


def operating_system() -> str:
    """The engine's; empty if none answers, for `.env` can be written without one."""
    try:
        return try_docker("info", "--format", "{{.OperatingSystem}}").stdout
    except AirflowMlError:
        return ""


def make_data_folder(data: str) -> None:
    """Make a host folder that stages can write into; nothing for a volume."""
    if data.startswith("/"):
        Path(data).mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.chown(data, IMAGE_UID, IMAGE_UID)


def data_mount(data: str) -> str:
    """How compose names what it mounts: a host folder, or its own word for a volume of any name."""
    return data if data.startswith("/") else "data"


def registry_key() -> str:
    """A random key to sign with."""
    return NEW_KEY + secrets.token_urlsafe(24)


def fill(line: str, data: str) -> str:
    name, sign, value = line.partition("=")
    if not sign or line.startswith("#"):
        return line
    fillers: dict[str, Callable[[], str]] = {
        "<password>": lambda: secrets.token_urlsafe(24),
        "<fernet key>": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        TO_FILL_IN: registry_key,
        "<uid>": lambda: owner_id(os.getuid(), data),
        "<gid>": lambda: owner_id(os.getgid(), data),
        "<docker socket>": docker_socket,
        "<docker gid>": docker_gid,
        "data": lambda: data,
        "<data mount>": lambda: data_mount(data),
    }
    return env_line(name, fillers[value]()) if value in fillers else line


def names_in(lines: Iterable[str]) -> set[str]:
    """The settings that lines set. One in a comment is not set, and compose has no default for it."""
    return {name for line in lines if (name := setting_of(line))}


def new_lines(example: Sequence[str], there: Sequence[str], data: str) -> list[str]:
    """The lines of the example whose settings the file does not have, with the comments above them."""
    known, comments, added = names_in(there), list[str](), list[str]()
    for line in example:
        if line.startswith("#"):
            comments.append(line)
        elif (name := setting_of(line)) and name not in known:
            added += [*comments, fill(line, data)]
            comments = []
        else:
            comments = []
    return added


def add_new_settings(target: Path, example: Sequence[str]) -> None:
    """Add the settings of the example that an older file does not have; none of its lines changes."""
    there = target.read_text(encoding="utf-8").splitlines()
    added = new_lines(example, there, read_env(target).get("ML_DATA", "data"))
    if not added:
        return
    end = there.index(IMAGES) if IMAGES in there else len(there)
    lines = [*there[:end], *added, *([""] if end < len(there) else []), *there[end:]]
    write_atomic(target, "\n".join(lines) + "\n", mode=0o600)
    names = ", ".join(line.partition("=")[0] for line in added if not line.startswith("#"))
    print(f"==> Added to {target}, which is older than these settings: {names}", file=sys.stderr)


def change_settings(target: Path, values: Mapping[str, str]) -> None:
    """Replace the values of settings in an environment file in one step; no other line changes.

    Errors: AirflowMlError if the file does not have a setting.
    """
    with only_change(target.parent):
        _change_settings(target, values)


def _change_settings(target: Path, values: Mapping[str, str]) -> None:
    lines = target.read_text(encoding="utf-8").splitlines()
    names = list(map(setting_of, lines))
    if missing := sorted(values.keys() - set(names)):
        raise AirflowMlError(f"there is no {', '.join(missing)} in {target}", do="make up, which adds it")
    new = [
        env_line(name, values[name]) if name and name in values else line
        for name, line in zip(names, lines, strict=True)
    ]
    write_atomic(target, "\n".join(new) + "\n", mode=0o600)


def give_first_key(target: Path) -> None:
    """Give an installation that has never signed its first key."""
    if not read_env(target).get(SIGNING):
        _change_settings(target, {SIGNING: f"{registry_key()},"})
        print(f"==> {target} has its first {SIGNING}: `make up` signs what is in MLflow", file=sys.stderr)


def unknown_settings(path: Path) -> list[str]:
    """A sentence on each setting `ML_...` of an environment file that nothing reads, with the nearest one.

    The example names what can be set, some of it in comments; compose's files name what is optional.
    """
    texts = [file.read_text(encoding="utf-8") for file in path.parent.glob("docker-compose*.yml")]
    known = set(re.findall(r"\$\{?(ML_\w+)", "\n".join(texts)))
    known.update(re.findall(r"^(?:# ?)?(ML_\w+)=", (path.parent / ".env.example").read_text(encoding="utf-8"), re.M))
    given = names_in(path.read_text(encoding="utf-8").splitlines())
    unknown = sorted(name for name in given - known if name.startswith("ML_"))
    return [f"nothing reads {name}{nearest(name, known)}" for name in unknown]


def make_env(root: Path = ROOT) -> None:
    """Write `.env`, or add new settings to the one that exists."""
    with only_change(root):
        _make_env(root)


def _make_env(root: Path) -> None:
    target = root / ".env"
    example = (root / ".env.example").read_text(encoding="utf-8").splitlines()
    if target.exists():
        for sentence in unknown_settings(target):
            print(f"    warning: {target}: {sentence}", file=sys.stderr)
        add_new_settings(target, [line.replace(TO_FILL_IN, "") for line in example])
        return give_first_key(target)
    data = os.environ.get("ML_DATA", "data")
    make_data_folder(data)
    write_atomic(target, "\n".join(fill(line, data) for line in example) + "\n", mode=0o600)
    print(f"==> Wrote {target} with new random secrets", file=sys.stderr)
    return None
