"""Partitions: folders that are published, not written, and verified before they are read.

A partition is a folder such as `raw/2026-11-21` below the data folder. Files are written under a temporary
name, fsynced and renamed; `_meta.json` comes last and is the commit mark. It holds, for each output, its
sha256, size and rows, and for each step that wrote some of them the inputs' hashes, parameters, the command
line, image, library versions and Dag run. Several steps may add to one partition (`prepare`, then `split`).
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from time import gmtime, monotonic, strftime
from types import TracebackType
from typing import Any

from stagekit.call import recorded_call
from stagekit.errors import BadInput, NotReady, UsageError
from stagekit.process import at_termination

META = "_meta.json"
META_VERSION = 1

log = logging.getLogger("stagekit")


@dataclass(frozen=True)
class Partition:
    """A verified partition: the files that were asked for are the bytes that were published."""

    name: str
    path: Path
    meta: Mapping[str, Any]
    files: tuple[str, ...]

    def __truediv__(self, file: str) -> Path:
        return self.path / file

    @property
    def hashes(self) -> dict[str, str]:
        """The sha256 of each verified file, by its path below the data folder."""
        return {f"{self.name}/{file}": self.meta["outputs"][file]["sha256"] for file in self.files}

    def rows(self, file: str) -> int | None:
        """The number of data rows of a file as its writer counted them; None where it has no rows."""
        rows = self.meta["outputs"][file].get("rows")
        return None if rows is None else int(rows)


def partition_name(root: Path, text: str) -> str:
    """The name below the data folder for a path such as `/data/models/2026-11-21` or `models/2026-11-21`."""
    path = PurePosixPath(text)
    if path.is_absolute():
        try:
            path = path.relative_to(PurePosixPath(root))
        except ValueError:
            raise UsageError(f"{text} is not below {root}", do=f"give a path below {root}") from None
    if not path.parts or ".." in path.parts:
        raise UsageError(f"{text!r} is no partition", expected="a path such as models/2026-11-21")
    return str(path)


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_meta(path: Path, name: str) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((path / META).read_text(encoding="utf-8"))
        if meta["version"] != META_VERSION:
            raise BadInput(
                f"{name}/{META} has version {meta['version']}",
                expected=f"version {META_VERSION}",
                do="publish the partition again with the images in use",
            )
        if not isinstance(meta["outputs"], dict) or not isinstance(meta["steps"], dict):
            raise TypeError("outputs and steps must be objects")
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{name}/{META} is damaged ({error})",
            expected="the commit mark that the writing stage left",
            do=f"run the stage that writes {name} again",
        ) from None
    if meta["partition"] != name:
        raise BadInput(
            f"{name}/{META} is the mark of another partition, {meta['partition']}",
            expected=f"the mark of {name}",
            do=f"do not copy partitions; run the stage that writes {name} again",
        )
    return meta


def read_partition(root: Path, name: str, files: Iterable[str]) -> Partition:
    """Verify a partition and the `files` of it that will be read.

    Errors: NotReady where the partition, or one of the files in its mark, is not there yet; BadInput where
    the mark is damaged or foreign, or a file is not the bytes that were published.
    """
    path, files = root / name, tuple(files)
    if not (path / META).is_file():
        there = sorted(p.name for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else []
        found = f"it holds {', '.join(there)} but no {META}" if there else "there is no such partition"
        raise NotReady(
            f"partition {name} is not ready under {root}: {found}",
            expected=f"{name}/{META}, the commit mark",
            do=f"wait for, or run, the stage that writes {name}; `preprocessing import` publishes own files in raw/",
        )
    meta = _load_meta(path, name)
    for file in files:
        output = meta["outputs"].get(file)
        if output is None:
            named = ", ".join(sorted(meta["outputs"])) or "no files"
            raise NotReady(
                f"partition {name} has no {file} yet; its mark names {named}",
                expected=file,
                do=f"wait for, or run, the step that writes {file}",
            )
        _verify_file(path / file, f"{name}/{file}", output)
    return Partition(name, path, meta, files)


def _verify_file(path: Path, label: str, output: Mapping[str, Any]) -> None:
    again = f"run the stage that writes {label} again; published files are never edited in place"
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise BadInput(f"{label} is gone, but its mark is there", expected="the published file", do=again) from None
    if size != output["size"]:
        raise BadInput(f"{label} has {size} bytes", expected=f"{output['size']} bytes, as its mark says", do=again)
    digest = file_sha256(path)
    if digest != output["sha256"]:
        raise BadInput(
            f"{label} has sha256 {digest[:12]}…", expected=f"{output['sha256'][:12]}…, as its mark says", do=again
        )


class Publication:
    """Writes the outputs of one step of a partition, and publishes them all or none.

    Use as a context manager: write to `publication.path(file)`, set `publication.rows[file]`; leaving the
    block publishes, an exception publishes nothing and leaves nothing behind. A process that is killed
    leaves a hidden temporary folder that no reader looks at and the next writer removes.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        step: str,
        *,
        inputs: Iterable[Partition] = (),
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        self.name, self.step, self.folder = name, step, root / name
        self.rows: dict[str, int] = {}
        self._record = {
            "inputs": {path: digest for partition in inputs for path, digest in partition.hashes.items()},
            "parameters": dict(parameters or {}),
            "seed": seed,
        }

    def path(self, file: str) -> Path:
        """Where to write an output before it is published."""
        return self._temporary / file

    def __enter__(self) -> "Publication":
        self._started, self._clock = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()), monotonic()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder.parent):
            self.folder.mkdir(exist_ok=True)
            _remove_abandoned(self.folder)
            self._temporary = Path(tempfile.mkdtemp(prefix=f".{self.step}-", suffix=".tmp", dir=self.folder))
            # Held for as long as this process lives: how other writers know that somebody writes here.
            self._claim = os.open(self._temporary, os.O_RDONLY)
            fcntl.flock(self._claim, fcntl.LOCK_EX)
        self._forget = at_termination(self._discard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            self._forget()
            self._discard()
            os.close(self._claim)

    def _discard(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        with _locked(self.folder.parent), contextlib.suppress(OSError):
            self.folder.rmdir()  # only an empty folder goes

    def _publish(self) -> None:
        outputs = {}
        for path in sorted(self._temporary.iterdir()):
            _fsync(path)
            output: dict[str, Any] = {"sha256": file_sha256(path), "size": path.stat().st_size, "step": self.step}
            if path.name in self.rows:
                output["rows"] = self.rows[path.name]
            outputs[path.name] = output
        with _locked(self.folder) as folder:  # two steps may finish at once
            kept = self._still_valid(outputs)
            if any(kept["outputs"].get(file) != output for file, output in outputs.items()):
                self._replace_files(kept, outputs, folder)
            kept["outputs"].update(outputs)
            kept["steps"][self.step] = self._step_record()
            self._write_meta(kept, folder)

    def _still_valid(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The mark as it is now, less what this step wrote before and what was made from that."""
        empty: dict[str, Any] = {"version": META_VERSION, "partition": self.name, "outputs": {}, "steps": {}}
        if not (self.folder / META).is_file():
            return empty
        try:
            meta = _load_meta(self.folder, self.name)
        except BadInput as error:
            log.warning("%s; it is written anew", error)
            return empty
        changed = {
            f"{self.name}/{file}"
            for file, old in meta["outputs"].items()
            if old["step"] == self.step and outputs.get(file, {}).get("sha256") != old["sha256"]
        }
        stale = {self.step}
        while True:
            files = changed | {
                f"{self.name}/{f}" for f, o in meta["outputs"].items() if o["step"] in stale - {self.step}
            }
            found = {step for step, record in meta["steps"].items() if files & record["inputs"].keys()} - stale
            if not found:
                break
            stale |= found
        meta["outputs"] = {
            file: output
            for file, output in meta["outputs"].items()
            if output["step"] not in stale or outputs.get(file) == output
        }
        meta["steps"] = {step: record for step, record in meta["steps"].items() if step not in stale}
        return meta

    def _replace_files(self, kept: Mapping[str, Any], outputs: Mapping[str, Any], folder: int) -> None:
        """Take the mark off what changes, so that no reader meets new bytes under an old mark; then rename."""
        if (self.folder / META).exists():
            unmarked = {f: o for f, o in kept["outputs"].items() if outputs.get(f, o) == o}
            self._write_meta({**kept, "outputs": unmarked}, folder)
        for file, output in outputs.items():
            if kept["outputs"].get(file) != output:
                self.path(file).replace(self.folder / file)
        os.fsync(folder)

    def _write_meta(self, meta: Mapping[str, Any], folder: int) -> None:
        temporary = self._temporary / META
        temporary.write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        _fsync(temporary)
        temporary.replace(self.folder / META)
        os.fsync(folder)

    def _step_record(self) -> dict[str, Any]:
        return {
            **self._record,
            "call": recorded_call(),
            # The image knows its own name. Its id and the revision only its starter knows: by hand they are null.
            "image": {
                "name": os.environ.get("ML_IMAGE") or None,
                "id": os.environ.get("ML_IMAGE_ID") or None,
                "revision": os.environ.get("ML_REVISION") or None,
            },
            "versions": {d.name: d.version for d in sorted(metadata.distributions(), key=lambda d: d.name.lower())},
            "run": {key: os.environ.get(f"ML_{key.upper()}") for key in ("dag_id", "task_id", "run_id", "try_number")},
            "started": self._started,
            "seconds": round(monotonic() - self._clock, 3),
        }


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold a folder's lock, across processes and containers; yields its descriptor."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary folders of writers that were killed: nobody holds their lock any more."""
    for path in folder.glob(".*.tmp"):
        try:
            claim = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(claim)
