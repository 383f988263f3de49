"""The images of a checkout and their tags: a tag is a hash of every ingredient of its image."""

import hashlib
import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError
from airflow_ml.images.context import ContextFile, read_context

PREFIX = "airflow-ml-"
TAG_DIGITS = 12
# Build arguments of every image. 0: what the builder dates, it dates 1970, so that a build can be repeated.
BUILD_ARGS = {"SOURCE_DATE_EPOCH": "0"}
# Targets of base-image's Dockerfile. Those but `base` are only built when they are needed or asked for.
FOUNDATIONS = ("builder", "base", "debug")
ON_DEMAND = ("builder", "debug")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?")


@dataclass(frozen=True)
class Image:
    """An image of ours: the folder that it is built from, and everything that decides what is in it."""

    name: str
    folder: Path
    ingredients: dict[str, Any] = field(repr=False)
    files: tuple[ContextFile, ...] = field(repr=False)

    @property
    def tag(self) -> str:
        return tag_of(self.ingredients)

    @property
    def repository(self) -> str:
        return f"{prefix()}{self.name}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self.tag}"


def prefix() -> str:
    """What the images' names begin with: ML_IMAGE_PREFIX separates two checkouts on one engine.

    Errors: AirflowMlError for what cannot begin a name.
    """
    name = os.environ.get("ML_IMAGE_PREFIX") or PREFIX
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-", name):
        raise AirflowMlError(
            f"ML_IMAGE_PREFIX is {name!r}", expected="lower-case words, a hyphen after each, such as try-"
        )
    return name


def tag_of(ingredients: dict[str, Any]) -> str:
    """The first digits of the sha256 of the ingredients, written in one canonical way."""
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:TAG_DIGITS]


def own_platform() -> str:
    machine = platform.machine().lower()
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


def parse_platforms(text: str | None) -> list[str]:
    """The platforms of a comma-separated list, sorted; none given means this machine's own.

    Errors: AirflowMlError for what is no platform.
    """
    names = sorted({name.strip() for name in text.split(",")}) if text is not None else [own_platform()]
    for name in names:
        if not PLATFORM.fullmatch(name):
            raise AirflowMlError(
                f"{name!r} is no platform",
                expected="such as linux/amd64 or linux/amd64,linux/arm64",
                exit_code=WRONG_USAGE,
            )
    return names


def image_folders(root: Path = ROOT) -> dict[str, Path]:
    """The folder of every image by name: what base-image's Dockerfile builds, then `stages` and `services`."""
    base = root / "base-image"
    text = (base / "Dockerfile").read_text(encoding="utf-8")
    has_debug = re.search(r"^FROM\s.*\sAS\s+debug\s*$", text, re.MULTILINE | re.IGNORECASE)
    folders = {name: base for name in FOUNDATIONS if name != "debug" or has_debug}
    for dockerfile in sorted([*root.glob("stages/*/Dockerfile"), *root.glob("services/*/Dockerfile")]):
        folder = dockerfile.parent
        if folder.name in folders or folder.name in FOUNDATIONS:
            raise AirflowMlError(
                f"{folder} has the name of another image", expected="names that differ", do="rename the folder"
            )
        folders[folder.name] = folder
    return folders


def discover(root: Path = ROOT, platforms: Sequence[str] | None = None) -> dict[str, Image]:
    """Every image by name, with its ingredients as they are now; those on the base have the base's tag among them."""
    common = {"args": dict(BUILD_ARGS), "platform": ",".join(platforms or [own_platform()])}
    images: dict[str, Image] = {}
    for name, folder in image_folders(root).items():
        if name in FOUNDATIONS and name != "builder":
            images[name] = Image(name, folder, images["builder"].ingredients, images["builder"].files)
            continue
        files = read_context(folder)
        ingredients = {**common, "files": {file.path: file.fingerprint for file in files}}
        if name not in FOUNDATIONS:
            ingredients["base"] = images["base"].tag
        images[name] = Image(name, folder, ingredients, files)
    return images
