"""Reads the days below the reports folder, so that nothing but a published page can leave it.

A folder or file is opened from its parent, never through a symbolic link. A page is served only if its sha256 is
the one in its partition's mark.
"""

import hashlib
import json
import math
import os
import re
import stat
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from stagekit.contract import CALENDAR

MARK, PAGE, EVALUATION, BREACHES = "_meta.json", "index.html", "evaluation.json", "breaches.json"
BACKTEST = "backtest.html"
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A page has less than half a megabyte. A larger file is no page, and the service has little memory.
MOST_BYTES = 4 << 20
MOST_DAYS = 1000
MOST_BACKTESTS = 5
# Characters of a text of a mark.
MOST_TEXT = 200
# Of more features, those of each day that moved least are not kept.
MOST_FEATURES = 100


class NotFound(Exception):
    """There is no such page."""


class NotPublished(Exception):
    """The file differs from its mark: it is being published, or somebody edited it."""


class Drift(NamedTuple):
    """A population stability index (PSI), and what of it chance does not explain as a share of the rule's limit.

    The share is None if there is no limit.
    """

    psi: float
    of_limit: float | None


@dataclass(frozen=True)
class Summary:
    """A day in a line. All but `ds` comes from its evaluation, and is None or "" if that is missing.

    `metric` is the one that the rules judge by: its name, its value of the day (None if it is not measured, or the
    model was trained on this day), what the scores let expect of a day without that value (None if that is unknown),
    the interval of either, and the value at training. `drifts` are by the name of
    the feature, without those of the calendar, which always move. `crossed` names the rules that the day breaks.
    `state` is the state of the day in the words of its page, as the mark has it; "" in marks of before, of which
    `is_measured` says whether there is any metric and any drift.
    `shadow` is what the mark says of a version in shadow: which, on which of its days; its figure and the champion's.
    """

    ds: str
    rows: int | None = None
    rejected: int | None = None
    model: str = ""
    version: str = ""
    metric: str = ""
    live: float | None = None
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    trained: float | None = None
    score_drift: Drift | None = None
    drifts: Mapping[str, Drift] = field(default_factory=dict)
    breaches: int | None = None
    crossed: frozenset[str] = frozenset()
    is_measured: bool = True
    state: str = ""
    shadow: tuple[str, str] | None = None


class Days:
    """The reports folder. A summary is kept until its mark is another file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[tuple[int, int], Summary]] = {}
        self._lock = threading.Lock()

    def page(self, ds: str, name: str = PAGE) -> bytes:
        """The page of a day, or its BACKTEST. Errors: NotFound, NotPublished."""
        with self._folder(ds) as folder:
            expected = _output(_mark(folder, ds), name)
            content = _read(folder, name)
        if hashlib.sha256(content).hexdigest() != expected:
            raise NotPublished(f"reports/{ds}/{name} differs from its mark")
        return content

    def backtests(self) -> list[str]:
        """The days whose mark names the page of a backtest, the newest first, at most MOST_BACKTESTS."""
        try:
            names = [path.parent.name for path in self._root.glob(f"*/{BACKTEST}") if is_day(path.parent.name)]
        except OSError:
            return []
        return list(islice(filter(self._has_backtest, sorted(names, reverse=True)), MOST_BACKTESTS))

    def _has_backtest(self, ds: str) -> bool:
        try:
            with self._folder(ds) as folder:
                return bool(_output(_mark(folder, ds), BACKTEST))
        except NotFound:
            return False

    def summaries(self) -> list[Summary]:
        """The days that have a page, the newest first, at most MOST_DAYS."""
        try:
            names = sorted((path.name for path in self._root.iterdir() if is_day(path.name)), reverse=True)
        except OSError:
            return []
        with self._lock:
            summaries = list(islice(filter(None, map(self._summary, names)), MOST_DAYS))
            self._known = {ds: known for ds, known in self._known.items() if ds in names}
        return summaries

    def neighbours(self, ds: str) -> tuple[str, str]:
        """The nearest days before and after a day that have a page; '' if there is none."""
        days = [summary.ds for summary in self.summaries()]
        return max((day for day in days if day < ds), default=""), min((day for day in days if day > ds), default="")

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
                    documents = (_document(folder, mark, name) for name in (EVALUATION, BREACHES))
                    self._known[ds] = (version, replace(_summarize(ds, *documents), **_said(mark)))
                return self._known[ds][1]
        except (NotFound, OSError):
            return None

    @contextmanager
    def _folder(self, ds: str) -> Iterator[int]:
        """The folder of a day, open. Errors: NotFound."""
        if not is_day(ds):
            raise NotFound(ds)
        try:
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            raise NotFound(str(self._root)) from None
        try:
            folder = os.open(ds, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
        except OSError:
            raise NotFound(ds) from None
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
    """A regular file of a folder. Errors: NotFound."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody who writes to it.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        raise NotFound(name) from None
    with os.fdopen(file, "rb") as stream:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise NotFound(name)
        return stream.read(MOST_BYTES)


def _mark(folder: int, ds: str) -> Mapping[str, Any]:
    """The mark of a day's reports. Errors: NotFound if it is missing, damaged or of another partition."""
    try:
        mark: Any = json.loads(_read(folder, MARK))
        if mark["partition"] == f"reports/{ds}" and isinstance(mark["outputs"], dict):
            return dict(mark)
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise NotFound(f"{ds}/{MARK}")


def _output(mark: Mapping[str, Any], name: str) -> str:
    """The sha256 of a file, as the mark has it. Errors: NotFound."""
    try:
        return str(mark["outputs"][name]["sha256"])
    except (LookupError, TypeError):
        raise NotFound(name) from None


def _document(folder: int, mark: Mapping[str, Any], name: str) -> Any:
    """A JSON document beside the page, as the mark has it; None if it cannot be read."""
    try:
        content = _read(folder, name)
        if hashlib.sha256(content).hexdigest() == _output(mark, name):
            return json.loads(content)
    except (NotFound, ValueError, RecursionError):
        pass
    return None


def _summarize(ds: str, evaluation: Any, decided: Any) -> Summary:
    """What the index shows of a day; `decided` says which breaches count, None if they all do."""
    try:
        breaches = evaluation["breaches"] if decided is None else decided["confirmed"]
        model, metrics, drift = evaluation["model"], evaluation["metrics"], evaluation["drift"]
        rules = evaluation.get("rules") or {}
        metric = str(rules.get("metric") or "")
        live = None if evaluation.get("trained_on_day") else _number((metrics or {}).get(metric))
        expected = (evaluation.get("estimate") or {}) if live is None else {}
        bounds = (expected if live is None else metrics).get("intervals") or {}
        return Summary(
            ds=ds,
            rows=int(evaluation["rows"]),
            rejected=_rejected(evaluation.get("quality") or {}),
            model=str(model.get("name") or ""),
            version=str(model.get("version") or ""),
            metric=metric,
            live=live,
            estimate=_number(expected.get(metric)),
            interval=_interval(bounds.get(metric)),
            trained=_number((evaluation.get("trained") or {}).get(metric)),
            score_drift=_drift(drift["score"], rules.get("score_psi")) if drift else None,
            drifts=_drifts(drift["features"], rules.get("feature_psi")) if drift else {},
            breaches=len(breaches),
            crossed=frozenset(str(breach.get("what")) for breach in breaches),
            is_measured=metrics is not None and drift is not None,
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return Summary(ds)


def _said(mark: Mapping[str, Any]) -> dict[str, Any]:
    """What the step of the page says: the state of the day, and of a version in shadow, None if there is none."""
    try:
        result = mark["steps"][mark["outputs"][PAGE]["step"]]["result"]
        return {"state": str(result.get("state") or ""), "shadow": _shadow(result)}
    except (LookupError, TypeError, AttributeError):
        return {}


def _shadow(result: Mapping[str, Any]) -> tuple[str, str] | None:
    try:
        shown = result["shadow"]
        return str(shown["version"])[:MOST_TEXT], str(shown["figures"])[:MOST_TEXT]
    except (LookupError, TypeError):
        return None


def _number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _rejected(quality: Mapping[str, Any]) -> int | None:
    """The rows of the data that were rejected; None if that is not known."""
    rows_in, rows_out = quality.get("rows_in"), quality.get("rows_out")
    return max(0, rows_in - rows_out) if isinstance(rows_in, int) and isinstance(rows_out, int) else None


def _interval(bounds: Any) -> tuple[float, float] | None:
    """The bounds of a figure; None if they were not measured."""
    if not isinstance(bounds, list) or len(bounds) != 2:
        return None
    low, high = map(_number, bounds)
    return None if low is None or high is None else (low, high)


def _drift(shares: Mapping[str, Any], limit: Any) -> Drift | None:
    psi, most = _number(shares["psi"]), _number(limit)
    if psi is None:
        return None
    return Drift(psi, (psi - (_number(shares.get("by_chance")) or 0)) / most if most else None)


def _drifts(features: Sequence[Mapping[str, Any]], limit: Any) -> dict[str, Drift]:
    """The features that a rule is about and that moved most; those of the calendar always move."""
    judged = (one for one in features if one.get("kind") not in CALENDAR)
    found = {sys.intern(str(one["name"])): drift for one in judged if (drift := _drift(one, limit))}
    return {name: found[name] for name in nlargest(MOST_FEATURES, found, key=lambda name: found[name].psi)}
