"""The published data, in a volume or a host folder: read in a short container of the base image, as a stage would."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

from airflow_ml.common import ROOT, AirflowMlError, is_unreachable, locked_image, no_engine, settings, try_docker
from airflow_ml.progress import progress

DATA_FOLDER = "/data"
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
class Data:
    """Where the data is, who owns it (UID:GID), and how much memory a stage may use."""

    source: str
    user: str
    memory: str

    @property
    def folder(self) -> Path | None:
        """The host folder that the data is in; None for a volume."""
        return Path(self.source) if self.source.startswith("/") else None

    @property
    def confined(self) -> list[str]:
        """The options that a stage's container gets."""
        return [*CONFINED, f"--user={self.user}", f"--memory={self.memory}", f"--memory-swap={self.memory}"]

    def mount(self, target: str, *, writable: bool = False) -> str:
        """The option that mounts the data, read-only unless a stage publishes there."""
        kind = "bind" if self.folder else "volume"
        return f"--mount=type={kind},source={self.source},target={target}{'' if writable else ',readonly'}"


def load_data() -> Data:
    """The data of the settings."""
    get = settings()
    return Data(get["ML_DATA"], f"{get['ML_UID']}:{get['ML_GID']}", get["ML_STAGE_MEMORY"])


def run_in_base(data: Data, program: tuple[str, ...], request: dict[str, Any], *mounts: str) -> dict[str, Any]:
    """Run Python in a container of the base image; it reads a JSON request and prints a JSON answer."""
    options = ["--rm", "--interactive", *data.confined, *mounts]
    done = try_docker("run", *options, locked_image("base"), *program, stdin=json.dumps(request))
    if done.returncode:
        raise _failed((done.stderr or done.stdout).strip() or f"exit code {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def ask_for_long(
    data: Data, program: tuple[str, ...], request: dict[str, Any], *mounts: str, what: str
) -> dict[str, Any]:
    """The same for a program that says with lines of JSON before its answer how far it is; shows it as `what`."""
    options = ["--rm", "--interactive", *data.confined, *mounts]
    command = ["docker", "run", *options, locked_image("base"), *program]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # what it has said is the reason
            process.stdin.write(json.dumps({**request, "progress": True}))
            process.stdin.close()
        answer = _answer(process.stdout, what)
        if process.wait():
            errors.seek(0)
            raise _failed(errors.read().strip() or f"exit code {process.returncode}")
    return answer


def _answer(lines: Iterator[str], what: str) -> dict[str, Any]:
    """The last line; those before say how many bytes of how many are done."""
    answer: dict[str, Any] = json.loads(next(lines, "{}"))
    if "total" in answer:
        with progress(what, answer["total"], "bytes") as advance:
            for line in lines:
                answer = json.loads(line)
                advance(answer.get("done", 0))
    return answer


def _failed(message: str) -> AirflowMlError:
    last = message.splitlines()[-1]
    if "PermissionError" in message:
        return AirflowMlError(
            f"the data cannot be read: {last}",
            expected="data that belongs to ML_UID and ML_GID, in .env or the environment",
            do="set them to the owner of the data",
        )
    if "No module named stagekit" in message:
        return AirflowMlError(f"the base image is older than this checkout: {last}", do="./airflow-ml build")
    if is_unreachable(message):
        return no_engine(message)
    return AirflowMlError(f"the container that reads the data failed: {message}")


def is_there(data: Data) -> bool:
    """Whether the volume or folder exists; mounting a missing volume would make it."""
    return data.folder.is_dir() if data.folder else volume_exists(data.source)


def require_data(data: Data) -> None:
    """Errors: AirflowMlError if the volume or folder is missing."""
    if is_there(data):
        return
    kind = f"folder {data.folder}" if data.folder else f"volume {data.source!r} on this engine"
    raise AirflowMlError(
        f"there is no {kind}",
        expected="the volume or host folder that ML_DATA names, in .env or the environment",
        do="`make run` makes a first day of data; ML_DATA=/absolute/folder names a host folder",
    )


def volume_exists(name: str) -> bool:
    """Whether the engine has a volume."""
    done = try_docker("volume", "ls", "--quiet", "--filter", f"name=^{name}$")
    return bool(done.stdout.strip())
