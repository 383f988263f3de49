"""Removes images of ours that nothing needs any more: old tags, which neither the lock nor a container uses."""

import re
from collections.abc import Container, Iterable
from typing import Any

from images.engine import chains, docker, inspect, run_docker, sizes_of, used_by_containers
from images.tags import TAG_DIGITS, prefix


def our_tags() -> list[str]:
    """Every image on the engine that has a name of ours and a content tag."""
    names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={prefix()}*")
    ours = re.compile(rf"{re.escape(prefix())}[a-z0-9]+(-[a-z0-9]+)*:[0-9a-f]{{{TAG_DIGITS}}}")
    return [name for name in names.splitlines() if ours.fullmatch(name)]


def old_tags(needed: Container[str]) -> list[str]:
    """Our tags but those that are needed or that any container uses, running or not."""
    used = used_by_containers()
    found = inspect(our_tags())
    return [name for name, details in found.items() if name not in needed and not {name, details["Id"]} & used]


def prune(needed: Container[str]) -> tuple[list[str], list[str], int]:
    """Remove old tags. Returns those that went, what the engine said of those that stayed, and the bytes of the
    layers that no image holds any more.
    """
    tags = old_tags(needed)
    before = _layers(inspect(tags).values())
    removed, kept = [], []
    for tag in tags:
        # Never by force: a container may have been made of it since we looked.
        done = run_docker("image", "rm", tag)
        if done.returncode:
            kept.append(f"{tag}: {done.stderr.strip()}")
        else:
            removed.append(tag)
    rest = docker("image", "ls", "--all", "--quiet", "--no-trunc").split()
    after = _layers(inspect(rest).values(), only=before)
    return removed, kept, sum(size for chain, size in before.items() if chain not in after)


def _layers(images: Iterable[dict[str, Any]], only: Container[str] | None = None) -> dict[str, int]:
    """The bytes of all layers of some images, by chain; with `only`, of the images that have one of these."""
    distinct = {details["Id"]: details for details in images}
    chosen = [d for d in distinct.values() if only is None or any(chain in only for chain in chains(d))]
    return {chain: size for layers in sizes_of(chosen) for chain, size in layers.items()}
