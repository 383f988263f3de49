"""Partitions: folders that are published, not written, and verified before they are read.

A partition is a folder such as `raw/2026-11-21` below the data folder. Files are written under a temporary
name, fsynced and renamed; `_meta.json` comes last and is the commit mark. It holds, for each output, its
sha256, size and rows, and for each step that wrote some of them the inputs' hashes, parameters, the command
line, image, library versions, Dag run and result. Several steps may add to one partition (`prepare`, then `split`).
"""

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stagekit.errors import BadInput, NotReady, UsageError
from stagekit.locks import unchanging
from stagekit.mark import META, damage, load_mark
from stagekit.shapes import ShapeError, read_object


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

    def step(self, file: str) -> Mapping[str, Any]:
        """The record of the step that wrote a file; an empty one where the mark has none."""
        output = self.meta["outputs"].get(file, {})
        record: Mapping[str, Any] = self.meta["steps"].get(output.get("step"), {})
        return record

    def inputs(self, file: str) -> Mapping[str, str]:
        """The sha256 of each file that was read to write this one, by its path below the data folder."""
        inputs: Mapping[str, str] = self.step(file).get("inputs", {})
        return inputs

    def json(self, file: str) -> dict[str, Any]:
        """The JSON object in a file. Errors: BadInput where the file is damaged or holds something else."""
        try:
            return read_object(self / file)
        except ShapeError as error:
            raise BadInput(
                f"{self.name}/{file}: {error.found}",
                expected=error.expected,
                do=f"run the step that writes {self.name}/{file} again",
            ) from None


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


def read_partition(root: Path, name: str, files: Iterable[str]) -> Partition:
    """Verify a partition and the `files` of it that will be read.

    A look that fails may have met a step that publishes, so it is repeated while nobody does.
    Errors: NotReady where the partition, or one of the files in its mark, is not there yet; BadInput where
    the mark is damaged or foreign, or a file is not the bytes that were published.
    """
    files = tuple(files)
    try:
        return _verified(root, name, files)
    except (NotReady, BadInput):
        if not (root / name / META).is_file():
            raise
    except OSError as error:
        # What a shared file system says where a file was replaced between its name and its content.
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
    with unchanging(root / name):
        return _verified(root, name, files)


def _verified(root: Path, name: str, files: tuple[str, ...]) -> Partition:
    path = root / name
    if not (path / META).is_file():
        there = sorted(p.name for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else []
        found = f"it holds {', '.join(there)} but no {META}" if there else "there is no such partition"
        raise NotReady(
            f"partition {name} is not ready under {root}: {found}",
            expected=f"{name}/{META}, the commit mark",
            do=f"wait for, or run, the stage that writes {name}; `preprocessing import` publishes own files in raw/",
        )
    meta = load_mark(path, name)
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
        found = damage(path, output)
    except FileNotFoundError:
        if removed := output.get("removed"):
            what = f"{label} was removed on {removed} to save space"
            raise NotReady(what, expected="the published file", do=f"run the stage that writes {label} again") from None
        raise BadInput(f"{label} is gone, but its mark is there", expected="the published file", do=again) from None
    if found:
        raise BadInput(f"{label} {found[0]}", expected=f"{found[1]}, as its mark says", do=again)
