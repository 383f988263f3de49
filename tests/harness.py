"""Images and data for tests on the real engine: run a stage as Airflow confines it, and look at what it published.

The commands of the pipeline are written here once. A test names the step, not the command line.
"""

import atexit
import base64
import csv
import io
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests import data_files

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "dags" / "images.lock.json"
# How long a test waits for what is not its point: on a slow machine everything takes longer, and nothing is wrong.
PATIENCE_S = 600
# As dags/ml/engines/docker.py starts every stage, except limits and the network.
RESTRICTED = (
    *("--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
)
CONFINED = (*RESTRICTED, "--network=none")
Finished = subprocess.CompletedProcess[str]
# Follows every file back to the raw data, and reads every byte on the way.
FOLLOW = """
import json
from pathlib import Path
from stagekit.lineage import Reader

root = Path("/data")
marks = {str(mark.parent.relative_to(root)): json.loads(mark.read_text()) for mark in root.glob("*/*/_meta.json")}
paths = [f"{name}/{file}" for name, mark in sorted(marks.items()) for file in mark["outputs"]]
lineage = Reader(root, verify=True).follow(paths)
problems = [(path, problem.kind) for path, problem in lineage.problems]
print(json.dumps({"partitions": sorted(marks), "files": len(lineage.files), "problems": problems}))
"""


def outside_of_make() -> dict[str, str]:
    """The environment for what a person types: inside of make, which may run these tests, make does otherwise."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def copy_tool(folder: Path) -> None:
    """Put the host tool into a checkout of its own, without settings, with what its commands read of a checkout."""
    for part in ("airflow_ml", "setup"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "base-image" / "stagekit").mkdir(parents=True, exist_ok=True)
    for name in ("airflow-ml", ".env.example", "docker-compose.yml", "base-image/stagekit/progress.py"):
        shutil.copy(ROOT / name, folder / name)


def image_lock() -> dict[str, dict[str, Any]]:
    """The entries of the image lock, by name. A missing lock is an error: no test is skipped for lack of images."""
    if not LOCK.exists():
        raise pytest.UsageError("dags/images.lock.json is missing: run ./build_images.sh first")
    return dict(json.loads(LOCK.read_text())["images"])


def dags_of_the_docs() -> list[str]:
    """The Dags in docs/use.md that take in data, and labels that come later, from a database."""
    _, *rest = (ROOT / "docs/use.md").read_text(encoding="utf-8").split("```python\n")
    return [part.partition("```")[0] for part in rest if part.startswith("from airflow.sdk")]


def images() -> dict[str, str]:
    """Image references by name."""
    return {name: str(entry["image"]) for name, entry in image_lock().items()}


def page_login(password: str) -> dict[str, str]:
    """The header with which people log in to MLflow and the reports."""
    return {"Authorization": f"Basic {base64.b64encode(f'ml:{password}'.encode()).decode()}"}


@cache
def registry_login(password: str, key: str) -> str:
    """The option of `docker run` that gives the stage registry its login at MLflow and its key, as a file."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    file = folder / "mlflow.json"
    file.write_text(json.dumps({"login": "registry", "password": password, "key": key}))
    file.chmod(0o644)
    return f"--volume={file}:/run/connections/mlflow.json:ro"


@cache
def mount_secrets(**secrets: str) -> tuple[str, ...]:
    """The options of `docker run` that give a service its secrets, as files."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    for name, value in secrets.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o444)
    return tuple(f"--volume={folder / name}:/run/secrets/{name}:ro" for name in secrets)


def docker(*arguments: str, check: bool = True) -> Finished:
    """Run a docker command; with `check`, a failure shows what it printed."""
    done = subprocess.run(["docker", *arguments], text=True, capture_output=True, timeout=PATIENCE_S, check=False)
    if check:
        assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done


def wait_until(condition: Callable[[], Any], what: str, container: str = "") -> None:
    """Look until something is true; a failure shows the log of the container, if one is named."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            log = docker("logs", container, check=False) if container else None
            raise AssertionError(
                f"{PATIENCE_S} s passed and it never came true that {what}{log.stdout + log.stderr if log else ''}"
            )
        time.sleep(0.2)


def free_port() -> int:
    """A port of this host for a server that starts soon: below those that connections and the engine are given."""
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def kill_processes(containers: Sequence[str]) -> None:
    """SIGKILL to the first process of each container, together, as a crash ends it: the engine then starts it again.

    `docker kill` would count as somebody's wish, and the engine would leave the container alone.
    """
    pids = docker("inspect", "--format", "{{.State.Pid}}", *containers).stdout.split()
    code = f"import os, signal\nfor pid in {pids!r}:\n    os.kill(int(pid), signal.SIGKILL)"
    as_root = ("--rm", "--pid=host", "--user=0:0", "--network=none", "--cap-add=KILL", "--entrypoint=python")
    docker("run", *as_root, images()["base"], "-c", code)


def python(image: str, code: str, *options: str, check: bool = True) -> Finished:
    """Run Python code inside an image, confined as a stage is."""
    return docker("run", *CONFINED, *options, "--entrypoint=python", image, "-c", code, check=check)


class OpenStages:
    """Containers of stages that stay, one for each image and its options: a call in one costs less than a container."""

    def __init__(self) -> None:
        self._containers: dict[tuple[str, ...], str] = {}
        self._starting = threading.Lock()

    def container(self, image: str, *options: str) -> str:
        """The container with these options of `docker run`, which does nothing by itself."""
        with self._starting:
            key = (image, *options)
            if key not in self._containers:
                nothing = ("-c", "import signal; signal.pause()")
                started = docker("run", "--detach", *options, "--entrypoint=python", image, *nothing)
                self._containers[key] = started.stdout.strip()
            return self._containers[key]

    def call(self, image: str, options: Sequence[str], arguments: Sequence[str]) -> Finished:
        """What `docker run` of the image does with these options and arguments; each call has its own environment."""
        environment = [option for option in options if option.startswith("--env=")]
        container = self.container(image, *(option for option in options if option not in environment))
        return docker("exec", *environment, container, *entrypoint(image), *arguments, check=False)

    def close(self) -> None:
        docker("rm", "--force", *self._containers.values(), check=False)


@cache
def entrypoint(image: str) -> list[str]:
    """What a container of the image runs."""
    return list(json.loads(docker("image", "inspect", "--format={{json .Config.Entrypoint}}", image).stdout))


@cache
def folder_of(source: str) -> Path | None:
    """Where data lies on this host, if this process may change it there: root may, on the host of the engine."""
    if os.geteuid() != 0:
        return None
    if not source.startswith("/"):
        # The folder of a volume with options is its files' only while they are mounted.
        where = "--format={{if not .Options}}{{.Mountpoint}}{{end}}"
        source = docker("volume", "inspect", where, source, check=False).stdout.strip() or "/nowhere"
    return Path(source) if Path(source).is_dir() else None


@dataclass(frozen=True)
class Done:
    """How a stage's run ended: exit code, result line (empty after a failure), log, seconds."""

    code: int
    line: dict[str, Any]
    log: str
    seconds: float


@dataclass(frozen=True)
class Data:
    """Published data in a Docker volume or a host folder, `source`, and the stages that work on it."""

    source: str
    options: Sequence[str] = field(default=())

    @property
    def mount(self) -> str:
        return f"--volume={self.source}:/data"

    def stage(
        self,
        stage: str,
        *arguments: str,
        code: int = 0,
        options: Sequence[str] = (),
        network: str = "none",
        among: OpenStages | None = None,
    ) -> Done:
        """Run a stage, in a container of its own or among open ones; fails unless it ends with this exit code."""
        started = time.monotonic()
        confined = [*RESTRICTED, f"--network={network}", self.mount, *self.options, *options]
        image = images()[stage]
        if among:
            done = among.call(image, confined, arguments)
        else:
            done = docker("run", *confined, image, *arguments, check=False)
        assert done.returncode == code, f"{stage} {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        line = json.loads(done.stdout.splitlines()[-1]) if code == 0 else {}
        return Done(done.returncode, line, done.stderr, time.monotonic() - started)

    def python(self, code: str, *options: str, image: str = "base") -> str:
        """Run Python code on the data; returns what it printed."""
        return python(images()[image], code, self.mount, *options).stdout

    def _call(self, name: str, *options: str, **arguments: Any) -> Any:
        """A call of `data_files`: here if this process may, otherwise in a container."""
        if folder := folder_of(self.source):
            return data_files.CALLS[name](folder, **arguments)
        code = Path(data_files.__file__).read_text(encoding="utf-8")
        command = ["--entrypoint=python", images()["base"], "-c", code, name, json.dumps(arguments)]
        return json.loads(docker("run", *CONFINED, self.mount, *options, *command).stdout)

    def read(self, path: str) -> str:
        """A text file."""
        return str(self._call("read", path=path))

    def rows(self, path: str) -> list[dict[str, str]]:
        """The rows of a CSV file."""
        return list(csv.DictReader(io.StringIO(self.read(path))))

    def json(self, path: str) -> Any:
        return json.loads(self.read(path))

    def mark(self, partition: str) -> dict[str, Any]:
        return dict(self.json(f"{partition}/_meta.json"))

    def hash(self, path: str) -> str:
        """The sha256 that the mark names for a file."""
        partition, _, name = path.rpartition("/")
        return str(self.mark(partition)["outputs"][name]["sha256"])

    def write(self, path: str, text: str) -> None:
        self._call("write", path=path, text=text)

    def rewrite(self, path: str, change: Callable[[str], str]) -> None:
        """Replace a file's text by what a function makes of it."""
        self.write(path, change(self.read(path)))

    def edit_mark(self, partition: str, edit: Callable[[dict[str, Any]], Any]) -> None:
        mark = self.mark(partition)
        edit(mark)
        self.write(f"{partition}/_meta.json", json.dumps(mark))

    def remove(self, path: str) -> None:
        """Remove a folder of the data."""
        self._call("remove", path=path)

    def follow(self) -> dict[str, Any]:
        """The lineage of all files: `partitions`, the number of `files`, and `problems`, each a path and its kind."""
        return dict(json.loads(self.python(FOLLOW)))

    def inodes(self) -> dict[str, list[Any]]:
        """Sha256, time of change and inode of every file but locks; marks and leftovers too."""
        return dict(self._call("look"))

    def files(self) -> dict[str, str]:
        """The sha256 of every file, by path."""
        return {path: digest for path, (digest, *_) in self.inodes().items()}

    def copy_to(self, other: "Data", *, without: Sequence[str] = ()) -> None:
        """Copy the published partitions into other, empty data."""
        source, without = folder_of(self.source), list(without)
        if source and folder_of(other.source):
            other._call("copy", source=str(source), without=without)
        else:
            other._call("copy", f"--volume={self.source}:/source:ro", source="/source", without=without)

    # The steps of the pipeline, in the order of a day.

    def generate(self, ds: str, *arguments: str) -> Done:
        return self.stage("generator", f"--ds={ds}", *(arguments or ("--rows=3000",)))

    def prepare(self, ds: str, *arguments: str) -> Done:
        return self.stage("preprocessing", "prepare", f"--ds={ds}", *arguments)

    def split(self, ds: str, *arguments: str) -> Done:
        return self.stage("preprocessing", "split", f"--ds={ds}", *arguments)

    def train(self, ds: str, *arguments: str) -> Done:
        return self.stage("training", f"--ds={ds}", *arguments)

    def validate(self, ds: str, *arguments: str) -> Done:
        return self.stage("prediction", "validate", f"--ds={ds}", *arguments)

    def plot(self, ds: str, *arguments: str) -> Done:
        return self.stage("report", "plot", f"--ds={ds}", *arguments)

    def make_model(self, ds: str, *parameters: str, rows: int = 3000) -> None:
        """A day of data with a validated model and its plots; `parameters` are those of training."""
        self.generate(ds, f"--rows={rows}")
        self.prepare(ds)
        self.split(ds)
        self.train(ds, *parameters)
        self.validate(ds)
        self.plot(ds)

    def compare(self, ds: str, rules: Mapping[str, Any], champion: str = "", version: str = "") -> Done:
        """Compare the day's model with the champion on the same rows; without a champion only floors count."""
        champions = []
        if champion:
            self.stage("preprocessing", "encode-validation", f"--ds={ds}", f"--model={champion}")
            champions = [f"--champion={champion}", f"--champion-version={version}"]
        return self.stage("prediction", "compare", f"--ds={ds}", *champions, f"--rules-json={json.dumps(rules)}")

    def features(self, ds: str, model: str, *arguments: str) -> Done:
        return self.stage("preprocessing", "features", f"--ds={ds}", f"--model={model}", *arguments)

    def predict(self, ds: str, model: str, *arguments: str) -> Done:
        return self.stage("prediction", "predict", f"--ds={ds}", f"--model={model}", *arguments)

    def score(self, ds: str, model: str, *arguments: str) -> Done:
        """Make a model's features of a day and score them."""
        self.features(ds, model)
        return self.predict(ds, model, *arguments)

    def explain(self, ds: str, model: str, *arguments: str) -> Done:
        return self.stage("explanation", f"--ds={ds}", f"--model={model}", *arguments)

    def label(self, ds: str, *arguments: str) -> Done:
        return self.stage("preprocessing", "label", f"--ds={ds}", *arguments)

    def evaluate(self, ds: str, rules: Mapping[str, Any]) -> Done:
        """Label a scored day and measure it."""
        self.label(ds)
        return self.stage("prediction", "evaluate", f"--ds={ds}", f"--rules-json={json.dumps(rules)}")

    def page(self, ds: str, *arguments: str) -> Done:
        return self.stage("report", "page", f"--ds={ds}", *arguments)


@contextmanager
def data_volume(purpose: str) -> Iterator[Data]:
    """A Docker volume of its own, removed at the end."""
    name = f"airflow-ml-test-{purpose}-{uuid4().hex[:12]}"
    docker("volume", "create", name)
    if folder := folder_of(name):
        data_files.give(folder)  # as the engine does with an empty volume when it is mounted
    try:
        yield Data(name)
    finally:
        docker("volume", "rm", "--force", name, check=False)


@contextmanager
def copy_of(data: Data, purpose: str) -> Iterator[Data]:
    """A copy of published data in a volume of its own, for a test to change."""
    with data_volume(purpose) as other:
        data.copy_to(other)
        yield other


def data_folder(path: Path) -> Data:
    """A host folder as data: made where it is missing, writable by the user of the images."""
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    return Data(str(path))
