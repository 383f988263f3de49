"""Builds the project's images under tags that name their content, and writes the image lock.

An image's tag is a hash of everything that goes into it: its folder's files (names, executable bits, bytes),
the base's tag, build arguments, platform. An image that exists under its tag is never built again, and a tag
never changes what it names. `dags/images.lock.json` tells the Dags which tags to run.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "dags" / "images.lock.json"
ENV = ROOT / ".env"
PREFIX = "airflow-ml-"
# In a folder, but not in its image.
NOT_IN_IMAGE = {"README.md", "requirements.in"}
TAG_DIGITS = 12


@dataclass(frozen=True)
class Image:
    """An image of ours: a folder with a Dockerfile, and the tag that names its content."""

    name: str
    folder: Path
    tag: str

    @property
    def reference(self) -> str:
        return f"{PREFIX}{self.name}:{self.tag}"


def files_of(folder: Path) -> Iterator[Path]:
    """The files that can go into the folder's image, in an order that depends on their names only."""
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not hidden and path.name not in NOT_IN_IMAGE:
            yield path


def content_tag(folder: Path, *ingredients: str) -> str:
    """The first digits of the sha256 of a folder's files and of whatever else decides its image."""
    digest = hashlib.sha256()
    for text in ingredients:
        digest.update(f"{len(text)}:{text}".encode())
    for path in files_of(folder):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        executable = bool(path.stat().st_mode & 0o100)
        digest.update(f"{len(name)}:{name}:{executable}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:TAG_DIGITS]


def discover(root: Path = ROOT) -> dict[str, Image]:
    """Every image by name: the builder and the base of `base-image`, then the folders of `stages` and `services`."""
    base_folder = root / "base-image"
    base = Image("base", base_folder, content_tag(base_folder, platform.machine()))
    images = {"builder": replace(base, name="builder"), "base": base}
    for dockerfile in sorted([*root.glob("stages/*/Dockerfile"), *root.glob("services/*/Dockerfile")]):
        folder = dockerfile.parent
        images[folder.name] = Image(folder.name, folder, content_tag(folder, base.tag))
    return images


def docker(*arguments: str, stdin: str | None = None) -> str:
    """The output of a docker command; its errors reach the terminal."""
    return subprocess.run(
        ["docker", *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=True, env=os.environ
    ).stdout


def inspect(image: Image) -> dict[str, Any] | None:
    """What the engine knows of an image, or None where it has none of that tag."""
    found = subprocess.run(["docker", "image", "inspect", image.reference], capture_output=True, text=True)
    if found.returncode == 0:
        result: dict[str, Any] = json.loads(found.stdout)[0]
        return result
    if "No such image" in found.stderr:
        return None
    raise SystemExit(
        f"error: {found.stderr.strip()}\n       Is the Docker engine running? scripts/ensure_engine.sh sees to it."
    )


def bake_definition(missing: Sequence[Image], there: Sequence[Image]) -> dict[str, Any]:
    """The build graph for `docker buildx bake`, with an edge from the base to each image, no registry between.

    What is there already is used as it is: built again it could get another id under the same tag, for what the
    base's Dockerfile fetches from the distribution changes from day to day.
    """
    contexts = {f"{PREFIX}{image.name}": f"docker-image://{image.reference}" for image in there}
    contexts |= {f"{PREFIX}{image.name}": f"target:{image.name}" for image in missing}
    edges = {name: contexts[name] for name in (f"{PREFIX}builder", f"{PREFIX}base") if name in contexts}
    targets = {
        image.name: {
            "context": str(image.folder),
            "args": {"ML_IMAGE": image.reference},
            # The second tag is a convenience for people; nothing in the project runs it.
            "tags": [image.reference, f"{PREFIX}{image.name}:latest"],
            **({"target": image.name} if image.name in ("builder", "base") else {"contexts": edges}),
        }
        for image in missing
    }
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def build(missing: Sequence[Image], there: Sequence[Image]) -> None:
    """Build the missing images in one parallel build, on those that are there."""
    plain = [] if sys.stderr.isatty() else ["--progress=quiet"]
    docker("buildx", "bake", "--load", *plain, "--file", "-", stdin=json.dumps(bake_definition(missing, there)))


def write_lock(images: dict[str, Image], found: dict[str, dict[str, Any]]) -> None:
    """Replace the image lock at once: a reader sees the old one or the new one."""
    revision = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    lock = {
        "version": 1,
        "revision": revision.stdout.strip() or None,
        "images": {
            name: {"image": images[name].reference, "id": details["Id"], "size": details["Size"]}
            for name, details in found.items()
        },
    }
    replace_text(LOCK, json.dumps(lock, indent=2, sort_keys=True) + "\n", mode=0o644)


def write_service_images(images: dict[str, Image]) -> None:
    """Tell compose, through `.env`, which images its services run; every other line stays as it is."""
    if not ENV.exists():
        return
    names = {
        f"ML_{image.name.upper().replace('-', '_')}_IMAGE": image.reference
        for image in images.values()
        if image.folder.parent.name == "services"
    }
    kept = [line for line in ENV.read_text(encoding="utf-8").splitlines() if line.partition("=")[0] not in names]
    replace_text(ENV, "\n".join([*kept, *(f"{name}={value}" for name, value in names.items())]) + "\n", mode=0o600)


def replace_text(path: Path, text: str, mode: int) -> None:
    """Write a file at once, or leave it alone where it already holds the text."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    Path(file.name).chmod(mode)
    Path(file.name).replace(path)


def print_table(images: dict[str, Image], found: dict[str, dict[str, Any]]) -> None:
    """Print each image with its tag, its size, and how much of that it shares with the base, in MB."""
    base_layers = set(found["base"]["RootFS"]["Layers"])
    print(f"{'image':32} {'tag':{TAG_DIGITS}} {'size':>8} {'of which shared':>16}")
    for name, details in found.items():
        shared = found["base"]["Size"] if base_layers <= set(details["RootFS"]["Layers"]) else 0
        print(f"{PREFIX + name:32} {images[name].tag} {details['Size'] / 1e6:5.0f} MB {shared / 1e6:13.0f} MB")


def parse_arguments(argv: Sequence[str] | None, names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="build_images.sh", description="Build the images whose content changed, and write the image lock."
    )
    parser.add_argument("--stage", metavar="NAME", choices=names, help=f"only this image: {', '.join(names)}")
    parser.add_argument("--dry-run", action="store_true", help="say what would be built, build nothing")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    images = discover()
    foundations = [images["builder"], images["base"]]
    arguments = parse_arguments(argv, [name for name in images if name != "builder"])
    wanted = [*foundations, images[arguments.stage]] if arguments.stage else list(images.values())
    missing = [image for image in dict.fromkeys(wanted) if inspect(image) is None]
    if missing == [images["builder"]]:
        missing = []  # it is only there to install with
    if arguments.dry_run:
        for image in dict.fromkeys(wanted):
            print(f"{'build' if image in missing else 'keep '} {image.reference}")
        return 0
    if missing:
        started = time.monotonic()
        print(f"building {', '.join(image.name for image in missing)}", file=sys.stderr)
        try:
            build(missing, [image for image in foundations if image not in missing])
        except subprocess.CalledProcessError as error:
            print("error: the build failed; its messages are above", file=sys.stderr)
            return error.returncode
        print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr)
    found = {name: details for name, image in images.items() if name != "builder" and (details := inspect(image))}
    write_lock(images, found)
    write_service_images(images)
    print_table(images, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
