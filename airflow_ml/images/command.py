"""Builds the images whose content changed, and writes the image lock.

An image's tag is a hash of everything that goes into it: the files of its folder (names, executable bits, bytes),
the tag of the base, build arguments, platform. An image that exists under its tag is never built again, and a tag
always names the same image. `dags/images.lock.json` names the images that the Dags run. The variable
ML_IMAGE_PREFIX is what the names of the images begin with instead of airflow-ml-.
Exit codes: 0 done; 1 failed; 2 wrong usage.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ml.common import (
    ROOT,
    WRONG_USAGE,
    AirflowMlError,
    docker,
    exclusive,
    image_lock,
    inspect_images,
    try_docker,
)
from airflow_ml.images.build import build
from airflow_ml.images.explain import explain
from airflow_ml.images.lock import Entry, entry_of, revision_of, write_lock, write_service_images
from airflow_ml.images.prune import prune
from airflow_ml.images.publish import parse_address, pull_all, push_all, require_multi_platform_builder
from airflow_ml.images.tags import FOUNDATIONS, ON_DEMAND, Image, discover, image_folders, parse_platforms
from airflow_ml.make_env import make_env
from airflow_ml.secret_files import write_secrets

Found = dict[str, dict[str, Any]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    names = [name for name in image_folders(ROOT) if name != "builder"]
    what = parser.add_mutually_exclusive_group()
    parser.add_argument("--stage", metavar="NAME", choices=names, help=f"only this image: {', '.join(names)}")
    parser.add_argument("--platform", metavar="P[,P]", help="build for this platform, such as linux/arm64")
    what.add_argument("--dry-run", action="store_true", help="show what would be built, build nothing")
    what.add_argument("--explain", action="store_true", help="show also the file, argument or base that changed")
    what.add_argument("--push", metavar="ADDRESS", help="build, push to an image registry, and pin the digests")
    what.add_argument("--pull", action="store_true", help="fetch the image lock's images by their digests")
    what.add_argument("--prune", action="store_true", help="remove our old tags that no container uses")


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
    """Build; returns, for each image that was built, what the lock records of its build.

    The base comes first, in a build of its own: other images then always start from the image, never from the steps
    that made it, and BuildKit finds its own work again when only a stage changes.
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
    """The lock's entries: each image as its folder is now; if that is not built, the entry of before."""
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
    """The images whose folder has changed since the lock's entry: possible only after a build of one stage."""
    return [n for n, image in images.items() if n not in ON_DEMAND and entries.get(n, {}).get("tag") != image.tag]


def save(root: Path, images: Mapping[str, Image], entries: Mapping[str, Entry]) -> None:
    """Write the lock, and compose's part of it."""
    write_lock(root, entries)
    services = [name for name, image in images.items() if image.folder.parent.name == "services" and name in entries]
    write_service_images(root, {name: entries[name]["image"] for name in services})


def name_for_people(entries: Mapping[str, Entry]) -> None:
    """Give every image of the lock its second tag, which a build or another checkout may have moved."""
    latest = {name: f"{entry['name']}:latest" for name, entry in entries.items()}
    found = inspect_images(latest.values())
    for name, entry in entries.items():
        if found.get(latest[name], {}).get("Id") != entry["id"]:
            docker("tag", entry["image"], latest[name])


def look(images: Mapping[str, Image], lock: Mapping[str, Entry]) -> Found:
    """The images of the folders and of the lock that the engine has."""
    return inspect_images(
        [*(image.reference for image in images.values()), *(entry["image"] for entry in lock.values())]
    )


def push_platforms(root: Path, images: Mapping[str, Image], platforms: Sequence[str], address: str) -> dict[str, Entry]:
    """Build for several platforms into an image registry, then pull what this host can run."""
    chosen = [image for name, image in images.items() if name != "debug"]
    log = root / ".cache" / "build.log"
    log.unlink(missing_ok=True)
    print(f"building {', '.join(image.name for image in chosen)} for {', '.join(platforms)}", file=sys.stderr)
    try:
        seconds, digests = build(chosen, [], platforms, log, address)
    finally:
        # The engine's own builder keeps what it pushes, under the name that was only needed to push.
        try_docker("image", "rm", *(f"{address}/{image.reference}" for image in chosen))
    entries: dict[str, Entry] = {}
    for name, image in images.items():
        if name not in ON_DEMAND:
            made = {"built": now(), "seconds": round(seconds[name], 1), "digest": digests[name]}
            made["pushed"] = f"{address}/{image.repository}@{digests[name]}"
            entries[name] = entry_of(image, {"Id": "", "Size": 0}, None, made, revision_of(root))
    pull_all(entries)
    return entries


def only_build(root: Path) -> "contextlib.AbstractContextManager[None]":
    """Wait for another build in the same folder: two would each write a lock without the other's images."""
    return exclusive(root / ".cache" / "build.flock", "another build")


def run_prune(images: Mapping[str, Image], lock: Mapping[str, Entry]) -> None:
    """Remove old tags and show which."""
    removed, kept = prune({*(image.reference for image in images.values()), *(e["image"] for e in lock.values())})
    for line in [*(f"removed {tag}" for tag in removed), *(f"kept    {line}" for line in kept)]:
        print(line)
    print(f"{len(removed)} old tags removed; `docker system df` shows what the engine still stores")


def build_all(root: Path, arguments: argparse.Namespace, platforms: Sequence[str]) -> dict[str, Entry]:
    """Build what is missing on this engine; returns the entries of the lock."""
    lock, images = image_lock(root), discover(root, platforms)
    found = look(images, lock)
    _, missing = select(images, arguments.stage, found)
    made = build_missing(root, images, missing, platforms) if missing else {}
    if made:
        found = look(images, lock)
    entries = new_entries(images, found, lock, made, revision_of(root))
    if stale := stale_images(images, entries):
        print(f"still to build as in the folders: {', '.join(stale)}; do: ./build_images.sh", file=sys.stderr)
    return entries


def table(entries: Mapping[str, Entry]) -> Iterator[str]:
    """One line for each image of the lock, with its size in MB."""
    width = max(len(entry["name"]) for entry in entries.values()) + 1
    for entry in entries.values():
        yield f"{entry['name']:{width}}{entry['tag']} {entry['size'] / 1e6:5.0f} MB"


def check(arguments: argparse.Namespace) -> tuple[list[str], str | None]:
    """The platforms and the image registry's address. Errors: AirflowMlError if they do not fit together."""
    platforms = parse_platforms(arguments.platform)
    address = parse_address(arguments.push) if arguments.push is not None else None
    if len(platforms) > 1 and address is None and not (arguments.dry_run or arguments.explain):
        raise AirflowMlError(
            f"the engine's store holds one platform an image, not {', '.join(platforms)}",
            do="add --push ADDRESS, or name one platform",
            exit_code=WRONG_USAGE,
        )
    return platforms, address


def publish(root: Path, arguments: argparse.Namespace, platforms: list[str], address: str | None) -> None:
    """Build or fetch the images, write the lock, and push if that is asked for."""
    if len(platforms) > 1 and address:
        require_multi_platform_builder(",".join(platforms))
    images = discover(root, platforms)
    if arguments.pull:
        entries = image_lock(root)
        pull_all(entries)
    elif address and len(platforms) > 1:
        entries = push_platforms(root, images, platforms, address)
    else:
        entries = build_all(root, arguments, platforms)
    save(root, images, entries)
    write_secrets(root)  # for whoever starts the stack with `docker compose` itself
    name_for_people(entries)
    if address and len(platforms) == 1:
        chosen = {name: entry for name, entry in entries.items() if arguments.stage in (None, name)}
        push_all(chosen, address, lambda: write_lock(root, entries))
    print("\n".join(table(entries)))


def run(arguments: argparse.Namespace, root: Path = ROOT) -> int:
    """Do what the options name."""
    platforms, address = check(arguments)
    make_env(root)
    with only_build(root):
        try:
            if arguments.prune:
                run_prune(discover(root), image_lock(root))
            elif arguments.dry_run or arguments.explain:
                images, lock = discover(root, platforms), image_lock(root)
                wanted, missing = select(images, arguments.stage, look(images, lock))
                print("\n".join(explain(images, wanted, missing, lock, arguments.explain)))
            else:
                publish(root, arguments, platforms, address)
        except KeyboardInterrupt:
            print("the images that were built are kept, the image lock has not changed", file=sys.stderr)
            raise
    return 0
