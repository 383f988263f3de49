"""Removes the files of old partitions. Their marks stay, so that lineage still names what everything was made from.

A partition is old if its day is, and if none of its steps ran since: a backfill makes files of old days today.
A mark says first that a file is removed, and when; then the file goes. A step that needs it afterwards ends with exit
code 4 and names the step that makes it again. The model in production may be old, so a model that a step has read since
stays, and the one that `registry resolve` found last. Files of the registry are never removed.

Reads   the marks of all partitions KIND/DAY and KIND/DAY-... of the kinds; for models, those of all partitions
Writes  the marks of the kinds, and removes the files that they name
Exit    0 done, 1 failed, 2 wrong usage
"""

import contextlib
import logging
import sys
import time
from argparse import ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from stagekit.cli import Command, run_stage
from stagekit.errors import BadInput, UsageError
from stagekit.locks import locked
from stagekit.mark import META, load_mark, write_mark
from stagekit.options import day, option
from stagekit.workspace import Workspace

# What other partitions and the same command lines make again.
MADE_AGAIN = ("comparisons", "features", "labels", "processed", "shadows", "shards")
MODELS, REGISTRY = "models", "registry"

log = logging.getLogger("stagekit")


def run(args: Namespace) -> Mapping[str, Any]:
    """Remove the files of partitions from before a day, or with `--dry-run` only count them.

    The result counts partitions, files and bytes by kind, and names the partitions whose mark cannot be read: these
    are left as they are. Errors: UsageError if there is no data folder.
    """
    if not args.data_dir.is_dir():
        raise UsageError(f"there is no folder {args.data_dir}", do="mount the data there, or name it with --data-dir")
    partitions, files, size = Counter[str](), Counter[str](), Counter[str]()
    unreadable = []
    used = _used_models(args.data_dir, args.before) if MODELS in args.kinds else set()
    for kind in args.kinds:
        for folder in _before(args.data_dir / kind, args.before):
            name = f"{kind}/{folder.name}"
            if name in used:
                continue
            try:
                removed = (_old_files if args.dry_run else _remove)(folder, name, args.before)
            except BadInput as error:
                log.warning("%s is left as it is: %s", name, error)
                unreadable.append(name)
                continue
            partitions[kind] += bool(removed)
            files[kind] += len(removed)
            size[kind] += sum(removed.values())
    return {
        "before": str(args.before),
        "removed": not args.dry_run,
        "partitions": dict(+partitions),
        "files": files.total(),
        "bytes": size.total(),
        "unreadable": unreadable,
    }


def _before(folder: Path, day: date) -> Iterator[Path]:
    """The partitions of a kind whose name begins with a day before this one, the oldest first."""
    for mark in sorted(folder.glob(f"*/{META}")):
        with contextlib.suppress(ValueError):  # as of 2026-08-31-v7 in shadow, 2026-08-31-features-3of8
            if date.fromisoformat(mark.parent.name[: len("2026-08-31")]) < day:
                yield mark.parent


def _used_models(root: Path, before: date) -> set[str]:
    """The models that a step has read on that day or later, and the one that was resolved last.

    A mark that cannot be read says nothing; the next step that needs its partition refuses it.
    """
    models = set()
    for path in root.glob(f"*/*/{META}"):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        with contextlib.suppress(BadInput, OSError):
            for step in load_mark(path.parent, name)["steps"].values():
                if name.startswith(f"{REGISTRY}/") or _started(step) >= before:
                    models |= {file.rpartition("/")[0] for file in step["inputs"] if file.startswith(f"{MODELS}/")}
    return models


def _started(step: Mapping[str, Any]) -> date:
    """The day on which a step ran; long ago where its mark does not say it."""
    return datetime.fromisoformat(step["started"]).date() if step.get("started") else date.min


def _old_files(folder: Path, name: str, before: date) -> dict[str, int]:
    """The files of a partition that are there, with their sizes; none if a step of it started on that day or later."""
    mark = load_mark(folder, name)
    if any(_started(step) >= before for step in mark["steps"].values()):
        return {}
    paths = {file: folder / file for file in mark["outputs"]}
    return {file: path.stat().st_size for file, path in paths.items() if path.is_file()}


def _remove(folder: Path, name: str, before: date) -> dict[str, int]:
    """Remove the files of a partition, if they are old; returns them with their sizes."""
    if not _old_files(folder, name, before):
        return {}
    workspace = Workspace(folder, "tidy")
    try:
        with locked(folder):
            mark, files = load_mark(folder, name), _old_files(folder, name, before)
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            for file in files:
                mark["outputs"][file] = {"removed": now, **mark["outputs"][file]}
            write_mark(mark, workspace.path)
            for file in files:
                (folder / file).unlink(missing_ok=True)
    finally:
        workspace.close()
    return files


def _kinds(text: str) -> tuple[str, ...]:
    """The type of names of kinds with commas between. Errors: ArgumentTypeError for one that is never removed."""
    kinds = tuple(text.split(","))
    for kind in kinds:
        if kind == REGISTRY or not kind.isidentifier():
            raise ArgumentTypeError(f"{kind!r} is no kind of partition whose files may go, such as {MADE_AGAIN[0]}")
    return kinds


COMMAND = Command(
    "tidy",
    "remove the files of old partitions",
    "stagekit.tidy:run",
    options=(
        option("--before", type=day, required=True, metavar="DAY", help="the first day whose files stay"),
        option(
            "--kinds",
            type=_kinds,
            default=MADE_AGAIN,
            metavar="KIND,KIND",
            help=f"of which kinds ({','.join(MADE_AGAIN)}: what other partitions make again)",
        ),
        option("--dry-run", action="store_true", help="only count what would go"),
    ),
    example="docker run --rm -v data:/data airflow-ml-base -m stagekit.tidy --before 2026-08-31 --dry-run",
    needs_ds=False,
    publishes=False,
    writes=True,
    only_looks=("dry_run",),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Tidy a data folder; returns the exit code."""
    return run_stage("tidy", __doc__ or "", [COMMAND], argv)


if __name__ == "__main__":
    sys.exit(main())
