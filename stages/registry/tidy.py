"""`tidy`: removes old versions, runs and pages of reports that nothing needs any more.

A version stays if an alias or an event names it, if it has scored a day, if a person has rejected it or is asked about
it, if it is in shadow, if it is the newest, or if a run has registered it since. A run stays while a version of any
model has its files. Everything is read and checked before something is removed. A version goes before its run, and the
run's files before the run: a command that is killed in between leaves a run without a version, which the next one
removes.
"""

import logging
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from stagekit import BadInput

from bundle import TAG
from decisions import ASKED, IN_SHADOW, REJECTED
from registered_model import RegisteredModel, read_registered_model
from rest import artifact_folder
from runs import experiment_id
from server import Server, connect, explained
from versions import Version, all_versions, find_version

# A run's folder of artifacts, and the folder below it with a page for each day.
ARTIFACTS, REPORTS = "artifacts", "reports"
# The tags of a run that `register` has made.
OF_REGISTER = (f"{TAG}ds", f"{TAG}model", f"{TAG}model_sha256")
RUNS_OF_A_PAGE = 100
# How the figures of a scored day begin, as `log-evaluation` names them.
OF_A_DAY = ("live.", "drift.")
# Decisions that a later command needs: for the answer, for the days in shadow, and so that no gate promotes the model.
LASTING = (ASKED, IN_SHADOW, REJECTED)

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Run:
    """A run that `register` has made: when it began (milliseconds), and where the server keeps its files.

    `has_scored`: whether it has figures of a day. Its version was in production then, with or without an event.
    """

    run_id: str
    started: int
    folder: str
    has_scored: bool


@dataclass(frozen=True)
class Borrower:
    """A version of another registered model: the run that it names, and where it says that its files are."""

    run_id: str
    source: str


def tidy(args: Namespace) -> dict[str, Any]:
    """Remove what is from before a day, or with `--dry-run` only count it.

    Errors: BadInput for a malformed tag, an event that is not signed, a run whose files are not at the server.
    """
    server = connect()
    before = int(datetime.combine(args.before, time(), UTC).timestamp() * 1000)
    registered, versions, runs = read_registered_model(server), all_versions(server), own_runs(server)
    borrowers = read_borrowers(server)
    for version in versions:
        if is_ours(version):
            version.bundle()
    scored = {run.run_id for run in runs if run.has_scored}
    lent = {borrower.source.removeprefix(f"models:/{server.name}/") for borrower in borrowers}
    old = [
        version for version in versions[1:]
        if is_old(version, registered, before) and version.run_id not in scored and version.number not in lent
    ]  # fmt: skip
    used = {version.run_id for version in versions if version not in old}
    unused = [run for run in runs if run.started < before and run.run_id not in used and not is_lent(run, borrowers)]
    pages = [page for run in runs if run not in unused for page in old_pages(server, run, args.before)]
    size = {folder: size_of(server, folder) for folder in (*(run.folder for run in unused), *pages)}
    if not args.dry_run:
        old = [version for version in old if remove_version(server, version, before)]
        unused = [run for run in unused if remove_run(server, run)]
        for page in pages:
            remove_files(server, page)
    total = sum(size[folder] for folder in (*(run.folder for run in unused), *pages))
    counts = {"versions": len(old), "runs": len(unused), "pages": len(pages), "bytes": total}
    done = "would remove" if args.dry_run else "removed"
    log.info("%s what is from before %s: %s", done, args.before, ", ".join(f"{counts[name]} {name}" for name in counts))
    return {"name": server.name, "before": str(args.before), "removed": not args.dry_run, **counts}


def is_ours(version: Version) -> bool:
    """Whether it has a tag of ours; others register versions too."""
    return any(key.startswith(TAG) for key in version.tags)


def is_old(version: Version, registered: RegisteredModel, before: int) -> bool:
    """Whether a version is ours, of before a moment, and neither an alias, an event nor its decision needs it."""
    named = {*registered.aliases.values(), *(event.version for event in registered.events)}
    is_needed = version.number in named or version.tag("decision") in LASTING
    return is_ours(version) and 0 < version.changed < before and not is_needed


def own_runs(server: Server) -> list[Run]:
    """The runs of the experiment that `register` has made and nobody has deleted."""
    experiment = experiment_id(server)
    if experiment is None:
        return []
    with explained(server, "listing the runs"):
        search = {"experiment_ids": [experiment], "max_results": RUNS_OF_A_PAGE}
        return [as_run(run) for run in server.rest.search("runs/search", "runs", **search) if is_of_register(run)]


def is_of_register(run: Any) -> bool:
    """Whether a run has the tags with which `register` finds it again."""
    tags = {tag["key"] for tag in run["data"].get("tags", [])}
    return tags.issuperset(OF_REGISTER)


def as_run(found: Any) -> Run:
    """A run, from what MLflow answers.

    Errors: BadInput if its files are not in a folder of its own at the server, because the whole folder is removed.
    """
    run_id = str(found["info"]["run_id"])
    try:
        folder = artifact_folder(found)
        if folder.split("/")[-2:] != [run_id, ARTIFACTS]:
            raise ValueError(f"its run keeps its artifacts at {folder[:100]!r}, which is not a folder of its own")
    except ValueError as error:
        raise BadInput(
            f"the run {run_id[:40]!r} cannot be tidied: {error}", expected=f"a folder RUN/{ARTIFACTS} at the server",
            do="delete this run in MLflow, or see who has made it",
        ) from None  # fmt: skip
    has_scored = any(metric["key"].startswith(OF_A_DAY) for metric in found["data"].get("metrics", []))
    return Run(run_id, int(found["info"]["start_time"]), folder, has_scored)


def read_borrowers(server: Server) -> list[Borrower]:
    """The versions of all other registered models."""
    with explained(server, "listing the versions of all models"):
        found = server.rest.pages("model-versions/search", "model_versions", max_results=1000)
        others = [one for one in found if one["name"] != server.name]
        return [Borrower(one.get("run_id", ""), one.get("source", "")) for one in others]


def is_lent(run: Run, borrowers: Iterable[Borrower]) -> bool:
    """Whether a version of another model has a run's files."""
    return any(run.run_id == borrower.run_id or run.run_id in borrower.source for borrower in borrowers)


def users_of(server: Server, run: Run) -> list[str]:
    """The versions of any registered model that name a run."""
    with explained(server, f"looking for versions of the run {run.run_id}"):
        found = server.rest.pages("model-versions/search", "model_versions", filter=f"run_id = '{run.run_id}'")
        return [f"{one['name']} {int(one['version'])}" for one in found]


def old_pages(server: Server, run: Run, before: date) -> list[str]:
    """The folders of a run with the pages of days before one."""
    with explained(server, f"listing the pages of the run {run.run_id}"):
        folder = f"{run.folder}/{REPORTS}"
        days = [file["path"] for file in server.rest.list_files(folder) if is_day(file["path"])]
        return [f"{folder}/{day}" for day in sorted(days) if date.fromisoformat(day) < before]


def is_day(name: str) -> bool:
    """Whether a folder is named as a day is."""
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def size_of(server: Server, folder: str) -> int:
    """The bytes of all files in a folder of the server's artifacts."""
    with explained(server, f"listing {folder}"):
        return sum(sizes(server, folder))


def sizes(server: Server, folder: str) -> list[int]:
    """The bytes of each file in a folder and below it. To be called where refusals are explained."""
    found: list[int] = []
    for file in server.rest.list_files(folder):
        found += sizes(server, f"{folder}/{file['path']}") if file.get("is_dir") else [int(file.get("file_size", 0))]
    return found


def remove_version(server: Server, version: Version, before: int) -> bool:
    """Remove a version, unless an alias, an event or a registration has named it meanwhile.

    Returns whether it was removed.
    """
    now = find_version(server, version.number)
    if now is None or not is_old(now, read_registered_model(server), before):
        log.warning("%s stays: it has changed meanwhile", version.label)
        return False
    with explained(server, f"removing version {version.number}"):
        server.rest.delete("model-versions/delete", name=server.name, version=version.number)
    log.info("removed %s", version.label)
    return True


def remove_run(server: Server, run: Run) -> bool:
    """Remove a run's files, then the run, unless a version has got them meanwhile. Returns whether it was removed."""
    if users := users_of(server, run):
        log.warning("the run %s stays: version %s has its files", run.run_id, users[0])
        return False
    remove_files(server, run.folder.removesuffix(f"/{ARTIFACTS}"))
    with explained(server, f"removing the run {run.run_id}"):
        server.rest.post("runs/delete", run_id=run.run_id)
    log.info("removed the run %s with its files", run.run_id)
    return True


def remove_files(server: Server, folder: str) -> None:
    """Remove a folder of the server's artifacts; one that is gone already is no error."""
    with explained(server, f"removing {folder}"):
        server.rest.remove(folder)
