"""The versions of the registered model: found in MLflow, and their files fetched and verified."""

import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition, UsageError
from stagekit.mark import file_sha256

from bundle import TAG, Bundle, model_hash, parse_bundle
from server import Server, explained, is_missing

# The folder of a run's artifacts that holds the bundle.
FOLDER = "model"
# Where runs keep their artifacts: at the server, and nowhere else that a run may name.
SERVED = "mlflow-artifacts:/"
CHOOSE = "use another version (`registry list`)"
MOST_NAMED = 20

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Version:
    """A model version: its tags record which model it is and the hashes of its files; its run holds the files."""

    number: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    description: str = ""

    def tag(self, name: str) -> str:
        """A tag of ours; empty where the version has none."""
        return self.tags.get(TAG + name, "")

    def bundle(self) -> Bundle:
        """What was registered. Errors: BadInput where a tag is not as `register` writes it."""
        try:
            return parse_bundle(self.tags)
        except ValueError as error:
            raise BadInput(
                f"{self.label} has no record of its model and files: {error}",
                expected="a version that `registry register` made", do=CHOOSE,
            ) from None  # fmt: skip

    @property
    def label(self) -> str:
        return f"version {self.number} ({self.tag('model') or 'registered by something else'})"


def as_version(found: Any) -> Version:
    """A version, from what MLflow's client returns."""
    tags = {str(key): str(value) for key, value in found.tags.items()}
    aliases = tuple(map(str, found.aliases or ()))
    return Version(str(int(found.version)), str(found.run_id or ""), tags, aliases, str(found.description or ""))


def all_versions(server: Server) -> list[Version]:
    """Every version, the newest first; none where nothing was registered yet."""
    return _search(server, f"name = '{server.name}'")


def versions_of(server: Server, model_sha256: str) -> list[Version]:
    """The versions of a model, identified by its trees; the newest first."""
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


def same_model(versions: Iterable[Version], model: Partition) -> Version | None:
    """The newest version that holds this very model; a version that cannot be read is none of them."""
    for version in versions:
        try:
            if version.bundle().is_of(model):
                return version
        except BadInput as error:
            log.warning("%s", error)
    return None


def registered_version(server: Server, model: Partition) -> Version | None:
    """The version that a model is registered as."""
    return same_model(versions_of(server, model_hash(model)), model)


def find_version(server: Server, number: str) -> Version | None:
    """One version; None where there is none of that number."""
    from mlflow.exceptions import MlflowException

    with explained(server, f"reading version {number}"):
        try:
            return as_version(server.client.get_model_version(server.name, number))
        except MlflowException as error:
            if not is_missing(error):
                raise
    return None


def get_version(server: Server, number: str) -> Version:
    """The version that a person has named. Errors: UsageError where there is none of that number; it lists others."""
    if version := find_version(server, number):
        return version
    numbers = ", ".join(version.number for version in all_versions(server)[:MOST_NAMED]) or "none"
    raise UsageError(f"{server.name} has no version {number}", expected=f"one of its versions: {numbers}")


def get_champion(server: Server, number: str) -> Version:
    """The version that an event has named. Errors: BadInput where it does not exist any more."""
    if version := find_version(server, number):
        return version
    raise BadInput(
        f"the history of {server.name} names version {number}, which does not exist",
        expected="a version that `registry register` made", do="promote another version (`registry list`)",
    )  # fmt: skip


def require_complete(server: Server, version: Version) -> None:
    """Fetch and hash each file of a version, one at a time.

    Errors: BadInput where one is gone, or is not what was registered.
    """
    for file in sorted(version.bundle().files):
        with tempfile.TemporaryDirectory() as folder:
            fetch(server, version, file, Path(folder))


def fetch(server: Server, version: Version, file: str, folder: Path) -> Path:
    """Download one file of a version into a folder. Errors: BadInput where it is not what was registered."""
    from mlflow.exceptions import MlflowException

    expected = version.bundle().files[file]
    with explained(server, f"fetching {file} of {version.label}"):
        try:
            artifacts = str(server.client.get_run(version.run_id).info.artifact_uri)
            if not artifacts.startswith(SERVED):
                raise _incomplete(version, f"its run keeps its artifacts at {artifacts[:100]!r}, not at the server")
            path = Path(server.client.download_artifacts(version.run_id, f"{FOLDER}/{file}", str(folder)))
        except MlflowException as error:
            if not _is_gone(error):
                raise
            raise _incomplete(version, f"{file} is gone from the server's artifacts") from None
    if not path.is_file():
        raise _incomplete(version, f"{file} is no file among the server's artifacts")
    found = file_sha256(path)
    if found != expected:
        raise _incomplete(version, f"{file} has sha256 {found[:12]}…, not {expected[:12]}…")
    return path


def _is_gone(error: Any) -> bool:
    """Whether the run or the file does not exist; what the artifact proxy answers has no code, but a status."""
    return is_missing(error) or "404" in str(error)


def _incomplete(version: Version, found: str) -> BadInput:
    return BadInput(
        f"{version.label} cannot be loaded: {found}", expected="the files that were registered",
        do=f"{CHOOSE}, or register the model again: `registry register` completes its version",
    )  # fmt: skip
