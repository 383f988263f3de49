"""Images and data for tests on the real engine: run a stage as Airflow confines it, and look at what it published.

The commands of the pipeline are written here once. A test names the step, not the command line.
"""

import atexit
import base64
import csv
import io
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "dags" / "images.lock.json"
# As dags/ml/engines/docker.py starts every stage, but for limits and the network.
RESTRICTED = (
    *("--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
)
CONFINED = (*RESTRICTED, "--network=none")
# A step that works meanwhile may remove its workspace between two looks.
LIST_FILES = """
import contextlib, hashlib, json, pathlib
found = {}
for path in sorted(pathlib.Path('/data').rglob('*')):
    with contextlib.suppress(FileNotFoundError):
        if path.is_file() and path.name != '.lock':
            facts = [hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_ino]
            found[str(path.relative_to('/data'))] = facts
print(json.dumps(found))
"""
Finished = subprocess.CompletedProcess[str]


def image_lock() -> dict[str, dict[str, Any]]:
    """The entries of the image lock, by name. A missing lock is an error: no test is skipped for lack of images."""
    if not LOCK.exists():
        raise pytest.UsageError("dags/images.lock.json is missing: run ./build_images.sh first")
    return dict(json.loads(LOCK.read_text())["images"])


def images() -> dict[str, str]:
    """Image references by name."""
    return {name: str(entry["image"]) for name, entry in image_lock().items()}


def page_login(password: str) -> dict[str, str]:
    """The header with which people log in to MLflow and the reports."""
    return {"Authorization": f"Basic {base64.b64encode(f'ml:{password}'.encode()).decode()}"}


@cache
def registry_login(password: str, key: str = "") -> str:
    """The option of `docker run` that gives the stage registry its login at MLflow, as a file; maybe a key too."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    file = folder / "mlflow.json"
    file.write_text(json.dumps({"login": "registry", "password": password, "key": key or None}))
    file.chmod(0o644)
    return f"--volume={file}:/run/connections/mlflow.json:ro"


def docker(*arguments: str, check: bool = True, timeout: float = 300) -> Finished:
    """Run a docker command; with `check`, a failure shows what it printed."""
    done = subprocess.run(["docker", *arguments], text=True, capture_output=True, timeout=timeout, check=False)
    if check:
        assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done


def python(image: str, code: str, *options: str, check: bool = True) -> Finished:
    """Run Python code inside an image, confined as a stage is."""
    return docker("run", *CONFINED, *options, "--entrypoint=python", image, "-c", code, check=check)


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
        self, stage: str, *arguments: str, code: int = 0, options: Sequence[str] = (), network: str = "none"
    ) -> Done:
        """Run a stage; fails unless it ends with this exit code."""
        started = time.monotonic()
        confined = [*RESTRICTED, f"--network={network}", self.mount, *self.options, *options]
        done = docker("run", *confined, images()[stage], *arguments, check=False)
        assert done.returncode == code, f"{stage} {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        line = json.loads(done.stdout.splitlines()[-1]) if code == 0 else {}
        return Done(done.returncode, line, done.stderr, time.monotonic() - started)

    def python(self, code: str, *options: str, image: str = "base") -> str:
        """Run Python code on the data; returns what it printed."""
        return python(images()[image], code, self.mount, *options).stdout

    def read(self, path: str) -> str:
        """A text file: a host folder's directly, a volume's through a container."""
        if self.source.startswith("/"):
            return (Path(self.source) / path).read_text(encoding="utf-8")
        return self.python(f"print(open('/data/{path}').read(), end='')")

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
        self.python(f"open('/data/{path}', 'w').write({text!r})")

    def rewrite(self, path: str, expression: str) -> None:
        """Replace a file's `text` by what the expression makes of it."""
        self.python(f"text = open('/data/{path}').read(); open('/data/{path}', 'w').write({expression})")

    def edit_mark(self, partition: str, edit: Callable[[dict[str, Any]], Any]) -> None:
        mark = self.mark(partition)
        edit(mark)
        self.write(f"{partition}/_meta.json", json.dumps(mark))

    def remove(self, path: str) -> None:
        """Remove a folder of the data."""
        self.python(f"import shutil; shutil.rmtree('/data/{path}')")

    def inodes(self) -> dict[str, list[Any]]:
        """Sha256, time of change and inode of every file but locks; marks and leftovers too."""
        return dict(json.loads(self.python(LIST_FILES)))

    def files(self) -> dict[str, str]:
        """The sha256 of every file, by path."""
        return {path: digest for path, (digest, *_) in self.inodes().items()}

    def copy_to(self, other: "Data", *, without: Sequence[str] = ()) -> None:
        """Copy the published partitions into other, empty data."""
        # Folder by folder: /data itself may belong to another user, whose times cannot be set.
        code = (
            "import os, shutil\n"
            f"for name in set(os.listdir('/source')) - set({list(without)!r}):\n"
            "    shutil.copytree(f'/source/{name}', f'/data/{name}')"
        )
        other.python(code, f"--volume={self.source}:/source:ro")

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
