"""Images stay as small as their labels promise, share what they have in common, and the README shows their sizes."""

import json
import re
from collections import defaultdict
from typing import Any, NamedTuple

import pytest
from airflow_ml.lock import normal
from maintain.image_contents import LAYER_MAKERS

from tests.harness import ROOT, docker, images
from tests.images.probe import facts

MB = 1_000_000
# Debian's packages move a little between two builds.
TOLERANCE = 0.03
# What is MLflow's, its server and its client, weighs about as much as all stages and is counted by itself.
MLFLOW = ("mlflow", "registry")
WITHOUT_MLFLOW, ALL_TOGETHER = 765 * MB, 1045 * MB
WORTH_SHARING = 1 * MB
STAGES = sorted(path.parent.name for path in ROOT.glob("stages/*/Dockerfile"))


class Layer(NamedTuple):
    """A layer of an image: what made it, its digest, its bytes."""

    made_by: str
    digest: str
    size: int


def inspect(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", image).stdout)[0]
    return found


def layers(image: str) -> list[Layer]:
    """The layers of an image, lowest first."""
    lines = docker("history", "--human=false", "--no-trunc", "--format={{.Size}} {{.CreatedBy}}", image).stdout
    steps = [line.split(" ", 1) for line in reversed(lines.splitlines())]
    makers = [(made_by, int(size)) for size, made_by in steps if made_by.startswith(LAYER_MAKERS)]
    digests = inspect(image)["RootFS"]["Layers"]
    return [Layer(made_by, digest, size) for (made_by, size), digest in zip(makers, digests, strict=True)]


def position(image: str, name: str) -> int:
    """Where the layer of a shared package lies in an image; it fails where there is none."""
    found = [number for number, layer in enumerate(layers(image)) if layer.made_by.startswith(f"COPY /layers/{name}/")]
    assert found, f"{image} has no layer for {name}: add --shared and COPY --from=build /layers/{name}/ /"
    return found[0]


def test_image_is_within_the_budget_of_its_label(image: str) -> None:
    found = inspect(image)
    assert found["Size"] <= float(found["Config"]["Labels"]["airflow-ml.size-budget-mb"]) * MB


def test_all_images_together_are_within_the_budget_with_shared_layers_counted_once() -> None:
    without = {layer.digest: layer.size for name in images().keys() - MLFLOW for layer in layers(images()[name])}
    every = without | {layer.digest: layer.size for name in MLFLOW for layer in layers(images()[name])}
    assert sum(without.values()) <= WITHOUT_MLFLOW
    assert sum(every.values()) <= ALL_TOGETHER


def test_what_stages_have_in_common_is_stored_once() -> None:
    """A layer is stored once where its digest and those of all layers below it are the same."""
    users: dict[str, list[str]] = defaultdict(list)
    for stage in STAGES:
        for name, package in facts(images()[stage])["packages"].items():
            if package["size"] > WORTH_SHARING:
                users[normal(name)].append(stage)
    shared = {name: stages for name, stages in users.items() if len(stages) > 1}
    assert {"numpy", "scipy", "polars-runtime-32"} <= set(shared)
    for name, stages in shared.items():
        below = {tuple(x.digest for x in layers(images()[s])[: position(images()[s], name) + 1]) for s in stages}
        assert len(below) == 1, f"the layer of {name} differs, or lies on others, in {' and '.join(stages)}"


def test_every_image_lies_on_the_layers_of_the_base(image: str) -> None:
    base = inspect(images()["base"])["RootFS"]["Layers"]
    assert inspect(image)["RootFS"]["Layers"][: len(base)] == base


def test_readme_shows_the_size_of_each_stage(stage: str) -> None:
    lock = json.loads((ROOT / "dags" / "images.lock.json").read_text())
    row = re.search(rf"^\| \[{stage}\].* \| (\d+) MB \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row, f"README.md has no row with a size for {stage}"
    assert int(row.group(1)) == pytest.approx(lock["images"][stage]["size"] / 1e6, rel=TOLERANCE)
