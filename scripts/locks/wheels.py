"""Finds the files of a lock that the images' platforms install, and what their metadata says of the licence."""

import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_ml.common import AirflowMlError as Failure
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

MACHINES = ("x86_64", "aarch64")
# Debian 13's C library; wheels for any older one run on it.
NEWEST_GLIBC = 41
THREADS = 8
TIMEOUT_S = 60


@dataclass(frozen=True)
class File:
    """A file that an index offers."""

    name: str
    url: str
    sha256: str


def files_of(package: dict[str, Any]) -> list[File]:
    """The files that a pylock.toml tells of a package; wheels first."""
    told = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    urls = [item.get("url") or f"file://{item['path']}" for item in told]
    return [
        File(unquote(urlsplit(url).path).rpartition("/")[2], url, item["hashes"]["sha256"])
        for url, item in zip(urls, told, strict=True)
    ]


def installable(files: Sequence[File], python: str) -> list[File]:
    """The wheel for each machine; where there is none, the first file, so that the release at least is named."""
    best = [min(ranked)[1] for machine in MACHINES if (ranked := _rank(files, python, machine))]
    names = {files[index].name: files[index] for index in best or range(min(1, len(files)))}
    return [names[name] for name in sorted(names)]


def _rank(files: Sequence[File], python: str, machine: str) -> list[tuple[int, int]]:
    """Those that can be installed: how good they are (0 is best), and which they are."""
    order, found = _tags(python, machine), []
    for index, file in enumerate(files):
        try:
            tags = parse_wheel_filename(file.name)[3]
        except InvalidWheelFilename:
            continue
        if ranks := [order[tag] for tag in tags if tag in order]:
            found.append((min(ranks), index))
    return found


@cache
def _tags(python: str, machine: str) -> dict[Tag, int]:
    major, minor = map(int, python.split("."))
    platforms = [
        *(f"manylinux_2_{glibc}_{machine}" for glibc in range(NEWEST_GLIBC, 4, -1)),
        *(f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")),
    ]
    own = cpython_tags((major, minor), platforms=platforms)
    order = [*own, *compatible_tags((major, minor), f"cp{major}{minor}", platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(order)))}


def holds(marker: str, python: str) -> bool:
    """Whether an entry with this marker is installed in an image."""
    environment = {
        "implementation_name": "cpython", "implementation_version": f"{python}.0", "os_name": "posix",
        "platform_machine": MACHINES[0], "platform_python_implementation": "CPython", "platform_system": "Linux",
        "python_full_version": f"{python}.0", "python_version": python, "sys_platform": "linux",
    }  # fmt: skip
    return not marker or Marker(marker).evaluate(environment)


def metadata_of(files: Sequence[File]) -> list[Message | None]:
    """The metadata of each wheel, read from the index; None for what is no wheel."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_metadata, files))


def _metadata(file: File) -> Message | None:
    if not file.name.endswith(".whl"):
        return None
    try:
        with zipfile.ZipFile(RemoteFile(file.url)) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
            return message_from_string(archive.read(name).decode("utf-8", "replace"))
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise Failure(f"{file.name} could not be read from the index: {error}; do: try again") from error


class RemoteFile(io.RawIOBase):
    """A file on a server, of which only the parts that are read are fetched."""

    def __init__(self, url: str) -> None:
        self._url, self._at, self._whole = url, 0, b""
        self._ranges = url.startswith("http")
        # A wheel's directory and its metadata are at its end: mostly one request is enough.
        self._tail = self._fetch("bytes=-65536")
        self._size = self._size_told

    def _fetch(self, span: str) -> bytes:
        request = urllib.request.Request(self._url, headers={"Range": span})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                content: bytes = answer.read()
                told = answer.headers.get("Content-Range")
        except urllib.error.HTTPError as error:
            if error.code != 416:  # shorter than what was asked for
                raise
            with urllib.request.urlopen(self._url, timeout=TIMEOUT_S) as answer:
                content, told = answer.read(), None
        if not told:  # it does not know ranges, and sent all
            self._whole = content
        self._size_told = int(told.rpartition("/")[2]) if told else len(content)
        return content

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        start, self._at = self._at, max(end, self._at)
        if start >= end:
            return b""
        if self._whole:
            return self._whole[start:end]
        tail = self._size - len(self._tail)
        if start >= tail:
            return self._tail[start - tail : end - tail]
        return self._fetch(f"bytes={start}-{end - 1}")
