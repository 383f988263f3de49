"""The table that ends a build: each image with its size, and how much of that others of ours hold too."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from images.engine import sizes_of
from images.lock import Entry


def shared_bytes(images: Mapping[str, Mapping[str, int]]) -> tuple[dict[str, int], int]:
    """For each image (the bytes of its layers by chain) what others hold too; and all layers counted once."""
    holders = Counter(chain for layers in images.values() for chain in layers)
    shared = {
        name: sum(size for chain, size in layers.items() if holders[chain] > 1) for name, layers in images.items()
    }
    once = {chain: size for layers in images.values() for chain, size in layers.items()}
    return shared, sum(once.values())


def table(entries: Mapping[str, Entry], found: Mapping[str, dict[str, Any]]) -> list[str]:
    """One line an image of the lock, in MB, and a last one for the disk that all take together."""
    layers = dict(zip(entries, sizes_of([found[entry["image"]] for entry in entries.values()]), strict=True))
    shared, total = shared_bytes(layers)
    width = max([31, *(len(entry["name"]) for entry in entries.values())]) + 1
    lines = [f"{'image':{width}}{'tag':12} {'size':>8} {'of which shared':>16}"]
    for name, entry in entries.items():
        size = sum(layers[name].values())
        lines.append(f"{entry['name']:{width}}{entry['tag']} {size / 1e6:5.0f} MB {shared[name] / 1e6:13.0f} MB")
    lines.append(f"{'all, shared layers counted once':{width}}{'':12} {total / 1e6:5.0f} MB")
    return lines
