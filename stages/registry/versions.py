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
from rest import MISSING, Refused, artifact_folder
from server import Server, explained
from signature import is_signed, is_signed_in_old_form, sign

# The folder of a run's artifacts that holds the bundle.
FOLDER = "model"
# Tags of a version in shadow: what `--promote` was, and its signature.
SHADOW_PROMOTE, SHADOW_SIGNATURE = "shadow_promote", "shadow_signature"
CHOOSE = "use another version (`registry list`)"
MOST_NAMED = 20
GONE = 404

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Version:
    """A model version: its tags record which model it is and the hashes of its files; its run holds the files."""

    number: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    description: str = ""
    # When it was registered, or its model once more: milliseconds, 0 if MLflow does not say so.
    changed: int = 0

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
    """A version, from what MLflow answers."""
    tags = {str(tag["key"]): str(tag["value"]) for tag in found.get("tags", [])}
    aliases = tuple(map(str, found.get("aliases", [])))
    changed = int(found.get("last_updated_timestamp") or 0)
    number, run_id = str(int(found["version"])), found.get("run_id", "")
    return Version(number, run_id, tags, aliases, found.get("description", ""), changed)


def all_versions(server: Server) -> list[Version]:
    """Every version, the newest first; none where nothing was registered yet."""
    return _search(server, f"name = '{server.name}'")


def versions_of(server: Server, model_sha256: str) -> list[Version]:
    """The versions of a model, identified by its trees; the newest first."""
    return _search(server, f"name = '{server.name}' AND tags.`{TAG}model_sha256` = '{model_sha256}'")


def _search(server: Server, condition: str) -> list[Version]:
    with explained(server, "listing the model's versions"):
        pages = server.rest.pages("model-versions/search", "model_versions", filter=condition, max_results=1000)
        return sorted(map(as_version, pages), key=lambda version: -int(version.number))


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
    with explained(server, f"reading version {number}"):
        try:
            return as_version(server.rest.get("model-versions/get", name=server.name, version=number)["model_version"])
        except Refused as error:
            if error.code != MISSING:
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


def bundle_signature(server: Server, number: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tag with the signature of what a version's tags record of its bundle; none without a key."""
    return {f"{TAG}signature": sign(server.key, *_signed_texts(server, number, tags))} if server.key else {}


def _signed_texts(server: Server, number: str, tags: Mapping[str, str]) -> list[str]:
    """With the number, which events name: so the tags of another version have no valid signature on this one."""
    return ["bundle", server.name, number, *_recorded(tags)]


def _recorded(tags: Mapping[str, str]) -> list[str]:
    return [tags.get(TAG + name, "") for name in ("model", "files")]


def is_bundle_signed(server: Server, version: Version) -> bool:
    """Whether the record of a version's bundle is signed with the server's key, or nothing asks for a signature.

    Releases of before signed without the number. That counts for a key of theirs, until it is replaced.
    """
    signature = version.tag("signature")
    return is_signed(
        server.key, signature, *_signed_texts(server, version.number, version.tags)
    ) or is_signed_in_old_form(server.key, signature, "bundle", server.name, *_recorded(version.tags))


def promote_tags(server: Server, number: str, promote: str) -> dict[str, str]:
    """The tag of a version in shadow that says who promotes it, and its signature; without a key, only the tag."""
    signature = {SHADOW_SIGNATURE: sign(server.key, "shadow", server.name, number, promote)} if server.key else {}
    return {TAG + name: value for name, value in {SHADOW_PROMOTE: promote, **signature}.items()}


def signed_promote(server: Server, version: Version) -> str:
    """What `--promote` was when the version went into shadow; empty if that is not signed with the server's key."""
    promote = version.tag(SHADOW_PROMOTE)
    texts = ("shadow", server.name, version.number, promote)
    if not is_signed(server.key, version.tag(SHADOW_SIGNATURE), *texts):
        log.warning("%s: nothing signed says who promotes it after its shadow days; a person does", version.label)
        return ""
    return promote


def require_signed(server: Server, version: Version) -> None:
    """Errors: BadInput for a version whose bundle is not signed with the key of this installation."""
    if not is_bundle_signed(server, version):
        raise BadInput(
            f"{version.label} is not signed with the key of this installation, or its record is not the one that was",
            expected="a version that the stage registry made",
            do=f"{CHOOSE}; or, if you know that all versions are genuine, `./airflow-ml models --sign`",
        )


def require_complete(server: Server, version: Version) -> None:
    """Fetch and hash each file of a version, one at a time.

    Errors: BadInput where one is gone, or is not what was registered, and for a version without its signature.
    """
    require_signed(server, version)
    place = artifacts_of(server, version)
    for file in sorted(version.bundle().files):
        with tempfile.TemporaryDirectory() as folder:
            fetch(server, version, place, file, Path(folder))


def tag_version(server: Server, number: str, key: str, value: str) -> None:
    """Set a tag of a version. To be called where refusals are explained."""
    server.rest.post("model-versions/set-tag", name=server.name, version=number, key=key, value=value)


def artifacts_of(server: Server, version: Version) -> str:
    """Where the server keeps the files of a version. Errors: BadInput where its run keeps them elsewhere."""
    with explained(server, f"reading the run of {version.label}"):
        run = server.rest.run(version.run_id)
        try:
            return f"{artifact_folder(run)}/{FOLDER}"
        except ValueError as error:
            raise _incomplete(version, str(error)) from None


def fetch(server: Server, version: Version, place: str, file: str, folder: Path) -> Path:
    """Download one file of a version, whose files are at `place`, into a folder.

    Errors: BadInput where it is not what was registered.
    """
    expected, path = version.bundle().files[file], folder / file
    with explained(server, f"fetching {file} of {version.label}"):
        try:
            server.rest.download(f"{place}/{file}", path)
        except Refused as error:
            if error.status != GONE:
                raise
            raise _incomplete(version, f"{file} is gone from the server's artifacts") from None
        except ValueError as error:
            raise _incomplete(version, f"{file} {error}") from None
    found = file_sha256(path)
    if found != expected:
        raise _incomplete(version, f"{file} has sha256 {found[:12]}…, not {expected[:12]}…")
    return path


def _incomplete(version: Version, found: str) -> BadInput:
    return BadInput(
        f"{version.label} cannot be loaded: {found}", expected="the files that were registered",
        do=f"{CHOOSE}, or register the model again: `registry register` completes its version",
    )  # fmt: skip
