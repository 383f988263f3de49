"""The days below the reports folder, read so that nothing but a published page can leave it.

A folder or file is opened from its parent, never through a symbolic link, and a page only goes out if it is the bytes
that its partition's mark tells.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

MARK, PAGE, EVALUATION = "_meta.json", "index.html", "evaluation.json"
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A page is below half a megabyte; what is larger than this is none, and the service has little memory.
MOST_BYTES = 4 << 20
MOST_DAYS = 1000


class NotThere(Exception):
    """There is no such page."""


class Unpublished(Exception):
    """What lies there is not what the mark tells: it is being published, or somebody edited it."""


@dataclass(frozen=True)
class Page:
    """A page as it was published."""

    content: bytes
    sha256: str


@dataclass(frozen=True)
class Summary:
    """A day in a line: rows scored and model as far as its evaluation tells, thresholds crossed; None if unreadable."""

    ds: str
    rows: int | None
    model: str
    version: str
    breaches: int | None


class Days:
    """The reports folder. A summary is kept until its mark is another file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[tuple[int, int], Summary]] = {}

    def page(self, ds: str) -> Page:
        """The page of a day. Errors: NotThere, Unpublished."""
        with self._folder(ds) as folder:
            told = _output(_mark(folder, ds), PAGE)
            content = _read(folder, PAGE)
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != told:
            raise Unpublished(f"reports/{ds}/{PAGE} is not the bytes that its mark tells")
        return Page(content, sha256)

    def summaries(self) -> list[Summary]:
        """The days that have a page, the newest first, a thousand at most."""
        try:
            names = sorted((path.name for path in self._root.iterdir() if is_day(path.name)), reverse=True)
        except OSError:
            return []
        found = (self._summary(name) for name in names)
        summaries = [one for one, _ in zip(filter(None, found), range(MOST_DAYS), strict=False)]
        self._known = {ds: known for ds, known in self._known.items() if ds in names}
        return summaries

    def _summary(self, ds: str) -> Summary | None:
        try:
            with self._folder(ds) as folder:
                if not stat.S_ISREG(os.stat(PAGE, dir_fd=folder, follow_symlinks=False).st_mode):
                    return None
                status = os.stat(MARK, dir_fd=folder, follow_symlinks=False)
                version = (status.st_ino, status.st_mtime_ns)
                if ds not in self._known or self._known[ds][0] != version:
                    mark = _mark(folder, ds)
                    _output(mark, PAGE)
                    self._known[ds] = version, _summarize(ds, _evaluation(folder, mark))
                return self._known[ds][1]
        except (NotThere, OSError):
            return None

    @contextmanager
    def _folder(self, ds: str) -> Iterator[int]:
        """The folder of a day, open. Errors: NotThere."""
        if not is_day(ds):
            raise NotThere(ds)
        try:
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            raise NotThere(str(self._root)) from None
        try:
            folder = os.open(ds, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
        except OSError:
            raise NotThere(ds) from None
        finally:
            os.close(root)
        try:
            yield folder
        finally:
            os.close(folder)


def is_day(text: str) -> bool:
    """Whether a text is a date of the form YYYY-MM-DD."""
    try:
        return bool(DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _read(folder: int, name: str) -> bytes:
    """A regular file of a folder. Errors: NotThere."""
    try:
        # Not blocking: what lies there may be a pipe that nobody writes to.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        raise NotThere(name) from None
    with os.fdopen(file, "rb") as stream:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise NotThere(name)
        return stream.read(MOST_BYTES)


def _mark(folder: int, ds: str) -> Mapping[str, Any]:
    """The mark of a day's reports. Errors: NotThere where it is missing, damaged or another partition's."""
    try:
        mark: Any = json.loads(_read(folder, MARK))
        if mark["partition"] == f"reports/{ds}" and isinstance(mark["outputs"], dict):
            return dict(mark)
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise NotThere(f"{ds}/{MARK}")


def _output(mark: Mapping[str, Any], name: str) -> str:
    """The sha256 that a mark tells of a file. Errors: NotThere."""
    try:
        return str(mark["outputs"][name]["sha256"])
    except (LookupError, TypeError):
        raise NotThere(name) from None


def _evaluation(folder: int, mark: Mapping[str, Any]) -> Any:
    """The content of the evaluation that the page was made from; None where it cannot be read."""
    try:
        content = _read(folder, EVALUATION)
        if hashlib.sha256(content).hexdigest() == _output(mark, EVALUATION):
            return json.loads(content)
    except (NotThere, ValueError, RecursionError):
        pass
    return None


def _summarize(ds: str, evaluation: Any) -> Summary:
    try:
        model = evaluation["model"]
        return Summary(
            ds=ds,
            rows=int(evaluation["rows"]),
            model=str(model.get("name") or ""),
            version=str(model.get("version") or ""),
            breaches=len(evaluation["breaches"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return Summary(ds, None, "", "", None)
