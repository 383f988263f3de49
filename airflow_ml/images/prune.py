"""Removes images of ours that nothing needs any more: old tags, which no image lock and no container uses."""

import re
from collections.abc import Container
from pathlib import Path

from airflow_ml.common import ROOT, docker, image_lock, inspect_images, try_docker
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


def needed_by_other_stacks() -> set[str]:
    """What the image lock of every other stack on this engine names: its next task starts from one of these.

    The containers of a stack, also stopped ones, name its folder. A folder on another machine cannot be read.
    """
    form = '{{.Label "com.docker.compose.project.working_dir"}}'
    service = "label=com.docker.compose.service=engine-proxy"
    folders = set(docker("ps", "--all", "--filter", service, "--format", form).splitlines()) - {str(ROOT)}
    return {str(entry["image"]) for folder in folders for entry in image_lock(Path(folder)).values()}


def old_tags(needed: Container[str]) -> list[str]:
    """Our tags without those that are needed, here or by another stack, and those that any container uses."""
    used = used_by_containers() | needed_by_other_stacks()
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
