"""Builds the images whose content changed, and writes the image lock; ./build_images.sh runs it.

An image's tag is a hash of everything that goes into it: its folder's files (names, executable bits, bytes),
the base's tag, build arguments, platform. An image that exists under its tag is never built again, and a tag
never changes what it names. `dags/images.lock.json` tells the Dags which tags to run.
"""

import argparse
import contextlib
import fcntl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from images.build import build
from images.engine import docker, inspect, run_docker
from images.errors import Failure
from images.explain import explain
from images.lock import Entry, entry_of, read_lock, revision_of, write_lock, write_service_images
from images.prune import prune
from images.registry import parse_registry, pull_all, push_all, require_multi_platform_builder
from images.table import table
from images.tags import FOUNDATIONS, ON_DEMAND, ROOT, Image, discover, image_folders, parse_platforms

Found = dict[str, dict[str, Any]]


def parse_arguments(argv: Sequence[str] | None, names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="build_images.sh",
        description="Build the images whose content changed, and write the image lock.",
        epilog="From the environment: ML_IMAGE_PREFIX, what the images' names begin with instead of airflow-ml-.",
    )
    what = parser.add_mutually_exclusive_group()
    parser.add_argument("--stage", metavar="NAME", choices=names, help=f"only this image: {', '.join(names)}")
    parser.add_argument("--platform", metavar="P[,P]", help="build for this platform, such as linux/arm64")
    what.add_argument("--dry-run", action="store_true", help="say what would be built, build nothing")
    what.add_argument("--explain", action="store_true", help="say also which file, argument or base made it so")
    what.add_argument("--push", metavar="REGISTRY", help="build, push, and pin the digests in the image lock")
    what.add_argument("--pull", action="store_true", help="fetch the image lock's images by their digests")
    what.add_argument("--prune", action="store_true", help="remove our old tags that no container uses")
    return parser.parse_args(argv)


def select(images: Mapping[str, Image], stage: str | None, found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The images that are asked for, and those of them (and the builder, for them) that have to be built."""
    wanted = (
        [name for name in images if name not in ON_DEMAND] if stage is None else list(dict.fromkeys(["base", stage]))
    )
    missing = [name for name in wanted if images[name].reference not in found]
    if missing and images["builder"].reference not in found:
        missing.insert(0, "builder")  # it is only there to install with
    return wanted, missing


def build_missing(
    root: Path, images: Mapping[str, Image], missing: Sequence[str], platforms: Sequence[str]
) -> dict[str, Entry]:
    """Build; returns, for each image that was built, what the lock tells of its build.

    The base comes first, in a build of its own: what stands on it then always stands on the image, never on the
    steps that made it, and BuildKit knows its own work again when next only a stage has changed.
    """
    log, started = root / ".cache" / "build.log", time.monotonic()
    log.unlink(missing_ok=True)
    print(f"building {', '.join(missing)}", file=sys.stderr, flush=True)
    seconds: dict[str, float] = {}
    first, then = [[n for n in missing if (n in FOUNDATIONS) is base] for base in (True, False)]
    for names, there in ((first, []), (then, [images["builder"], images["base"]])):
        if names:
            seconds |= build([images[name] for name in names], there, platforms, log)[0]
    print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return {name: {"built": now(), "seconds": round(seconds[name], 1)} for name in missing}


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_entries(
    images: Mapping[str, Image],
    found: Found,
    lock: Mapping[str, Entry],
    made: Mapping[str, Entry],
    revision: str | None,
) -> dict[str, Entry]:
    """The lock's entries: of each image as it is in the folders; where that is not built, as it was before."""
    entries = {}
    for name, image in images.items():
        if name in ON_DEMAND:
            continue
        if details := found.get(image.reference):
            entries[name] = entry_of(image, details, lock.get(name), made.get(name), revision)
            continue
        before = lock.get(name, {})
        if "ingredients" in before and found.get(before["image"], {}).get("Id") == before["id"]:
            entries[name] = before
    return entries


def stale_images(images: Mapping[str, Image], entries: Mapping[str, Entry]) -> list[str]:
    """What the lock does not have as it is in the folders: possible only after a build of one stage."""
    return [n for n, image in images.items() if n not in ON_DEMAND and entries.get(n, {}).get("tag") != image.tag]


def save(root: Path, images: Mapping[str, Image], entries: Mapping[str, Entry]) -> None:
    """Write the lock, and compose's part of it."""
    write_lock(root, entries)
    services = [name for name, image in images.items() if image.folder.parent.name == "services" and name in entries]
    write_service_images(root, {name: entries[name]["image"] for name in services})


def name_for_people(entries: Mapping[str, Entry]) -> None:
    """Give every image of the lock its second tag, which a build or another checkout may have left elsewhere."""
    latest = {name: f"{entry['name']}:latest" for name, entry in entries.items()}
    found = inspect(latest.values())
    for name, entry in entries.items():
        if found.get(latest[name], {}).get("Id") != entry["id"]:
            docker("tag", entry["image"], latest[name])


def look(images: Mapping[str, Image], lock: Mapping[str, Entry]) -> Found:
    """What the engine has of the folders' images and of the lock's."""
    return inspect([*(image.reference for image in images.values()), *(entry["image"] for entry in lock.values())])


def push_platforms(
    root: Path, images: Mapping[str, Image], platforms: Sequence[str], registry: str
) -> dict[str, Entry]:
    """Build for several platforms straight into the registry, and take from there what this host can run."""
    require_multi_platform_builder(",".join(platforms))
    chosen = [image for name, image in images.items() if name != "debug"]
    log = root / ".cache" / "build.log"
    log.unlink(missing_ok=True)
    print(f"building {', '.join(image.name for image in chosen)} for {', '.join(platforms)}", file=sys.stderr)
    try:
        seconds, digests = build(chosen, [], platforms, log, registry)
    finally:
        # The engine's own builder keeps what it pushes, under the name that was only needed to push.
        run_docker("image", "rm", *(f"{registry}/{image.reference}" for image in chosen))
    entries: dict[str, Entry] = {}
    for name, image in images.items():
        if name not in ON_DEMAND:
            made = {"built": now(), "seconds": round(seconds[name], 1), "digest": digests[name]}
            made["pushed"] = f"{registry}/{image.repository}@{digests[name]}"
            entries[name] = entry_of(image, {"Id": "", "Size": 0}, None, made, revision_of(root))
    pull_all(entries)
    return entries


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Wait for another run in the same folder: two would each write a lock without the other's images."""
    path = root / ".cache" / "build.flock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build_images.sh in this folder", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_prune(images: Mapping[str, Image], lock: Mapping[str, Entry]) -> None:
    removed, kept, freed = prune(
        {*(image.reference for image in images.values()), *(e["image"] for e in lock.values())}
    )
    print(
        *(f"removed {tag}" for tag in removed),
        *(f"stays   {line}" for line in kept),
        sep="\n",
        end="\n" if removed or kept else "",
    )
    print(f"{len(removed)} old tags removed, {freed:,} bytes that no image holds any more")
    if freed:
        print("The builder's cache may still hold some of them; `docker builder prune` empties it.")


def run(root: Path, arguments: argparse.Namespace) -> None:
    platforms = parse_platforms(arguments.platform)
    registry = parse_registry(arguments.push) if arguments.push else None
    if len(platforms) > 1 and registry is None and not (arguments.dry_run or arguments.explain):
        raise Failure(
            f"the engine's store holds one platform an image, not {', '.join(platforms)}; "
            "do: add --push REGISTRY, or name one platform"
        )
    lock = read_lock(root)
    images = discover(root, platforms)
    if arguments.prune:
        return run_prune(images, lock)
    if arguments.pull:
        pull_all(lock)
        entries = lock
    elif registry and len(platforms) > 1:
        entries = push_platforms(root, images, platforms, registry)
    else:
        found = look(images, lock)
        wanted, missing = select(images, arguments.stage, found)
        if arguments.dry_run or arguments.explain:
            print("\n".join(explain(images, wanted, missing, lock, arguments.explain)))
            return None
        made = build_missing(root, images, missing, platforms) if missing else {}
        if made:
            found = look(images, lock)
        entries = new_entries(images, found, lock, made, revision_of(root))
        if stale := stale_images(images, entries):
            print(f"still to build as in the folders: {', '.join(stale)}; do: ./build_images.sh", file=sys.stderr)
    save(root, images, entries)
    name_for_people(entries)
    if registry and len(platforms) == 1:
        chosen = {name: entry for name, entry in entries.items() if arguments.stage in (None, name)}
        push_all(chosen, registry, lambda: write_lock(root, entries))
    print("\n".join(table(entries, look(images, entries))))
    return None


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    try:
        arguments = parse_arguments(argv, [name for name in image_folders(root) if name != "builder"])
        with alone(root):
            run(root, arguments)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was built is kept, the image lock is as it was", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
