"""Removes images of ours that nothing needs any more: old tags, which neither the lock nor a container uses."""

import re
from collections.abc import Container

from airflow_ml.common import docker, inspect_images, try_docker
from airflow_ml.images.tags import TAG_DIGITS, prefix


def our_tags() -> list[str]:
    """Every image on the engine that has a name of ours and a content tag."""
    names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={prefix()}*")
    ours = re.compile(rf"{re.escape(prefix())}[a-z0-9]+(-[a-z0-9]+)*:[0-9a-f]{{{TAG_DIGITS}}}")
    return [name for name in names.splitlines() if ours.fullmatch(name)]


def used_by_containers() -> set[str]:
    """Ids and names of the images of all containers, running or not."""
    containers = docker("ps", "--all", "--quiet", "--no-trunc").split()
    if not containers:
        return set()
    # A container may go in between: the others are still listed.
    return set(try_docker("inspect", "--format", "{{.Image}} {{.Config.Image}}", *containers).stdout.split())


def old_tags(needed: Container[str]) -> list[str]:
    """Our tags without those that are needed and those that any container uses."""
    used = used_by_containers()
    found = inspect_images(our_tags())
    return [name for name, details in found.items() if name not in needed and not {name, details["Id"]} & used]


def prune(needed: Container[str]) -> tuple[list[str], list[str]]:
    """Remove old tags. Returns those that were removed, and why the others are still there."""
    removed, kept = [], []
    for tag in old_tags(needed):
        # Never by force: a container may have been made of it in between.
        done = try_docker("image", "rm", tag)
        if done.returncode:
            kept.append(f"{tag}: {done.stderr.strip()}")
        else:
            removed.append(tag)
    return removed, kept
