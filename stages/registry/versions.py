"""The versions of the registered model: what was registered, found again, and its files verified."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, StageError, UsageError

from bundle import MODEL_FILE, file_sha256
from server import Server, explained, is_missing

TAG = "airflow_ml."
BY_HAND = "by hand"
# The folder of a run's artifacts that holds the bundle.
FOLDER = "model"
# What registering adds to a model's own files.
MARK_FILE, MLMODEL_FILE = "_meta.json", "MLmodel"
ADDED = {
    *(MARK_FILE, MLMODEL_FILE, "requirements.txt", "python_env.yaml", "conda.yaml"),
    *("input_example.json", "serving_input_example.json"),
}


@dataclass(frozen=True)
class Version:
    """A model version: its tags say which model it is, which run holds its files, and what these hash to."""

    number: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()

    def tag(self, name: str) -> str:
        """A tag of ours; empty where the version has none."""
        return self.tags.get(TAG + name, "")

    @property
    def files(self) -> dict[str, str]:
        """The sha256 of each file of the bundle, as registered; empty where a version was registered by others."""
        try:
            return dict(json.loads(self.tag("files") or "{}"))
        except ValueError:
            return {}

    @property
    def model_files(self) -> dict[str, str]:
        """The same of the model's own files: those that the partition has."""
        return {file: digest for file, digest in self.files.items() if file not in ADDED}

    @property
    def label(self) -> str:
        return f"version {self.number} ({self.tag('model') or 'registered by something else'})"


def as_version(found: Any) -> Version:
    """What MLflow tells of a version."""
    return Version(str(found.version), found.run_id or "", dict(found.tags), tuple(found.aliases or ()))


def all_versions(server: Server) -> list[Version]:
    """Every version, the newest first; none where nothing was registered yet."""
    return _search(server, f"name = '{server.name}'")


def versions_of(server: Server, model_sha256: str) -> list[Version]:
    """The versions of a model, known by its trees; the newest first."""
    return _search(server, f"name = '{server.name}' AND tags.`{TAG}model_sha256` = '{model_sha256}'")


def _search(server: Server, condition: str) -> list[Version]:
    found: list[Version] = []
    token: str | None = None
    with explained(server, "listing the model's versions"):
        while True:
            page = server.client.search_model_versions(condition, max_results=1000, page_token=token)
            found += [as_version(version) for version in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda version: -int(version.number))


def get_version(server: Server, number: str) -> Version:
    """One version. Errors: UsageError where there is none of that number; it lists those that are there."""
    from mlflow.exceptions import MlflowException

    with explained(server, f"reading version {number}"):
        try:
            return as_version(server.client.get_model_version(server.name, number))
        except MlflowException as error:
            if not is_missing(error):
                raise
    there = ", ".join(version.number for version in all_versions(server)[:20]) or "none"
    raise UsageError(f"{server.name} has no version {number}", expected=f"one of its versions: {there}")


def own_version(versions: Iterable[Version], dag_run: str) -> Version | None:
    """Among the versions of a model the one that this Dag run registered."""
    return next((version for version in versions if version.tag("dag_run_id") == dag_run), None)


def require_complete(server: Server, version: Version) -> None:
    """Fetch and hash each file of a version, one at a time.

    Errors: BadInput where one is not there any more, or is not what was registered.
    """
    if not {MODEL_FILE, MLMODEL_FILE, MARK_FILE} <= version.files.keys():
        raise BadInput(
            f"{version.label} has no record of its files", expected="a version that `registry register` made",
            do="register the model with this stage, or promote another version",
        )  # fmt: skip
    for file in sorted(version.files):
        with tempfile.TemporaryDirectory() as folder:
            fetch(server, version, file, Path(folder))


def fetch(server: Server, version: Version, file: str, folder: Path) -> Path:
    """Download one file of a version into a folder. Errors: BadInput where it is not what was registered."""
    from mlflow.exceptions import MlflowException

    expected = version.files[file]
    with explained(server, f"fetching {file} of {version.label}"):
        try:
            path = Path(server.client.download_artifacts(version.run_id, f"{FOLDER}/{file}", str(folder)))
        except MlflowException as error:
            if not _is_gone(error):
                raise
            raise _incomplete(version, f"{file} is gone from the server's artifacts") from None
    found = file_sha256(path)
    if found != expected:
        raise _incomplete(version, f"{file} has sha256 {found[:12]}…, not {expected[:12]}…")
    return path


def _is_gone(error: Any) -> bool:
    """Whether the run or the file is not there; what the artifact proxy answers has no code, but a status."""
    return is_missing(error) or "404" in str(error)


def _incomplete(version: Version, found: str) -> StageError:
    return BadInput(
        f"{version.label} cannot be loaded: {found}",
        expected="the files that were registered",
        do="use another version, or register the model again: `registry register` completes a version of its own run",
    )
