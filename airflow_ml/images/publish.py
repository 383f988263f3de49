"""Images go to an image registry by tag and come back by digest: nobody can replace what a digest names."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from airflow_ml.common import WRONG_USAGE, AirflowMlError, docker, inspect_images, try_docker
from airflow_ml.images.lock import Entry

ADDRESS = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*")
DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")


def parse_address(text: str) -> str:
    """The address of an image registry. Errors: AirflowMlError if the text is none."""
    if not ADDRESS.fullmatch(text):
        raise AirflowMlError(
            f"{text!r} is no image registry",
            expected="HOST[:PORT][/PATH] without https://, such as ghcr.io/team",
            exit_code=WRONG_USAGE,
        )
    return text


def push(entry: Entry, address: str) -> str:
    """Push an image of the lock; returns the digest that the image registry gave it.

    Errors: AirflowMlError with the last words of the image registry.
    """
    reference = f"{address}/{entry['image']}"
    docker("tag", entry["image"], reference)
    try:
        done = try_docker("push", reference)
    finally:
        # This name was only needed to push: containers run the local name.
        try_docker("image", "rm", reference)
    digest = DIGEST.search(done.stdout)
    if done.returncode or digest is None:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise AirflowMlError(
            f"{reference} was not pushed: {' '.join(words)}",
            do=f"check that {address.partition('/')[0]} answers and that `docker login` was done, then repeat",
        )
    return digest.group(1)


def push_all(entries: Mapping[str, Entry], address: str, save: Callable[[], None]) -> None:
    """Push images of the lock and pin their digests in it; each is saved as soon as it is known."""
    for name, entry in entries.items():
        entry["digest"] = push(entry, address)
        entry["pushed"] = f"{address}/{entry['name']}@{entry['digest']}"
        save()
        print(f"  {name:15} pushed as {entry['pushed']}", file=sys.stderr, flush=True)


def pull_all(entries: Mapping[str, Entry]) -> None:
    """Fetch the lock's images by their digests and give them the names that the Dags run.

    Their ids and sizes become those of this host's engine. Errors: AirflowMlError if one was never pushed, or cannot
    be fetched.
    """
    if not entries:
        raise AirflowMlError("the image lock is missing", do="copy dags/images.lock.json from the host that pushed")
    if never := [name for name, entry in entries.items() if not entry.get("pushed")]:
        raise AirflowMlError(
            f"the image lock names no image registry for {', '.join(never)}",
            do="run ./build_images.sh --push ADDRESS on the host that built them, then copy its "
            "dags/images.lock.json here",
        )
    for name, entry in entries.items():
        done = try_docker("pull", "--quiet", entry["pushed"])
        if done.returncode:
            raise AirflowMlError(f"{entry['pushed']} cannot be pulled: {done.stderr.strip()}")
        docker("tag", entry["pushed"], entry["image"])
        details: dict[str, Any] = inspect_images([entry["image"]])[entry["image"]]
        entry["id"], entry["size"] = details["Id"], details["Size"]
        try_docker("image", "rm", entry["pushed"])
        print(f"  {name:15} pulled {entry['pushed']}", file=sys.stderr, flush=True)


def require_multi_platform_builder(platforms: str) -> None:
    """Errors: AirflowMlError if the builder in use cannot build one image for several platforms."""
    driver = re.search(r"^Driver:\s+(\S+)$", docker("buildx", "inspect"), re.MULTILINE)
    if driver and driver.group(1) == "docker" and "io.containerd.snapshotter" not in docker(
        "info", "--format", "{{json .DriverStatus}}"
    ):  # fmt: skip
        raise AirflowMlError(
            f"the engine's own builder and store hold one platform an image, not {platforms}",
            do='switch the engine to the containerd image store ("features": {"containerd-snapshotter": true} in its '
            "daemon.json), or use a builder of another driver: docker buildx create --use",
        )
