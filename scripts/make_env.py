"""Writes `.env` from `.env.example`, with new random secrets; never touches one that is there.

What stands in <angle brackets> in the example is filled in, any other line is copied. A host folder as ML_DATA
in the environment is taken over, so that `ML_DATA=$PWD/data make run` keeps the files in a folder that belongs
to the user.
"""

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The user inside the images, to whom the named volume belongs; root is never used.
IMAGE_UID = 10001
DEFAULT_SOCKET = "/var/run/docker.sock"


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


def main() -> int:
    target = ROOT / ".env"
    if target.exists():
        return 0
    data = os.environ.get("ML_DATA", "data")
    if data.startswith("/"):
        Path(data).mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.chown(data, IMAGE_UID, IMAGE_UID)
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    text = "\n".join(fill(line, data) for line in lines) + "\n"
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    print(f"==> Wrote {target} with new random secrets", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
