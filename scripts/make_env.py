"""Writes `.env` from `.env.example`, with new random secrets.

What stands in <angle brackets> in the example is filled in, any other line is copied. A host folder as ML_DATA
in the environment is taken over, so that `ML_DATA=$PWD/data make run` keeps the files in a folder that belongs
to the user. A `.env` that is there keeps every line as it is; settings that it lacks, because it is older than they
are, are added, each with what the example says of it.
"""

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The user inside the images, to whom the named volume belongs; root is never used.
IMAGE_UID = 10001
DEFAULT_SOCKET = "/var/run/docker.sock"
# What stands above the images' own lines, which are the last.
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
    command = ["docker", "info", "--format", "{{.OperatingSystem}}"]
    if "Docker Desktop" in subprocess.run(command, capture_output=True, text=True, check=False).stdout:
        return "0"
    socket = Path(docker_socket())
    return str(socket.stat().st_gid) if socket.exists() else "0"


def fill(line: str, data: str) -> str:
    name, sign, value = line.partition("=")
    if not sign or line.startswith("#"):
        return line
    fillers: dict[str, Callable[[], str]] = {
        "<password>": lambda: secrets.token_urlsafe(24),
        "<fernet key>": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "<uid>": lambda: owner_id(os.getuid(), data),
        "<gid>": lambda: owner_id(os.getgid(), data),
        "<docker socket>": docker_socket,
        "<docker gid>": docker_gid,
        "data": lambda: data,
        "<data mount>": lambda: data if data.startswith("/") else "data",
    }
    return f"{name}={fillers[value]()}" if value in fillers else line


def names_in(lines: Iterable[str]) -> set[str]:
    """The settings that lines set, or name in a comment: who took one out so wants it out."""
    return {line.lstrip("# ").partition("=")[0] for line in lines if "=" in line}


def new_lines(example: Sequence[str], there: Sequence[str], data: str) -> list[str]:
    """What the example sets and the file does not, with the comments above it."""
    known, comments, added = names_in(there), list[str](), list[str]()
    for line in example:
        if line.startswith("#"):
            comments.append(line)
        elif "=" in line and line.partition("=")[0] not in known:
            added += [*comments, fill(line, data)]
            comments = []
        else:
            comments = []
    return added


def add_what_is_new(target: Path, example: Sequence[str]) -> None:
    """Bring an older file up to the example; no line of it changes."""
    there = target.read_text(encoding="utf-8").splitlines()
    data = next((line.partition("=")[2] for line in there if line.startswith("ML_DATA=")), "data")
    added = new_lines(example, there, data)
    if not added:
        return
    end = there.index(IMAGES) if IMAGES in there else len(there)
    text = "\n".join([*there[:end], *added, *([""] if end < len(there) else []), *there[end:]]) + "\n"
    write_private(new := target.with_name(".env.new"), text)
    new.replace(target)
    names = ", ".join(line.partition("=")[0] for line in added if not line.startswith("#"))
    print(f"==> Added to {target}, which is older than these settings: {names}", file=sys.stderr)


def write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def main() -> int:
    target = ROOT / ".env"
    example = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    if target.exists():
        add_what_is_new(target, example)
        return 0
    data = os.environ.get("ML_DATA", "data")
    if data.startswith("/"):
        Path(data).mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.chown(data, IMAGE_UID, IMAGE_UID)
    write_private(target, "\n".join(fill(line, data) for line in example) + "\n")
    print(f"==> Wrote {target} with new random secrets", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
