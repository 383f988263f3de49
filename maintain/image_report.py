"""Writes the generated parts of docs/images.md: the tree of our images, their sizes and layers, and the naive way's.

Our images are those of the image lock, as they are on the engine. The naive images are built (this takes minutes and
needs the network), weighed and removed.
Exit codes: 0 done; 1 failed; 2 wrong usage.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml.common import ROOT, AirflowMlError, image_lock, inspect_images
from maintain.image_contents import Layer, Parts, read_images
from maintain.naive_images import ALL_STAGES, PUBLISHED, Naive, all_together, naive_names, weigh

DOC = ROOT / "docs" / "images.md"
BUDGET = "airflow-ml.size-budget-mb"
# What is MLflow's, its server and its client, weighs about as much as all stages and is counted by itself.
MLFLOW = ("mlflow", "registry")
WITHOUT_MLFLOW_MB, ALL_TOGETHER_MB = 765, 1045
WORTH_A_NAME = 1_000_000
SMALL = 100_000
REST = "the rest"
MEMORY = re.compile(r"<!-- naive: (.*) -->")
Images = Mapping[str, Sequence[Layer]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--naive-base", default=PUBLISHED, metavar="IMAGE", help="what the naive images start from")
    which.add_argument("--keep-naive", action="store_true", help="build none of them, keep the figures of the page")
    parser.add_argument("--naive", action="append", choices=naive_names(), help="only this one; may be repeated")
    parser.add_argument("--doc", type=Path, default=DOC, metavar="FILE", help="the page (default: docs/images.md)")


def text_of(size: float) -> str:
    """A size as the page shows it: in MB, small ones in kB."""
    return f"{size / 1e6:.1f} MB" if size >= SMALL else f"{size / 1e3:.0f} kB"


def size_of(layers: Sequence[Layer]) -> int:
    return sum(layer.size for layer in layers)


def once(images: Images) -> int:
    """The bytes of all layers of some images, shared ones counted once."""
    return sum({layer.chain: layer.size for layers in images.values() for layer in layers}.values())


def holders(images: Images) -> dict[str, list[str]]:
    """For each layer, by chain, the images that hold it."""
    found: dict[str, list[str]] = {}
    for name, layers in images.items():
        for layer in layers:
            found.setdefault(layer.chain, []).append(name)
    return found


# --- the tree ---


def tree(images: Images) -> list[str]:
    """The images on the layers that they stand on; a branch is what several have in common."""
    lines = list(_branches({name: list(layers) for name, layers in images.items()}))
    width = max(len(left) for left, _, _ in lines) + 2
    names = max(len(name) for _, name, _ in lines) + 2
    return ["```", *(f"{left:{width}}{name:{names}}{size:>8}".rstrip() for left, name, size in lines), "```"]


def _branches(images: Images, depth: int = 0, lead: str = "") -> Iterator[tuple[str, str, str]]:
    """Each line as what it adds, the image that ends there, and that image's size."""
    groups: dict[str, dict[str, Sequence[Layer]]] = {}
    for name, layers in images.items():
        if len(layers) > depth:
            groups.setdefault(layers[depth].chain, {})[name] = layers
    # The base first; then small ones before large ones, what several have in common last.
    order = sorted(groups.values(), key=lambda group: (len(group), min(size_of(layers) for layers in group.values())))
    for number, group in enumerate(order):
        first = next(iter(group.values()))
        end = depth
        while all(len(layers) > end and layers[end].chain == first[end].chain for layers in group.values()):
            end += 1
            if any(len(layers) == end for layers in group.values()):
                break
        what = ", ".join(f"{layer.name} {text_of(layer.size)}" for layer in first[depth:end] if layer.size)
        image = next((name for name, layers in group.items() if len(layers) == end), "")
        last = number == len(order) - 1
        branch, below = ("", "") if not depth else ("└── ", "    ") if last else ("├── ", "│   ")
        yield f"{lead}{branch}{what}", image, text_of(size_of(images[image])) if image else ""
        yield from _branches({name: layers for name, layers in group.items() if name != image}, end, lead + below)


# --- sizes ---


def sizes(images: Images, budgets: Mapping[str, float], naive: Naive) -> list[str]:
    """Each image beside its target and the naive way, as far as that is known, and what they take together."""
    theirs = naive["sizes"]
    rows = []
    for name, layers in sorted(images.items(), key=lambda item: size_of(item[1])):
        own = sum(layer.size for layer in layers if len(holders(images)[layer.chain]) == 1)
        target = f"<= {budgets[name]:.0f} MB"
        rows.append([name, text_of(size_of(layers)), target, text_of(own), *_beside(theirs.get(name), size_of(layers))])
    everything, target = once(images), f"<= {ALL_TOGETHER_MB} MB"
    together = all_together(naive) if set(theirs) >= set(naive_names()) else None
    rows.append(["all, shared layers once", text_of(everything), target, "", *_beside(together, everything)])
    without = once({name: layers for name, layers in images.items() if name not in MLFLOW})
    rows.append(["all but mlflow and registry", text_of(without), f"<= {WITHOUT_MLFLOW_MB} MB", "", "", ""])
    stages = once({name: layers for name, layers in images.items() if (ROOT / "stages" / name).is_dir()})
    fat = "the stages, shared layers once; naive: one fat image"
    rows.append([fat, text_of(stages), "", "", *_beside(theirs.get(ALL_STAGES), stages)])
    head = ("image", "size", "target", "only its own", "naive", "naive : ours")
    return [*_table(head, rows), "", f"Naive images start from {naive['base']}: {text_of(theirs['base'])}."]


def _beside(theirs: int | None, ours: int) -> tuple[str, str]:
    """The naive image's size, and how many times ours that is."""
    return (text_of(theirs), f"{theirs / ours:.1f}") if theirs else ("", "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


# --- layers ---


def layers_table(images: Images) -> list[str]:
    """Each layer that the engine stores: who has it, its size, what is in it."""
    rows, shown = [], set()
    for layers in sorted(images.values(), key=size_of):
        for layer in layers:
            if layer.chain not in shown and layer.size:
                shown.add(layer.chain)
                names = holders(images)[layer.chain]
                where = "all" if len(names) == len(images) else ", ".join(sorted(names))
                rows.append((where, layer.name, text_of(layer.size), parts_text(layer.parts)))
    return _table(("in", "layer", "size", "holds"), rows)


def parts_text(parts: Parts) -> str:
    """What a layer holds, the largest first; what is small together."""
    large = {part: size for part, size in parts.items() if size >= WORTH_A_NAME}
    small = [(part, size) for part, size in parts.items() if part not in large]
    if len(small) > 1 and large:
        large[REST] = sum(size for _, size in small)
    else:
        large |= dict(small)
    largest_first = sorted(large.items(), key=lambda item: (item[0] == REST, -item[1]))
    return ", ".join(f"{part} {text_of(size)}" for part, size in largest_first)


# --- the page ---


def blocks(naive: Naive) -> dict[str, list[str]]:
    """The generated parts of the page, by the name in their markers."""
    entries = image_lock(ROOT)
    references = {name: entry["image"] for name, entry in entries.items()}
    images = read_images(references)
    found = inspect_images(references.values())
    budgets = {name: float(found[image]["Config"]["Labels"][BUDGET]) for name, image in references.items()}
    memory = f"<!-- naive: {json.dumps(naive, sort_keys=True)} -->"
    return {
        "tree": tree(images),
        "sizes": [memory, "", *sizes(images, budgets, naive)],
        "layers": layers_table(images),
    }


def fill(page: str, generated: Mapping[str, Sequence[str]]) -> str:
    """The page with each part between its markers replaced.

    Errors: AirflowMlError if the page lacks a marker.
    """
    for name, lines in generated.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->\n"
        if begin not in page or end not in page:
            raise AirflowMlError(f"the page has no {begin.strip()} ... {end.strip()}", do="put both in")
        before, rest = page.split(begin, 1)
        page = before + begin + "\n".join(["", *lines, "", ""]) + end + rest.split(end, 1)[1]
    return page


def part(page: str, name: str) -> list[str]:
    """The lines of a part, without empty ones. Errors: AirflowMlError if the page lacks a marker."""
    fill(page, {name: ()})
    after = page.split(f"<!-- generated: {name} -->\n", 1)[1]
    return [line for line in after.split(f"<!-- end: {name} -->\n", 1)[0].splitlines() if line]


def remembered(page: str) -> Naive:
    """The naive figures that a page holds; none where there are none."""
    match = MEMORY.search(page)
    found: dict[str, Any] = json.loads(match[1]) if match else {}
    return found


def renew(naive: Naive, arguments: argparse.Namespace) -> Naive:
    """The naive figures: those of the page, with those that are asked for built again.

    Errors: AirflowMlError if there are none to keep, or if the kept ones start from another base.
    """
    if arguments.keep_naive:
        if not naive:
            raise AirflowMlError(f"{arguments.doc} has no naive figures to keep", do="leave --keep-naive out")
        return naive
    fresh = weigh(arguments.naive or naive_names(), arguments.naive_base)
    if not arguments.naive:
        return fresh
    if naive.get("base", fresh["base"]) != fresh["base"]:
        raise AirflowMlError(
            f"the other naive figures start from {naive['base']}, not {fresh['base']}", do="build all of them"
        )
    return {"base": fresh["base"], **{key: {**naive.get(key, {}), **fresh[key]} for key in ("sizes", "locks")}}


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    page = arguments.doc.read_text(encoding="utf-8")
    naive = renew(remembered(page), arguments)
    arguments.doc.write_text(fill(page, blocks(naive)), encoding="utf-8")
    return 0
