"""What an image's lock names can be imported in it, whole; what only other stages' locks name cannot."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.lock import normal

from tests.harness import ROOT, images, python
from tests.images.probe import facts

# What only other images have is looked for first: an import could bring it.
LOAD_EVERYTHING = """
import ctypes, importlib.util, json, pathlib
own, others = json.loads({own!r}), json.loads({others!r})
foreign = [name for name in others if importlib.util.find_spec(name)]
failed, broken = [], []
for name in own:
    try:
        __import__(name)
    except Exception as error:
        failed.append(f"{{name}}: {{error!r}}")
for path in sorted(pathlib.Path("/opt/venv/lib/python3.13/site-packages").rglob("*.so*")):
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        broken.append(str(error))
print(json.dumps({{"foreign": foreign, "failed": failed, "broken": broken}}))
"""


def locked(folder: Path) -> set[str]:
    """The packages of a lock, whatever system they are for."""
    names = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==", (folder / "requirements.txt").read_text(), re.MULTILINE)
    return {normal(name) for name in names}


FOLDERS = {p.parent.name: p.parent for p in [*ROOT.glob("stages/*/Dockerfile"), *ROOT.glob("services/*/Dockerfile")]}


def import_names(name: str) -> dict[str, list[str]]:
    """The import packages of each distribution in an image."""
    return {normal(package): one["imports"] for package, one in facts(images()[name])["packages"].items()}


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_image_holds_what_its_lock_names_and_nothing_else(name: str) -> None:
    missing = locked(FOLDERS[name]) - set(import_names(name))
    marked = (FOLDERS[name] / "requirements.txt").read_text()
    # A universal lock names packages of other systems too, each with the marker that says so.
    assert {
        p for p in missing if not re.search(rf"^{p}==\S+ ; .*(sys_platform|platform_|python_)", marked, re.M | re.I)
    } == set()
    assert set(import_names(name)) <= locked(FOLDERS[name])


def modules_of(name: str) -> set[str]:
    """The import packages of an image."""
    return {module for modules in import_names(name).values() for module in modules}


@cache
def loaded(stage: str) -> dict[str, Any]:
    """What is found, imported and loaded inside a stage's image: one start for each image."""
    own = modules_of(stage)
    others = {module for name in FOLDERS for module in modules_of(name)} - own
    assert own
    assert others
    code = LOAD_EVERYTHING.format(own=json.dumps(sorted(own)), others=json.dumps(sorted(others)))
    return dict(json.loads(python(images()[stage], code).stdout.splitlines()[-1]))


def test_everything_that_is_installed_can_be_imported(stage: str) -> None:
    assert loaded(stage)["failed"] == []


def test_every_native_library_still_loads_after_its_symbols_were_cut(stage: str) -> None:
    assert loaded(stage)["broken"] == []


def test_stage_imports_nothing_that_only_another_image_has(stage: str) -> None:
    assert loaded(stage)["foreign"] == []
