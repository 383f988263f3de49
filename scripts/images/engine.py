"""What the Docker engine is asked: which images it has, of which layers, and which of them containers use."""

import hashlib
import json
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from images.errors import Failure

# The layer without any file, which WORKDIR and others leave behind.
EMPTY_LAYER = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
LAYER_MAKERS = ("RUN", "COPY", "ADD", "WORKDIR", "/bin/sh")


def run_docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a docker command that may fail.

    Errors: Failure where there is no engine to ask.
    """
    try:
        done = subprocess.run(["docker", *arguments], text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise Failure("docker is not installed; do: setup/ensure_engine.sh sees to it") from None
    if done.returncode and ("Cannot connect" in done.stderr or "permission denied" in done.stderr):
        raise Failure(f"{done.stderr.strip()}\n       do: setup/ensure_engine.sh sees to an engine that answers")
    return done


def docker(*arguments: str) -> str:
    """The output of a docker command.

    Errors: Failure with what docker said.
    """
    done = run_docker(*arguments)
    if done.returncode:
        raise Failure(f"docker {' '.join(arguments)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def inspect(references: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the engine knows of each of these images (names with a tag, or ids); without those that it has not."""
    wanted = list(dict.fromkeys(references))
    if not wanted:
        return {}
    done = run_docker("image", "inspect", *wanted)
    others = [line for line in done.stderr.splitlines() if line and "No such image" not in line]
    if done.returncode and others:
        raise Failure(f"docker image inspect failed: {' '.join(others)}")
    found = {}
    for details in json.loads(done.stdout):
        names = {details["Id"], *(details["RepoTags"] or []), *(details["RepoDigests"] or [])}
        found.update({name: details for name in wanted if name in names})
    return found


def chains(details: dict[str, Any]) -> list[str]:
    """A name for each layer of an image that says what it lies on too: the engine stores one chain's layer once."""
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


def used_by_containers() -> set[str]:
    """Ids and names of the images of all containers, running or not."""
    containers = docker("ps", "--all", "--quiet", "--no-trunc").split()
    if not containers:
        return set()
    # One may go while we look: what the engine still has is told, the rest is gone.
    return set(run_docker("inspect", "--format", "{{.Image}} {{.Config.Image}}", *containers).stdout.split())
