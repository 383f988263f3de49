"""What an image's lock names can be imported in it, whole; what only other stages' locks name cannot."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests.harness import ROOT, images, python

# The import packages of each installed distribution, found among its own files.
IMPORTS = """
import importlib, importlib.metadata as metadata, json, pathlib, re, sys
found = {}
for distribution in metadata.distributions():
    tops = {path.parts[0] for path in distribution.files if path.suffix == ".py" or ".so" in path.suffixes}
    names = {re.sub(r"(\\.cpython.*|\\.abi3)?\\.(py|so)$", "", top) for top in tops}
    found[re.sub(r"[-_.]+", "-", distribution.name).lower()] = sorted(n for n in names if n.isidentifier())
print(json.dumps(found))
"""
LOAD_EVERY_LIBRARY = """
import ctypes, pathlib, sys
site = pathlib.Path("/opt/venv/lib/python3.13/site-packages")
sys.path.insert(0, str(site))
for name in {imports}:
    __import__(name)
broken = []
for path in sorted(site.rglob("*.so*")):
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        broken.append(str(error))
print(broken)
"""


def locked(folder: Path) -> set[str]:
    """The packages of a lock, whatever system they are for."""
    names = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==", (folder / "requirements.txt").read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


FOLDERS = {p.parent.name: p.parent for p in [*ROOT.glob("stages/*/Dockerfile"), *ROOT.glob("services/*/Dockerfile")]}


@cache
def import_names(name: str) -> dict[str, list[str]]:
    """The import packages of each distribution in an image."""
    found: dict[str, list[str]] = json.loads(python(images()[name], IMPORTS).stdout)
    return found


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_image_holds_what_its_lock_names_and_nothing_else(name: str) -> None:
    missing = locked(FOLDERS[name]) - set(import_names(name))
    marked = (FOLDERS[name] / "requirements.txt").read_text()
    # A universal lock names packages of other systems too, each with the marker that says so.
    assert {
        p for p in missing if not re.search(rf"^{p}==\S+ ; .*(sys_platform|platform_|python_)", marked, re.M | re.I)
    } == set()
    assert set(import_names(name)) <= locked(FOLDERS[name])


def test_everything_that_is_installed_can_be_imported(stage: str) -> None:
    modules = sorted({module for modules in import_names(stage).values() for module in modules})
    assert modules
    python(images()[stage], "\n".join(f"import {module}" for module in modules))


def test_every_native_library_still_loads_after_its_symbols_were_cut(stage: str) -> None:
    imports = sorted({module for modules in import_names(stage).values() for module in modules})
    assert python(images()[stage], LOAD_EVERY_LIBRARY.format(imports=imports)).stdout == "[]\n"


def test_stage_imports_nothing_that_only_another_image_has(stage: str) -> None:
    own = {module for modules in import_names(stage).values() for module in modules}
    others = {name: {module for modules in import_names(name).values() for module in modules} for name in FOLDERS}
    foreign = {name: sorted(modules - own) for name, modules in others.items() if name != stage}
    assert any(foreign.values())
    code = (
        "import importlib.util, json\n"
        f"foreign = json.loads({json.dumps(json.dumps(foreign))})\n"
        "find = importlib.util.find_spec\n"
        "print(json.dumps([module for modules in foreign.values() for module in modules if find(module)]))"
    )
    assert json.loads(python(images()[stage], code).stdout) == []
