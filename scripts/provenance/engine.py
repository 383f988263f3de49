"""What is asked of the Docker engine: to run Python beside the data, and which images it has."""

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.errors import ProvenanceError

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "dags" / "images.lock.json"
DEFAULTS = {"ML_DATA": "data", "ML_UID": "10001", "ML_GID": "10001", "ML_STAGE_MEMORY": "4g"}
# As the Dags confine every stage (dags/ml/operator.py; a test fails when the two differ).
CONFINED = (
    "--network=none",
    "--read-only",
    "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=512",
)


@dataclass(frozen=True)
class Settings:
    """Where the data is, whom it belongs to, and how much memory a stage may use: `.env`, the environment wins."""

    data: str
    user: str
    memory: str

    @property
    def folder(self) -> Path | None:
        """The host folder that the data is in; None for a volume."""
        return Path(self.data) if self.data.startswith("/") else None

    def mount(self, target: str) -> str:
        """The option that mounts the data, read-only."""
        kind = "bind" if self.folder else "volume"
        return f"--mount=type={kind},source={self.data},target={target},readonly"

    @property
    def confined(self) -> list[str]:
        """The options that a stage's container gets."""
        return [*CONFINED, f"--user={self.user}", f"--memory={self.memory}", f"--memory-swap={self.memory}"]


def load_settings(env_file: Path = ROOT / ".env") -> Settings:
    """The settings, with the defaults of `.env.example` where there is no `.env`."""
    lines = env_file.read_text(encoding="utf-8").splitlines() if env_file.exists() else []
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    known = {**DEFAULTS, **{name: value for name, _, value in pairs if value}}
    get = {name: os.environ.get(name) or known[name] for name in DEFAULTS}
    return Settings(get["ML_DATA"], f"{get['ML_UID']}:{get['ML_GID']}", get["ML_STAGE_MEMORY"])


def try_docker(*arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a docker command and return what it said, whether it worked or not."""
    try:
        return subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ProvenanceError("there is no `docker` command", do="make engine") from None


def docker(*arguments: str, stdin: str | None = None) -> str:
    """The output of a docker command. Errors: ProvenanceError with what the engine said."""
    done = try_docker(*arguments, stdin=stdin)
    if done.returncode:
        raise failed(arguments[0], done)
    return done.stdout


def failed(what: str, done: "subprocess.CompletedProcess[str]") -> ProvenanceError:
    """What a docker command's failure means, with its last words."""
    said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
    if "PermissionError" in said:
        return ProvenanceError(
            f"the data cannot be read: {said.splitlines()[-1]}",
            expected="data that belongs to ML_UID and ML_GID, in .env or the environment",
            do="set them to the owner of the data",
        )
    do = "`make engine` starts an engine where there is none" if "daemon" in said else ""
    return ProvenanceError(f"docker {what} failed: {said}", do=do)


def locked_images() -> dict[str, dict[str, Any]]:
    """The images of the image lock, by name."""
    try:
        images: dict[str, dict[str, Any]] = json.loads(LOCK.read_text(encoding="utf-8"))["images"]
        return images
    except FileNotFoundError:
        raise ProvenanceError(f"{LOCK} is not there: no image was built yet", do="./build_images.sh") from None


def run_python(settings: Settings, program: Path, request: dict[str, Any], *mounts: str) -> dict[str, Any]:
    """Run a program of ours in a container of the base image; it reads a JSON request and prints a JSON answer."""
    if settings.folder is None and not volume_exists(settings.data):
        raise ProvenanceError(
            f"there is no volume {settings.data!r} on this engine",
            expected="the volume or host folder that ML_DATA names, in .env or the environment",
            do="`make run` makes a first day of data; ML_DATA=/absolute/folder names a host folder",
        )
    options = ["--rm", "--interactive", *settings.confined, *mounts]
    image = locked_images()["base"]["image"]
    answer: dict[str, Any] = json.loads(
        docker("run", *options, image, "-c", program.read_text(encoding="utf-8"), stdin=json.dumps(request))
    )
    return answer


def volume_exists(name: str) -> bool:
    """Whether the engine has a volume; mounting one that is not there would make it."""
    return bool(docker("volume", "ls", "--quiet", "--filter", f"name=^{name}$").strip())


def image_ids(names: Iterable[str]) -> dict[str, str | None]:
    """The engine's id for each image name or id; None where it has none. Empty where no engine answers."""
    wanted = sorted(set(names))
    ids: dict[str, str | None] = {}
    try:
        if not wanted or try_docker("version").returncode:
            return {}
    except ProvenanceError:
        return {}
    for name in wanted:
        done = try_docker("image", "inspect", "--format", "{{.Id}}", name)
        ids[name] = done.stdout.strip() if done.returncode == 0 else None
    return ids


def remove(kind: str, names: Sequence[str]) -> None:
    """Remove containers or volumes of ours, whether they are there or not."""
    if names:
        try_docker(kind, "rm", "--force", *names)
