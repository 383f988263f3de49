"""What is in the layers of images: bytes by distribution, standard library, bytecode and the like."""

import csv
import hashlib
import json
import posixpath
import re
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from airflow_ml.common import AirflowMlError, docker, inspect_images

SITE = re.compile(r"opt/venv/lib/python3\.\d+/site-packages/")
MANIFEST = "manifest.json"
# The first that fits counts. A file that a distribution's RECORD names counts for that distribution.
PARTS = [
    (re.compile(pattern), part)
    for pattern, part in (
        (r".*\.pyc$", "bytecode"),
        (r"opt/venv/lib/[^/]+/site-packages/stagekit/", "stagekit"),
        (r"opt/(stage|service)/", "own code"),
        (r"usr/lib/python3\.\d+/", "Python's standard library"),
        (r"usr/bin/python", "Python"),
        (r"usr/bin/tini$", "tini"),
        (r"(usr/)?lib/.*\.so(\.|$)|usr/lib64/", "the system's libraries"),
        (r"usr/share/zoneinfo/", "time zones"),
        (r"etc/ssl/", "certificates"),
        (r"(var/lib/dpkg|usr/share/doc)/", "package records, licences"),
    )
]
# The layer without any file, which WORKDIR and others leave behind.
EMPTY_LAYER = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
LAYER_MAKERS = ("RUN", "COPY", "ADD", "WORKDIR", "/bin/sh")
Parts = dict[str, int]


@dataclass(frozen=True)
class Layer:
    """A layer of an image: its name in the Dockerfile, what it lies on (`chain`), its bytes, what they are."""

    name: str
    chain: str
    size: int
    parts: Parts


def read_images(references: Mapping[str, str]) -> dict[str, list[Layer]]:
    """The layers of each of these images, lowest first; without those that hold no file."""
    found = inspect_images(references.values())
    if missing := sorted(set(references.values()) - set(found)):
        raise AirflowMlError(f"the engine does not have {', '.join(missing)}", do="./airflow-ml build")
    details = [found[reference] for reference in references.values()]
    contents = contents_of_layers(list(references.values()))
    return {
        name: _layers_of(one, sizes, contents[reference])
        for (name, reference), one, sizes in zip(references.items(), details, sizes_of(details), strict=True)
    }


def chains(details: dict[str, Any]) -> list[str]:
    """A name for each layer that depends on the layers below it too: the engine stores the layer of a chain once."""
    names: list[str] = []
    for layer in details["RootFS"].get("Layers") or []:
        names.append(hashlib.sha256(f"{names[-1]} {layer}".encode()).hexdigest() if names else layer)
    return names


def layer_sizes(layers: Sequence[str], history: Sequence[tuple[int, str]]) -> list[int]:
    """The size of each layer, from the image's history, oldest first: (bytes, instruction) with and without layer."""
    makers = [size for size, text in history if size or text.startswith(LAYER_MAKERS)]
    if len(makers) == len(layers):
        return makers
    # Some instruction left no layer. Layers without bytes then make no difference to any sum but by their place.
    sizes = iter([size for size, _ in history if size])
    return [0 if layer == EMPTY_LAYER else next(sizes, 0) for layer in layers]


def sizes_of(images: Sequence[dict[str, Any]]) -> list[dict[str, int]]:
    """For each image the bytes of each of its chains."""

    def sizes(details: dict[str, Any]) -> dict[str, int]:
        form = "[{{.Size}}, {{json .CreatedBy}}]"
        lines = docker("history", "--no-trunc", "--human=false", "--format", form, details["Id"]).splitlines()
        history = [(int(size), str(by)) for size, by in map(json.loads, reversed(lines))]
        return dict(zip(chains(details), layer_sizes(details["RootFS"].get("Layers") or [], history), strict=True))

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(sizes, images))


def _layers_of(details: Mapping[str, Any], sizes: Mapping[str, int], contents: Sequence[Parts]) -> list[Layer]:
    rows = zip(details["RootFS"]["Layers"], sizes.items(), contents, strict=True)
    # WORKDIR leaves a layer without any file, or none, as the engine likes.
    layers = [(chain, size, parts) for digest, (chain, size), parts in rows if digest != EMPTY_LAYER]
    texts = docker("history", "--no-trunc", "--format={{.CreatedBy}}", details["Id"]).splitlines()
    names = [text for text in reversed(texts) if text.startswith(LAYER_MAKERS) and not text.startswith("WORKDIR")]
    return [Layer(_name(name), *layer) for name, layer in zip(names, layers, strict=True)]


def _name(text: str) -> str:
    """`COPY /layers/numpy/ / # buildkit` is the layer numpy."""
    match = re.match(r"COPY /layers/([\w-]+)/ ", text)
    return match[1] if match else text


def contents_of_layers(references: Sequence[str]) -> dict[str, list[Parts]]:
    """For each image the parts of each of its layers, read from what `docker save` writes."""
    blobs: dict[str, Parts] = {}
    manifest: list[dict[str, Any]] = []
    with subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is None:
                    continue
                if member.name == MANIFEST:
                    manifest = json.load(file)
                elif (parts := _parts_of_layer(file)) is not None:
                    blobs[member.name] = parts
    if process.returncode:
        raise AirflowMlError(f"docker save {' '.join(references)} ended with {process.returncode}")
    return {reference: [blobs[name] for name in one["Layers"]] for one in manifest for reference in one["RepoTags"]}


def _parts_of_layer(blob: IO[bytes]) -> Parts | None:
    """The parts of a layer; None for a blob that is no layer but some JSON."""
    files: dict[str, int] = {}
    owners: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=blob, mode="r|*") as layer:
            for member in layer:
                files[member.name] = member.size if member.isreg() else 0
                if member.name.endswith(".dist-info/RECORD") and (record := layer.extractfile(member)):
                    owners |= dict(_owned(member.name, record.read().decode()))
    except tarfile.ReadError:
        return None
    parts: Counter[str] = Counter()
    for name, size in files.items():
        parts[owners.get(name) or _part(name)] += size
    return {part: size for part, size in parts.items() if size}


def _owned(record: str, text: str) -> Iterator[tuple[str, str]]:
    """The files of a distribution by its RECORD, and the distribution's name, as installers write it."""
    info = posixpath.dirname(record)
    site, distribution = posixpath.dirname(info), posixpath.basename(info).split("-")[0]
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    for row in csv.reader(text.splitlines()):
        if row:
            yield posixpath.normpath(posixpath.join(site, row[0])), name


def _part(path: str) -> str:
    return next((part for pattern, part in PARTS if pattern.match(path)), "other")
