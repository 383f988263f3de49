"""Images go to a registry by tag, and come from it by digest: what a digest names cannot be replaced there."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from images.engine import docker, inspect, run_docker
from images.errors import Failure
from images.lock import Entry

REGISTRY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*")
DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")


def parse_registry(text: str) -> str:
    """Errors: Failure for what is no registry's name."""
    if not REGISTRY.fullmatch(text):
        raise Failure(f"{text!r} is no registry; expected: HOST[:PORT][/PATH] without https://, such as ghcr.io/team")
    return text


def push(entry: Entry, registry: str) -> str:
    """Push an image of the lock; returns the digest that the registry knows it by.

    Errors: Failure with the registry's last words.
    """
    reference = f"{registry}/{entry['image']}"
    docker("tag", entry["image"], reference)
    try:
        done = run_docker("push", reference)
    finally:
        # The name was only needed to push: what runs here is the local name.
        run_docker("image", "rm", reference)
    digest = DIGEST.search(done.stdout)
    if done.returncode or digest is None:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Failure(
            f"{reference} was not pushed: {' '.join(words)}\n"
            f"       do: see that {registry.partition('/')[0]} answers and that `docker login` was done, then repeat"
        )
    return digest.group(1)


def push_all(entries: Mapping[str, Entry], registry: str, save: Callable[[], None]) -> None:
    """Push images of the lock and pin their digests in it, saving each as soon as it is known."""
    for name, entry in entries.items():
        entry["digest"] = push(entry, registry)
        entry["pushed"] = f"{registry}/{entry['name']}@{entry['digest']}"
        save()
        print(f"  {name:15} pushed as {entry['pushed']}", file=sys.stderr, flush=True)


def pull_all(entries: Mapping[str, Entry]) -> None:
    """Fetch the lock's images by their digests and give them the names that the Dags run.

    Their ids and sizes become those of this host's engine. Errors: Failure where one was never pushed, or does
    not come.
    """
    if not entries:
        raise Failure("the image lock is not there; do: copy dags/images.lock.json from the host that pushed")
    if never := [name for name, entry in entries.items() if not entry.get("pushed")]:
        raise Failure(
            f"the image lock names no registry for {', '.join(never)}; do: on the host that built them run "
            "./build_images.sh --push REGISTRY, then copy its dags/images.lock.json here"
        )
    for name, entry in entries.items():
        done = run_docker("pull", "--quiet", entry["pushed"])
        if done.returncode:
            raise Failure(f"{entry['pushed']} cannot be pulled: {done.stderr.strip()}")
        docker("tag", entry["pushed"], entry["image"])
        details: dict[str, Any] = inspect([entry["image"]])[entry["image"]]
        entry["id"], entry["size"] = details["Id"], details["Size"]
        run_docker("image", "rm", entry["pushed"])
        print(f"  {name:15} pulled {entry['pushed']}", file=sys.stderr, flush=True)


def require_multi_platform_builder(platforms: str) -> None:
    """Errors: Failure where the builder in use cannot build one image for several platforms."""
    driver = re.search(r"^Driver:\s+(\S+)$", docker("buildx", "inspect"), re.MULTILINE)
    if driver and driver.group(1) == "docker" and "io.containerd.snapshotter" not in docker(
        "info", "--format", "{{json .DriverStatus}}"
    ):  # fmt: skip
        raise Failure(
            f"the engine's own builder and store hold one platform an image, not {platforms}; do: switch the engine "
            'to the containerd image store ("features": {"containerd-snapshotter": true} in its daemon.json), or use '
            "a builder of another driver: docker buildx create --use"
        )
